"""The shim: parent of every run of the process driver, in one thread and one loop (protocol §9).

It forks runs, sees them end, writes what became of them to disk before it tells, renews their leases when the
agent is silent, and ends their trees. It outlives the agent. It imports the standard library only, and all it
needs before its first child: the files of its environment may be replaced while it lives.

Nothing in the loop may wait for the network, and no error may end the loop: the runs would end with it.
"""
# ruff: noqa: PTH101, PTH108 - pathlib would cost the shim a megabyte

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback

from reeve.drivers.process import host, lease, memory, messages, spawn, spool, templates, tree
from reeve.drivers.process.birth import Birth
from reeve.drivers.process.ending import LEFTOVERS, Ending
from reeve.drivers.process.run import Run, door_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

STEP = 0.05  # seconds between two looks at a tree that is being ended
TICK = 0.5  # seconds between two looks at leases, and at a disk that was full
OVER_GRACE = 0.5  # seconds for what holds its attempt no more: another one may run already
FIRST_CALL = 10.0  # seconds that whoever started a shim has to connect
_LONGEST_LOG = 1 << 20
_LONGEST_BACKLOG = 64 << 20  # bytes an agent may be behind before its connection is dropped
_REMEDIES = {
    errno.EAGAIN: "Raise the limit of processes (ulimit -u, pids.max of the cgroup), or run fewer at once.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or run fewer at once.",
    errno.ENFILE: "Raise fs.file-max, or run fewer at once.",
    errno.ENOMEM: "Free some memory, or run fewer at once.",
    errno.ENOSPC: "Free some disk space.",
    errno.EDQUOT: "Free some disk space.",
}


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that is answered with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """One agent's socket, and what it has not taken yet."""

    __slots__ = ("backlog", "greeted", "lines", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.lines = messages.Lines()
        self.backlog = bytearray()
        self.greeted = False


class Caller:
    """Whom to answer, now or later."""

    __slots__ = ("_shim", "connection", "id")

    def __init__(self, shim: Shim, connection: Connection, request: dict[str, Any]) -> None:
        self._shim = shim
        self.connection = connection
        self.id = request.get("id")

    def answer(self, ok: dict[str, Any]) -> None:
        self._shim.send(self.connection, {"id": self.id, "ok": ok})

    def refuse(self, error: Exception) -> None:
        """Answer with an error; one that nobody foresaw goes to the log as well."""
        if not isinstance(error, Refusal):
            _log("".join(traceback.format_exception(error)))
            error = Refusal("invalid", f"The request could not be done: {error!r}")
        answer = {"code": error.code, "message": str(error)}
        self._shim.send(self.connection, {"id": self.id, "error": answer})


class Shim:
    """The loop, and all it knows."""

    def __init__(self, listener: socket.socket, idle_seconds: float, inherited: spawn.Inherited) -> None:
        self._listener = listener
        self._idle_seconds = idle_seconds
        self._inherited = inherited
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._connections: list[Connection] = []
        self._runs: dict[str, Run] = {}
        self._ended: dict[str, dict[str, Any]] = {}  # exit records that no agent has acknowledged
        self._unsaved: dict[str, str] = {}  # of these, the ones not on disk yet, and their directories
        self._orders: dict[str, dict[str, Any]] = {}  # launches of this round, started together
        self._launching: dict[str, list[Caller]] = {}
        self._renewals: dict[tuple[str, int, bool, str], lease.Renewal] = {}
        self._renew_again: dict[tuple[str, int, bool, str], float] = {}
        self._host = host.identify()
        self._retiring = False
        self._told_to_end = False
        self._stirred = False  # a child has ended: look at the trees now
        self._next_step = 0.0
        self._next_tick = 0.0
        self._idle_since = time.monotonic() + FIRST_CALL
        self._mounts = memory.mounts()
        self._templates = templates.Templates(inherited, _log)
        self._commands: dict[str, Callable[[Caller, dict[str, Any]], dict[str, Any] | None]] = {
            "hello": self._hello,
            "launch": self._launch,
            "stop": self._stop,
            "list": self._list,
            "acknowledge": self._acknowledge,
            "renewed": self._renewed,
            "retire": self._retire,
        }

    # --- the loop

    def serve(self) -> None:
        """Serve until told to retire, or nobody needs this shim any more."""
        self._watch_signals()
        self._watch(self._listener.fileno(), lambda _: self._accept())
        while not self._is_done():
            happened = self._poll.poll(self._patience())
            if self._is_needed():
                self._idle_since = time.monotonic()
            for file, events in happened:
                if handler := self._handlers.get(file):  # an earlier one of this round may have closed it
                    _guard(handler, events)
            _guard(self._advance)
        for connection in self._connections:
            connection.socket.settimeout(1)
            _guard(connection.socket.sendall, connection.backlog)

    def _watch(self, file: int, handler: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        self._poll.register(file, events)
        self._handlers[file] = handler

    def _unwatch(self, file: int) -> None:
        if self._handlers.pop(file, None):
            self._poll.unregister(file)

    def _watch_signals(self) -> None:
        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._on_child)
        signal.signal(signal.SIGTERM, self._on_terminate)
        for ignored in (signal.SIGINT, signal.SIGHUP):  # a terminal's affair, and it has none
            signal.signal(ignored, signal.SIG_IGN)
        self._watch(wake, lambda _: _swallow(wake))

    def _on_child(self, *_: object) -> None:
        self._stirred = True

    def _on_terminate(self, *_: object) -> None:
        self._told_to_end = True

    def _patience(self) -> float | None:
        """Return how long the loop may sleep, in seconds; None: until something happens."""
        now = time.monotonic()
        if self._stirred or self._told_to_end:
            return 0
        if any(run.ending for run in self._runs.values()):
            return max(0.0, self._next_step - now)
        if self._runs or self._unsaved:
            return max(0.0, self._next_tick - now)
        return None if self._connections else max(0.0, self._idle_since + self._idle_seconds - now)

    def _is_needed(self) -> bool:
        return bool(self._runs or self._unsaved or self._connections)

    def _is_done(self) -> bool:
        if self._runs or self._unsaved:
            return False
        idle = not self._connections and time.monotonic() >= self._idle_since + self._idle_seconds
        return self._retiring or idle

    def _advance(self) -> None:
        """Do what time or an ended child asks for."""
        if self._told_to_end:
            self._told_to_end = False
            self._retiring = True
            for run in self._runs.values():
                self._begin_end(run, run.grace_seconds, "shim")
        now = time.monotonic()
        ending = [run for run in self._runs.values() if run.ending]
        if self._stirred or (ending and now >= self._next_step):
            self._stirred = False  # before the look: what ends during it is looked for again
            self._next_step = now + STEP
            self._templates.bury()
            orphans, exact = self._orphans()
            self._stirred = self._stirred or not exact
            for run in ending:
                if not run.main_gone or not exact or run.attempt in orphans:
                    _guard(self._step, run, now, orphans.get(run.attempt, []))
            self._finish([one for one in ending if one.main_gone and exact and one.attempt not in orphans])
        if now >= self._next_tick and (self._runs or self._unsaved):
            self._next_tick = now + TICK
            self._tick()

    def _tick(self) -> None:
        now = host.boottime()
        self._save(list(self._unsaved))
        for run in self._runs.values():
            run.output.tell_losses()
            if not run.main_gone:
                run.memory.look(run.child.pid)
            if run.lease and run.lease.is_lost(now):
                self._begin_end(run, min(run.grace_seconds, run.lease.left(now)), "lease")
            elif run.deadline and now >= run.deadline:
                self._begin_end(run, run.grace_seconds, "time")
        for door in self._doors_due(now):
            self._renew(door, now)

    # --- agents

    def _accept(self) -> None:
        try:
            accepted = self._listener.accept()[0]
        except BlockingIOError:
            return
        except OSError as error:  # no file left for it: it waits, and the loop must not spin
            _log(f"cannot accept an agent: {error}")
            time.sleep(0.05)
            return
        accepted.setblocking(False)
        connection = Connection(accepted)
        self._connections.append(connection)
        self._watch(accepted.fileno(), lambda events: self._serve(connection, events))

    def _serve(self, connection: Connection, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._flush(connection)
            data = connection.socket.recv(1 << 20)
            if not data:
                self._drop(connection)
            for request in connection.lines.feed(data):
                self._dispatch(connection, request)
            self._start_all()
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            _log(f"an agent's connection is dropped: {error}")
            self._drop(connection)

    def _dispatch(self, connection: Connection, request: dict[str, Any]) -> None:
        caller = Caller(self, connection, request)
        if request.get("do") != "launch":
            self._start_all()  # what was asked before
        try:
            answer = self._command(connection, request)(caller, request)
        except Exception as error:  # noqa: BLE001 - answered, so that nobody waits for ever
            caller.refuse(error)
        else:
            if answer is not None:
                caller.answer(answer)

    def _command(
        self, connection: Connection, request: dict[str, Any]
    ) -> Callable[[Caller, dict[str, Any]], dict[str, Any] | None]:
        do = request.get("do", "")
        if not connection.greeted and do != "hello":
            raise Refusal("hello_first", "Say hello, with your protocol, before anything else.")
        if do not in self._commands:
            raise Refusal("unknown", f"This shim knows no {do!r}.")
        return self._commands[do]

    def send(self, connection: Connection, message: dict[str, Any]) -> None:
        """Send a message now, or as soon as the agent takes it."""
        connection.backlog += messages.encode(message)
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        file = connection.socket.fileno()
        if file not in self._handlers:
            return
        try:
            sent = connection.socket.send(connection.backlog) if connection.backlog else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        del connection.backlog[:sent]
        if len(connection.backlog) > _LONGEST_BACKLOG:
            _log("an agent takes no answers; its connection is dropped")
            self._drop(connection)
            return
        self._poll.modify(file, select.EPOLLIN | (select.EPOLLOUT if connection.backlog else 0))

    def _drop(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._unwatch(connection.socket.fileno())
            connection.socket.close()

    # --- requests

    def _hello(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        if not messages.speaks(request.get("protocol")):
            raise Refusal("protocol", f"This shim speaks protocol {messages.PROTOCOL}, one more or one less.")
        caller.connection.greeted = True
        return {
            "protocol": messages.PROTOCOL,
            "host": self._host,
            "pid": os.getpid(),
            "start_time": tree.start_time(os.getpid()),
            "retiring": self._retiring,
        }

    def _launch(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any] | None:
        attempt = request["attempt"]
        if attempt in self._ended:
            return _already_ended(self._ended[attempt])
        run = self._runs.get(attempt)
        if run and run.started:
            return {"handle": run.handle}
        if not run and attempt not in self._orders:
            if self._retiring:
                raise Refusal("retiring", "This shim forks no more. Start another.")
            tree.limit_mark(attempt)  # ValueError: no UUID
            self._orders[attempt] = request
        self._launching.setdefault(attempt, []).append(caller)
        return None

    def _start_all(self) -> None:
        """Start what was ordered in this round: all intents are on disk before the first fork.

        A template forks one run while the next is ordered of it.
        """
        orders, self._orders = self._orders, {}
        intents = [(order, self._answering(self._write_intent, order)) for order in orders.values()]
        births = [(order, self._answering(self._begin, order, intent)) for order, intent in intents if intent]
        for order, birth in births:
            if birth:
                self._answering(self._complete, order, birth)

    def _answering(self, act: Callable[..., Any], order: dict[str, Any], *more: object) -> Any:
        """Do a part of a launch; when it fails, whoever asked for the launch is told."""
        try:
            return act(order, *more)
        except Exception as error:  # noqa: BLE001 - answered, so that nobody waits for ever
            for caller in self._launching.pop(order["attempt"], []):
                caller.refuse(error)
            return None

    def _write_intent(self, order: dict[str, Any]) -> int | None:
        """Return the intent, to be settled (a file, never 0); None: it was launched before, and has ended."""
        attempt, directory = order["attempt"], order["spool_dir"]
        intent = {"attempt": attempt, "argv": order["argv"], **self._host, "at": time.time()}
        try:
            return spool.write_intent(directory, intent)
        except FileExistsError:
            record = spool.read_exit(directory)
            if not record:
                raise Refusal("launched_elsewhere", f"Another shim has launched {attempt}.") from None
            for caller in self._launching.pop(attempt, []):
                caller.answer(_already_ended(record))
            return None
        except OSError as error:
            raise _not_launched(f"The spool '{directory}' cannot be written", error) from error

    def _begin(self, order: dict[str, Any], intent: int) -> Birth:
        """Bring the intent to disk, and order the run of a template if one takes it."""
        try:
            if door := door_of(order)[0]:
                lease.prepare(door)
            spool.settle(intent)
            return Birth(order, self._templates, self._inherited)
        except Exception as error:
            raise _unborn(order, error) from error

    def _complete(self, order: dict[str, Any], birth: Birth) -> None:
        """Take the run into the shim's hands, and let it begin."""
        attempt, directory = order["attempt"], order["spool_dir"]
        witness = memory.Witness(self._mounts)
        witness.look(os.getpid())  # the child begins in the same group
        try:
            child = birth.child()
        except OSError as error:
            raise _unborn(order, error) from error
        handle = {
            **self._host,
            "pid": child.pid,
            "start_time": tree.start_time(child.pid),
            "attempt": attempt,
            "spool_dir": directory,
            "forked": birth.forked,
        }
        run = self._runs[attempt] = Run(order, child, birth.output, handle, witness)
        _guard(spool.add_handle, directory, handle)
        self._watch(child.verdict, lambda _: self._on_verdict(run))
        _guard(birth.go)

    def _stop(self, _: Caller, request: dict[str, Any]) -> dict[str, Any]:
        run = self._runs.get(request["attempt"])
        if run:
            self._begin_end(run, float(request["grace_seconds"]), "agent")
        return {"known": run is not None}

    def _list(self, _: Caller, __: dict[str, Any]) -> dict[str, Any]:
        return {
            "runs": [
                {
                    "attempt": run.attempt,
                    "handle": run.handle,
                    "ending": run.ending is not None,
                    "detail": run.detail,
                }
                for run in self._runs.values()
            ],
            "ended": list(self._ended.values()),
        }

    def _acknowledge(self, _: Caller, request: dict[str, Any]) -> dict[str, Any]:
        if request["attempt"] not in self._unsaved:
            self._ended.pop(request["attempt"], None)
        return {}

    def _renewed(self, _: Caller, request: dict[str, Any]) -> dict[str, Any]:
        for attempt in request["attempts"]:
            self._extend(attempt, float(request["sent_at"]), float(request["lease_seconds"]))
        return {}

    def _retire(self, _: Caller, __: dict[str, Any]) -> dict[str, Any]:
        self._retiring = True
        return {}

    # --- runs

    def _on_verdict(self, run: Run) -> None:
        """Learn whether the program could be started."""
        try:
            part = os.read(run.child.verdict, 4096)
        except BlockingIOError:
            return
        if part:
            run.problem += part
            return
        self._unwatch(run.child.verdict)
        os.close(run.child.verdict)
        callers = self._launching.pop(run.attempt, [])
        if run.problem:
            del self._runs[run.attempt]
            record = run.discard()
            self._keep(run, record)
            self._save([run.attempt])
            for caller in callers:
                caller.refuse(Refusal("not_launched", record["message"]))
            if not any(caller.connection in self._connections for caller in callers):
                self._tell(record)
            return
        run.started = True
        self._watch(run.child.pidfd, lambda _: self._on_exit(run))
        for stream, pipe in _pipes(run).items():
            self._watch(pipe, self._pump(run, stream, pipe))
        for caller in callers:
            caller.answer({"handle": run.handle})

    def _pump(self, run: Run, stream: str, pipe: int) -> Callable[[int], None]:
        def pump(_: int) -> None:
            if not run.pump(stream, pipe):
                self._unwatch(pipe)  # closed when the run is reaped

        return pump

    def _on_exit(self, run: Run) -> None:
        if not _has_ended(run.child.pidfd):
            return
        self._unwatch(run.child.pidfd)
        run.main_gone = True
        run.ended_at = time.time()
        now = time.monotonic()
        if run.ending is None:
            run.ending = Ending(now, min(LEFTOVERS, run.grace_seconds), None)
        self._stirred = True

    def _begin_end(self, run: Run, grace_seconds: float, reason: str) -> None:
        now = time.monotonic()
        if run.ending:
            run.ending.hurry(now, grace_seconds)
        else:
            run.ending = Ending(now, grace_seconds, reason)
        self._next_step = 0

    def _step(self, run: Run, now: float, orphans: list[int]) -> None:
        """Bring a tree one step nearer to its end."""
        assert run.ending
        main = None if run.main_gone else run.child.pid
        members = tree.with_descendants([*([main] if main else []), *orphans])
        if run.main_gone:
            run.leftovers.update(one.identity for one in members)
        if now > run.ending.deadline + 1:
            run.detail = f"still there after SIGKILL: {tree.describe(members)}"
        for process, number in run.ending.due(now, main, members):
            try:
                if tree.send(process, number):
                    run.note_signal(process.pid, number)
            except PermissionError:
                run.detail = f"cannot be signalled: {tree.describe([process])}"

    def _finish(self, runs: list[Run]) -> None:
        """Write down what became of runs of which nothing is left, then tell it."""
        for run in runs:
            _guard(self._reap, run)
        reaped = [run.attempt for run in runs if run.attempt in self._unsaved]
        self._save(reaped)
        for attempt in reaped:
            self._tell(self._ended[attempt])

    def _reap(self, run: Run) -> None:
        pipes = _pipes(run)
        run.drain(pipes)
        for pipe in pipes.values():
            self._unwatch(pipe)
            os.close(pipe)
        del self._runs[run.attempt]
        record = run.reap()
        if record["signal"] == signal.SIGKILL and not run.killed:
            record["oom_kills"] = run.memory.kills()
        self._keep(run, record)

    def _keep(self, run: Run, record: dict[str, Any]) -> None:
        self._ended[run.attempt] = record
        self._unsaved[run.attempt] = run.directory

    def _tell(self, record: dict[str, Any]) -> None:
        for connection in list(self._connections):
            if connection.greeted:
                self.send(connection, {"event": "exited", "record": record})

    def _save(self, attempts: list[str]) -> None:
        """Bring exit records to disk; when there is no room they are told all the same, and written later."""
        files: dict[str, int] = {}
        for attempt in attempts:
            try:
                files[attempt] = spool.write_exit(self._unsaved[attempt], self._ended[attempt])
            except FileNotFoundError:
                _log(f"the spool of {attempt} was taken away; its exit record is kept in memory only")
                del self._unsaved[attempt]
            except OSError as error:
                _log(f"the exit record of {attempt} cannot be written yet: {error}")
        for attempt, file in files.items():
            try:
                spool.settle_exit(self._unsaved[attempt], file)
                del self._unsaved[attempt]
            except OSError as error:
                _log(f"the exit record of {attempt} is not on disk yet: {error}")

    def _orphans(self) -> tuple[dict[str, list[int]], bool]:
        """Reap the dead among the orphans that came back here; return the living, by attempt.

        Also return whether these are all: one that has just ended may have left children after the list was
        made, and a chain of such can hide for ever from whoever believes a single look.
        """
        own = {run.child.pid for run in self._runs.values()}
        own.update(renewal.pid for renewal in self._renewals.values())
        own.update(self._templates.pids)
        found: dict[str, list[int]] = {}
        exact = True
        for pid in tree.children(os.getpid()):
            if pid in own:
                continue
            owner = self._owner(pid)
            if os.waitpid(pid, os.WNOHANG)[0]:  # after its marks were read: a zombie bears none
                exact = False
            elif owner:
                found.setdefault(owner, []).append(pid)
        return found, exact

    def _owner(self, pid: int) -> str | None:
        """Return the attempt an orphan belongs to. One that bears no mark goes with the last run."""
        named = tree.read_environment_mark(pid)
        if named in self._runs:
            return named
        number, process = tree.read_limit_mark(pid), tree.read(pid)
        for run in self._runs.values():
            if tree.limit_mark(run.attempt) == number or (process and process.session == run.child.pid):
                return run.attempt
        return next(iter(self._runs)) if len(self._runs) == 1 else None

    # --- leases

    def _doors_due(self, now: float) -> Iterator[tuple[str, int, bool, str]]:
        wanting = {run.door for run in self._runs.values() if run.lease and run.lease.wants_shim(now)}
        for door in wanting:
            if door and door not in self._renewals and now >= self._renew_again.get(door, 0):
                yield door

    def _renew(self, door: tuple[str, int, bool, str], now: float) -> None:
        """Renew all leases of one server in one request."""
        runs = [run for run in self._runs.values() if run.door == door and run.lease]
        shortest = min(run.lease.seconds for run in runs if run.lease)
        self._renew_again[door] = now + shortest * (lease.SHIM_AFTER - lease.RENEW_AFTER)
        try:
            renewal = lease.Renewal(door, {run.attempt: run.token for run in runs}, now)
        except OSError as error:
            _log(f"the leases cannot be renewed: {error}")
            return
        self._renewals[door] = renewal
        self._watch(renewal.pipe, lambda _: self._on_renewal(door, renewal))

    def _on_renewal(self, door: tuple[str, int, bool, str], renewal: lease.Renewal) -> None:
        if not renewal.read():
            return
        self._unwatch(renewal.pipe)
        answer = renewal.result()
        del self._renewals[door]
        if "error" in answer:
            _log(f"the leases of {len(renewal.attempts)} runs were not renewed: {answer['error']}")
            return
        stop, over = set(answer.get("stop") or ()), set(answer.get("over") or ())
        for attempt in renewal.attempts:
            run = self._runs.get(attempt)
            if attempt not in over:
                self._extend(attempt, renewal.sent_at, float(answer["lease_seconds"]))
            if run and attempt in stop | over:
                grace = min(run.grace_seconds, OVER_GRACE) if attempt in over else run.grace_seconds
                self._begin_end(run, grace, "server")

    def _extend(self, attempt: str, sent_at: float, seconds: float) -> None:
        run = self._runs.get(attempt)
        if run and run.lease:
            run.lease.renewed(sent_at, seconds)


def _pipes(run: Run) -> dict[str, int]:
    return {"stdout": run.child.stdout, "stderr": run.child.stderr}


def _has_ended(pidfd: int) -> bool:
    """Whether the child is a zombie; it is left one, so that its pid stays taken."""
    return os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _already_ended(record: dict[str, Any]) -> dict[str, Any]:
    if not record["launched"]:
        raise Refusal("not_launched", record["message"])
    return {"handle": record["handle"], "exit": record}


def _unborn(order: dict[str, Any], error: Exception) -> Exception:
    """Take the intent back: there is no process, and a repeat is welcome."""
    spool.forget_intent(order["spool_dir"])
    return _not_launched("The run could not be forked", error) if isinstance(error, OSError) else error


def _not_launched(what: str, error: OSError) -> Refusal:
    remedy = _REMEDIES.get(error.errno or 0, "")
    return Refusal("not_launched", f"{what}: {error.strerror}. {remedy}".strip())


def _guard(action: Callable[..., object], *arguments: Any) -> None:
    """Run an action of the loop; whatever goes wrong in it, the runs must not end with the loop."""
    try:
        action(*arguments)
    except Exception:  # noqa: BLE001 - see above
        _log(traceback.format_exc())


def _swallow(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 4096)


def _log(text: str) -> None:
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text.strip()}\n"
    with contextlib.suppress(OSError):  # a full disk; there is nowhere else to say it
        os.write(2, line.encode(errors="replace"))


# --- start


def main(directory: str, idle_seconds: float) -> None:
    """Become a shim in ``directory``, whose door is found there; say ``ready``, ``busy`` or what is wrong."""
    try:
        os.chdir(directory)  # and a path relative to it is never too long for a socket
        lock = os.open(messages.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _take(lock):
            _say("busy")
            return
        if not tree.can_list_children():
            _say("This kernel does not list children in /proc (CONFIG_PROC_CHILDREN); reeve's runs need it.")
            return
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _serve_as_daemon(idle_seconds)
        os._exit(0)
    except OSError as error:
        _say(f"The shim cannot start in '{directory}': {error.strerror}.")


def _serve_as_daemon(idle_seconds: float) -> None:
    inherited = spawn.Inherited()
    inherited.raise_limits()
    spawn.become_subreaper()
    _redirect_errors()
    listener = _listen()
    shim = Shim(listener, idle_seconds, inherited)
    gc.collect()
    gc.freeze()  # children share what was there before them
    _say("ready")
    os.dup2(2, 1)  # whoever started this shim reads to the end of its output
    _guard(shim.serve)
    with contextlib.suppress(OSError):
        os.unlink(messages.SOCKET)  # while the lock is held: the next shim's socket has the same name
    os._exit(0)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _redirect_errors() -> None:
    log = os.open(messages.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if os.fstat(log).st_size > _LONGEST_LOG:
        os.ftruncate(log, 0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


def _listen() -> socket.socket:
    if os.path.lexists(messages.SOCKET):
        os.unlink(messages.SOCKET)  # a dead shim's: we hold the lock
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    listener.bind(messages.SOCKET)
    os.chmod(messages.SOCKET, 0o600)
    listener.listen(64)
    return listener


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
