"""A flow that is called directly, with a server that hears of it: its process holds the attempt itself.

The run's lease is renewed, and the death of this process told, by a process of its own (``keeper``), one for
all that this process calls. A cancellation arrives by it as well, and interrupts the flow as Ctrl-C would.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec

from reeve.client.sync import Client
from reeve.core.states import ProposedState, StateType
from reeve.sdk import home
from reeve.sdk.engine.run import FLOW_LOGGER, Aborted, Accepted, Answer, FlowRunSpec, Kind, Opened, Rejected
from reeve.sdk.engine.server import Server
from reeve.sdk.futures import in_event_loop
from reeve.sdk.keeper import Line
from reeve.sdk.runners import interrupt
from reeve.sdk.secret import shown
from reeve.sdk.shipping import LogShipper
from reeve.sdk.states import RunStopped
from reeve.wire import codec, endpoints, requests

_ANSWER_SECONDS = 20.0  # before a request counts as lost, as in a launched process
_LOG_PATIENCE_SECONDS = 5.0  # the shipper keeps the lines and comes back
_LAST_TASKS_SECONDS = 3.0
_LAST_LINES_SECONDS = 10.0
_ENDED_RUNS = 20  # whose late lines are still sent
_STARTS = 3  # a keeper that dies again and again would only be a burden
_ROOT_LOGGER = logging.getLogger("reeve")
_GOES_ON = frozenset({StateType.RUNNING, StateType.SCHEDULED, StateType.PAUSED})


class OwnAttempt(Server):
    """The reporter of one flow that was called directly, and of what it calls."""

    def __init__(self) -> None:
        super().__init__(home.client())
        self._attempt: UUID | None = None
        self._runs: list[UUID] = []  # the run itself and its subflows
        self._root: UUID | None = None
        self._log_client: Client | None = None
        self._interrupt = _interrupter()

    def open_flow_run(self, spec: FlowRunSpec) -> Opened:
        """Open the run with its attempt, the first time; a subflow after that."""
        opened = self._open(spec) if self._root is None else super().open_flow_run(spec)
        self._ship(opened.id)
        return opened

    def propose(self, kind: Kind, run_id: UUID, state: ProposedState, *, force: bool = False) -> Answer:
        """Ask the server for a state; with the end of the run the attempt is over.

        What the run has logged is told before its end, so that who follows it sees its last lines.
        """
        if run_id == self._root and state.type.is_final:
            _logs.deliver()
        try:
            answer = super().propose(kind, run_id, state, force=force)
        except RunStopped:
            self._let_go()
            raise
        if run_id != self._root:
            return answer
        if isinstance(answer, Accepted) and answer.state.type.is_final:
            self._let_go()
        elif isinstance(answer, Aborted):
            self._end(answer.reason or "The server has taken it away.")
        elif isinstance(answer, Rejected) and answer.state.type not in _GOES_ON:
            self._end("Its process has left the flow.")
        return answer

    def _ship(self, run_id: UUID) -> None:
        assert self._log_client is not None, "it is open"
        self._runs.append(run_id)
        _logs.ship(run_id, self._log_client)

    def _open(self, spec: FlowRunSpec) -> Opened:
        asked = requests.OpenAttempt(
            flow_name=spec.flow_name,
            flow_version=spec.version,
            run_name=spec.run_name,
            parameters=msgspec.to_builtins(dict(spec.parameters), enc_hook=shown, str_keys=True),
            empirical_policy=spec.policy,
            host=os.uname().nodename,
            pid=os.getpid(),
            idempotency_key=str(uuid4()),  # for the repetitions of this one request
        )
        mine = self._client.call(endpoints.open_self_attempt, asked)
        self._hold(mine.run.id, mine.id, mine.token)
        return Opened(mine.run.id, mine.run.name)

    def _hold(self, run_id: UUID, attempt_id: UUID, token: str) -> None:
        """Speak for an attempt from now on, and have its lease kept."""
        url = self._client.url
        self._client = Client(url, token, timeout=_ANSWER_SECONDS, patience=None)
        self._root, self._attempt = run_id, attempt_id
        self._log_client = Client(url, token, patience=_LOG_PATIENCE_SECONDS)
        self.tell(self._log_client, attempt_id, [run_id])
        _keeper.keep(attempt_id, Kept(url, token, self._hear))

    def _hear(self, word: str) -> None:
        """Interrupt the flow: it is to be cancelled, or belongs to this process no more."""
        why = "is cancelled" if word == "stop" else "is held by this process no more"
        log = logging.getLogger(FLOW_LOGGER)
        log.warning("Flow run %s, and is interrupted.", why, extra={"flow_run_id": self._root})
        self._interrupt()

    def _end(self, cause: str) -> None:
        """Say that this process does no more for the run, which it has not ended."""
        self._client.call(endpoints.end_self_attempt, requests.EndAttempt(cause=cause), id=self._attempt)
        self._let_go()

    def _let_go(self) -> None:
        if self._attempt is not None:
            _keeper.drop(self._attempt)
            self._attempt = None
            self.finish(_LAST_TASKS_SECONDS)
            _logs.ended(self._runs)
            self._client.close()


class Granted(OwnAttempt):
    """The reporter of a run of a deployment that this process has claimed, as an agent does, and executes.

    ``leave`` once the run's process would have ended; who claimed it reports that.
    """

    def __init__(self, run_id: UUID, attempt_id: UUID, token: str) -> None:
        super().__init__()
        self._hold(run_id, attempt_id, token)
        self._ship(run_id)

    def leave(self) -> None:
        """Keep the attempt no more."""
        self._let_go()

    def _end(self, cause: str) -> None:
        del cause
        self._let_go()


def _interrupter() -> Callable[[], object]:
    """Return what interrupts the flow that is just being called, from another thread."""
    if in_event_loop():
        import asyncio

        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is not None:
            return lambda: loop.call_soon_threadsafe(task.cancel)
    thread = threading.current_thread()
    assert thread.ident is not None, "it runs"
    ident = thread.ident

    if thread is not threading.main_thread():
        return lambda: interrupt(ident, KeyboardInterrupt)
    number = _signal()
    return lambda: signal.pthread_kill(ident, number)


def _signal() -> int:
    """Return a signal that interrupts the main thread, out of sleep and I/O too.

    That of Ctrl-C, unless it is ignored, as in a shell's background job; then one that nobody else uses.
    """
    if callable(signal.getsignal(signal.SIGINT)):
        return signal.SIGINT
    signal.signal(signal.SIGRTMAX, signal.default_int_handler)
    return signal.SIGRTMAX


# Logs


class Logs:
    """What the runs of this process log, on its way to their servers: each with its attempt's token."""

    def __init__(self) -> None:
        self._clients: dict[UUID, Client] = {}
        self._ended: deque[UUID] = deque()
        self._shipper: LogShipper | None = None

    def ship(self, run_id: UUID, client: Client) -> None:
        """Send what a run logs from now on."""
        if self._shipper is None:
            self._shipper = LogShipper(self._send)
            self._shipper.addFilter(lambda record: getattr(record, "flow_run_id", None) in self._clients)
            _ROOT_LOGGER.addHandler(self._shipper)
        if (earlier := self._clients.get(run_id)) is not None:  # of a suspended run's attempt before
            earlier.close()
        self._clients[run_id] = client

    def ended(self, run_ids: Iterable[UUID]) -> None:
        """Take note that runs have ended: what is logged a little later is still theirs."""
        self._ended.extend(run_ids)
        while len(self._ended) > _ENDED_RUNS:
            if (client := self._clients.pop(self._ended.popleft(), None)) is not None:
                client.close()

    def deliver(self) -> None:
        """Send now what there is."""
        if self._shipper is not None:
            self._shipper.catch_up(_LAST_LINES_SECONDS)

    def forget(self, url: str) -> None:
        """Send no more to a server."""
        for run_id in [one for one, client in self._clients.items() if client.url == url]:
            self._clients.pop(run_id).close()

    def finish(self) -> None:
        """Send what there is."""
        if self._shipper is not None:
            self._shipper.finish(_LAST_LINES_SECONDS)

    def _send(self, lines: list[requests.LogCreate]) -> None:
        by_client: dict[Client, list[requests.LogCreate]] = {}
        for line in lines:
            if line.flow_run_id in self._clients:
                by_client.setdefault(self._clients[line.flow_run_id], []).append(line)
        for client, own in by_client.items():
            client.call(endpoints.create_logs, own)


_logs = Logs()


# The keeper


class Kept(NamedTuple):
    """An attempt that is kept, and who hears of it."""

    url: str
    token: str
    heard: Callable[[str], None]


class KeeperLink:
    """The keeper's end in this process: starts it when first needed, and again if it dies."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)
        atexit.register(self._finish)

    def forget(self) -> None:
        """Keep nothing: a child of a fork is another process, whose parent keeps its own attempts."""
        self._kept: dict[UUID, Kept] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._lock = threading.RLock()

    def keep(self, attempt_id: UUID, kept: Kept) -> None:
        """Have an attempt kept; it hears ``stop`` or ``over``, on a thread of its own."""
        with self._lock:
            self._kept[attempt_id] = kept
            if self._process is None:
                self._starts = 0
                self._start()
            else:
                self._write(Line(attempt_id, kept.url, kept.token))

    def drop(self, attempt_id: UUID) -> None:
        """Have an attempt kept no more."""
        with self._lock:
            if self._kept.pop(attempt_id, None) is not None:
                self._write(Line(attempt_id))

    def drop_all_of(self, url: str) -> None:
        """Have nothing kept any more at a server."""
        with self._lock:
            for attempt_id in [one for one, kept in self._kept.items() if kept.url == url]:
                self.drop(attempt_id)

    def _finish(self) -> None:
        """End the keeper, unless it keeps something: that is lost with this process, and it tells so."""
        _logs.finish()
        with self._lock:
            process, self._process = self._process, None
            if process is not None and not self._kept:
                process.kill()
                process.wait()

    def _start(self) -> None:
        self._starts += 1
        # -P: the user's directory is no place to look for modules. Of a session of its own, so that no
        # Ctrl-C, and no signal to the group of a job, ends it together with whom it watches.
        command = [sys.executable, "-P", "-m", "reeve.sdk.keeper", str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for attempt_id, kept in self._kept.items():
            self._write(Line(attempt_id, kept.url, kept.token))
        threading.Thread(target=self._listen, args=(self._process,), name="reeve-keeper", daemon=True).start()

    def _write(self, line: Line) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(codec.encode(line) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: the thread that listens starts another, which is told of all

    def _listen(self, process: subprocess.Popen[Any]) -> None:
        assert process.stdout is not None, "it is a pipe"
        with process.stdout as said:
            for line in said:
                word, _, told = line.decode().strip().partition(" ")
                with self._lock:
                    kept = self._kept.get(UUID(told))
                if kept is not None:
                    kept.heard(word)
        process.wait()
        with self._lock:
            if self._process is not process:
                return
            self._process = None
            if self._kept and self._starts < _STARTS:
                self._start()
            elif self._kept:
                _ROOT_LOGGER.warning("Nobody renews the leases of this process: its runs will look lost.")


_keeper = KeeperLink()


def deliver_logs() -> None:
    """Have what runs of this process have logged so far at their servers, if these are there."""
    _logs.deliver()


def part_from(url: str) -> None:
    """Have nothing more to do with a server: its runs of this process have ended."""
    _logs.deliver()
    _logs.forget(url)
    _keeper.drop_all_of(url)
