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
from typing import Any
from uuid import UUID, uuid4

import msgspec

from reeve.client.sync import Client
from reeve.core.states import ProposedState, StateType
from reeve.sdk import home
from reeve.sdk.engine.run import Aborted, Accepted, Answer, FlowRunSpec, Kind, Opened, Rejected
from reeve.sdk.engine.server import Server
from reeve.sdk.futures import in_event_loop
from reeve.sdk.keeper import Line
from reeve.sdk.logging import FLOW_LOGGER
from reeve.sdk.runners import interrupt
from reeve.sdk.secret import shown
from reeve.sdk.shipping import LogShipper
from reeve.sdk.states import RunStopped
from reeve.wire import codec, endpoints, requests

_ANSWER_SECONDS = 20.0  # before a request counts as lost, as in a launched process
_LOG_PATIENCE_SECONDS = 5.0  # the shipper keeps the lines and comes back
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
        assert self._log_client is not None, "it is open"
        self._runs.append(opened.id)
        _logs.ship(opened.id, self._log_client)
        return opened

    def propose(self, kind: Kind, run_id: UUID, state: ProposedState, *, force: bool = False) -> Answer:
        """Ask the server for a state; with the end of the run the attempt is over."""
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
        url = self._client.url
        mine = self._client.call(endpoints.open_self_attempt, asked)
        self._client = Client(url, mine.token, timeout=_ANSWER_SECONDS, patience=None)
        self._root, self._attempt = mine.run.id, mine.id
        self._log_client = Client(url, mine.token, patience=_LOG_PATIENCE_SECONDS)
        _keepers.of(url).keep(mine.id, mine.token, self._hear)
        return Opened(mine.run.id, mine.run.name)

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
            _keepers.drop(self._attempt)
            self._attempt = None
            _logs.ended(self._runs)
            self._client.close()


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
        self._clients[run_id] = client

    def ended(self, run_ids: Iterable[UUID]) -> None:
        """Take note that runs have ended: what is logged a little later is still theirs."""
        self._ended.extend(run_ids)
        while len(self._ended) > _ENDED_RUNS:
            if (client := self._clients.pop(self._ended.popleft(), None)) is not None:
                client.close()

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


# Keepers


class Keepers:
    """The keepers of this process, one for each server."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)
        atexit.register(self._finish)

    def forget(self) -> None:
        """Have none: a child of a fork is another process, whose parent keeps its own attempts."""
        self._all: dict[str, KeeperLink] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> KeeperLink:
        """Return the keeper for a server."""
        with self._lock:
            return self._all.setdefault(url, KeeperLink(url))

    def drop(self, attempt_id: UUID) -> None:
        """Keep an attempt no more."""
        for keeper in list(self._all.values()):
            keeper.drop(attempt_id)

    def _finish(self) -> None:
        _logs.finish()
        for keeper in self._all.values():
            keeper.finish()


class KeeperLink:
    """The keeper's end in this process: starts it when first needed, and again if it dies."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept: dict[UUID, tuple[str, Callable[[str], None]]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._lock = threading.RLock()

    def keep(self, attempt_id: UUID, token: str, heard: Callable[[str], None]) -> None:
        """Have an attempt kept; ``heard`` is called with ``stop`` or ``over``, on a thread of its own."""
        with self._lock:
            self._kept[attempt_id] = token, heard
            if self._process is None:
                self._starts = 0
                self._start()
            else:
                self._write(Line(attempt_id, token))

    def drop(self, attempt_id: UUID) -> None:
        """Have an attempt kept no more."""
        with self._lock:
            if self._kept.pop(attempt_id, None) is not None:
                self._write(Line(attempt_id))

    def finish(self) -> None:
        """End the keeper, unless it keeps something: that is lost with this process, and it tells so."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None and not self._kept:
                process.kill()
                process.wait()

    def _start(self) -> None:
        self._starts += 1
        # -P: the user's directory is no place to look for modules. Of a session of its own, so that no
        # Ctrl-C, and no signal to the group of a job, ends it together with whom it watches.
        command = [sys.executable, "-P", "-m", "reeve.sdk.keeper", str(os.getpid()), self._url]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for attempt_id, (token, _) in self._kept.items():
            self._write(Line(attempt_id, token))
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
        for line in process.stdout:
            word, _, told = line.decode().strip().partition(" ")
            with self._lock:
                _, heard = self._kept.get(UUID(told), (None, None))
            if heard is not None:
                heard(word)
        process.wait()
        with self._lock:
            if self._process is not process:
                return
            self._process = None
            if self._kept and self._starts < _STARTS:
                self._start()
            elif self._kept:
                _ROOT_LOGGER.warning("Nobody renews the leases of this process: its runs will look lost.")


_keepers = Keepers()
