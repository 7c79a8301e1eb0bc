"""The shim: parent of every run of the process driver, in one thread and one loop (protocol §9).

It forks runs, sees them end, writes what became of them to disk before it tells, renews their leases when the
agent is silent, and ends their trees. It outlives the agent. It imports the standard library only, and all it
needs before its first child: the files of its environment may be replaced while it lives.

Nothing in the loop may wait for the network, and no error may end the loop: the runs would end with it.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time

from reeve.drivers.process import host, lease, memory, messages, spawn, spool, templates, tree
from reeve.drivers.process.agents import Agents, Refusal
from reeve.drivers.process.birth import Birth
from reeve.drivers.process.ending import LEFTOVERS, Ending
from reeve.drivers.process.loop import Loop, guard, log, swallow
from reeve.drivers.process.records import Records
from reeve.drivers.process.renewals import Renewals
from reeve.drivers.process.run import Run, door_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from reeve.drivers.process.agents import Caller, Command

STEP = 0.05  # seconds between two looks at a tree that is being ended
TICK = 0.5  # seconds between two looks at leases, and at a disk that was full
FIRST_CALL = 10.0  # seconds that whoever started a shim has to connect
_REMEDIES = {
    errno.EAGAIN: "Raise the limit of processes (ulimit -u, pids.max of the cgroup), or run fewer at once.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or run fewer at once.",
    errno.ENFILE: "Raise fs.file-max, or run fewer at once.",
    errno.ENOMEM: "Free some memory, or run fewer at once.",
    errno.ENOSPC: "Free some disk space.",
    errno.EDQUOT: "Free some disk space.",
}


class Shim:
    """The loop, and all it knows."""

    def __init__(self, listener: socket.socket, idle_seconds: float, inherited: spawn.Inherited) -> None:
        self._idle_seconds = idle_seconds
        self._inherited = inherited
        self._loop = Loop()
        self._runs: dict[str, Run] = {}
        self._records = Records()
        self._orders: dict[str, dict[str, Any]] = {}  # launches of this round, started together
        self._launching: dict[str, list[Caller]] = {}
        self._renewals = Renewals(self._loop, self._runs, self._begin_end)
        self._host = host.identify()
        self._retiring = False
        self._told_to_end = False
        self._stirred = False  # a child has ended: look at the trees now
        self._next_step = 0.0
        self._next_tick = 0.0
        self._idle_since = time.monotonic() + FIRST_CALL
        self._witness = memory.Witness(memory.mounts())  # of the shim's own group, in which its runs begin
        self._templates = templates.Templates(inherited, log)
        self._room = spool.Room()
        commands: dict[str, Command] = {
            "hello": self._hello,
            "launch": self._launch,
            "stop": self._stop,
            "list": self._list,
            "acknowledge": self._acknowledge,
            "renewed": self._renewed,
            "room": self._make_room,
            "retire": self._retire,
        }
        self._agents = Agents(listener, self._loop, commands, self._start_all)

    # --- the loop

    def serve(self) -> None:
        """Serve until told to retire, or nobody needs this shim any more."""
        self._watch_signals()
        while not self._is_done():
            news = self._loop.wait(self._patience())
            if self._is_needed():
                self._idle_since = time.monotonic()
            self._loop.handle(news)
            guard(self._advance)
            guard(self._agents.flush)
        self._agents.close()

    def _watch_signals(self) -> None:
        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._on_child)
        signal.signal(signal.SIGTERM, self._on_terminate)
        for ignored in (signal.SIGINT, signal.SIGHUP):  # a terminal's affair, and it has none
            signal.signal(ignored, signal.SIG_IGN)
        self._loop.watch(wake, lambda _: swallow(wake))

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
        if self._has_work():
            return max(0.0, self._next_tick - now)
        return None if self._agents.connections else max(0.0, self._idle_since + self._idle_seconds - now)

    def _has_work(self) -> bool:
        return bool(self._runs) or not self._records.are_saved

    def _is_needed(self) -> bool:
        return bool(self._agents.connections) or self._has_work()

    def _is_done(self) -> bool:
        if self._has_work():
            return False
        idle = not self._agents.connections and time.monotonic() >= self._idle_since + self._idle_seconds
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
        steps = now >= self._next_step
        if self._stirred or (ending and steps):
            self._stirred = False  # before the look: what ends during it is looked for again
            if steps:
                self._next_step = now + STEP
            self._templates.bury()
            orphans, exact = self._orphans()
            self._stirred = self._stirred or not exact
            for run in ending:
                # The end of another is no reason to look at one that lives: a hundred may end at once.
                if steps if not run.main_gone else not exact or run.attempt in orphans:
                    guard(self._step, run, now, orphans.get(run.attempt, []))
            self._finish([one for one in ending if one.main_gone and exact and one.attempt not in orphans])
        if now >= self._next_tick and self._has_work():
            self._next_tick = now + TICK
            self._tick()

    def _tick(self) -> None:
        now = host.boottime()
        self._records.save()
        for run in self._runs.values():
            run.output.count_records()
            run.output.tell_losses()
            if not run.main_gone:
                run.memory.look(run.child.pid)
            if run.lease and run.lease.is_lost(now):
                self._begin_end(run, min(run.grace_seconds, run.lease.left(now)), "lease")
            elif run.deadline and now >= run.deadline:
                self._begin_end(run, run.grace_seconds, "time")
        self._renewals.renew(now)

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
        if attempt in self._records.ended:
            return _already_ended(self._records.ended[attempt])
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
        """Start what was ordered in this round: all intents are on disk before the first run begins.

        A template's runs get ready meanwhile; it answers in the order in which it was asked.
        """
        orders, self._orders = list(self._orders.values()), {}
        born = [(order, birth) for order in orders if (birth := self._answering(self._order_birth, order))]
        written = [(*one, self._answering(self._write_intent, one[0])) for one in born]
        settled = [(*one, self._answering(self._settle_intent, one[0], one[2])) for one in written]
        if settled:
            self._witness.look(os.getpid())
        for order, birth, intent, on_disk in settled:
            if on_disk:
                self._answering(self._complete, order, intent, birth)
            else:
                guard(birth.give_up)

    def _answering(self, act: Callable[..., Any], order: dict[str, Any], *more: object) -> Any:
        """Do a part of a launch; when it fails, whoever asked for the launch is told."""
        try:
            return act(order, *more)
        except Exception as error:  # noqa: BLE001 - answered, so that nobody waits for ever
            for caller in self._launching.pop(order["attempt"], []):
                caller.refuse(error)
            return None

    def _order_birth(self, order: dict[str, Any]) -> Birth:
        """Order the run of a template if one takes it: it does nothing before its go."""
        if door := door_of(order)[0]:
            lease.prepare(door)
        try:
            return Birth(order, self._templates, self._inherited, self._room)
        except OSError as error:
            raise _not_launched("The run could not be forked", error) from error

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
            answer = _already_ended(record)
            for caller in self._launching.pop(attempt, []):
                caller.answer(answer)
            return None
        except OSError as error:
            raise _not_launched(f"The spool '{directory}' cannot be written", error) from error

    def _settle_intent(self, order: dict[str, Any], intent: int | None) -> bool:
        """Bring an intent to disk; return whether there is one."""
        if intent is None:
            return False
        try:
            spool.settle(intent)
        except OSError as error:
            raise _unborn(order, intent, error) from error
        return True

    def _complete(self, order: dict[str, Any], intent: int, birth: Birth) -> None:
        """Take the run into the shim's hands, and let it begin."""
        attempt, directory = order["attempt"], order["spool_dir"]
        try:
            child = birth.child()
        except OSError as error:
            raise _unborn(order, intent, error) from error
        handle = {
            **self._host,
            "pid": child.pid,
            "start_time": tree.start_time(child.pid),
            "attempt": attempt,
            "spool_dir": directory,
            "forked": birth.forked,
        }
        run = self._runs[attempt] = Run(order, child, birth.output, handle, self._witness.twin())
        guard(spool.add_handle, intent, handle)
        self._loop.watch(child.verdict, lambda _: self._on_verdict(run))
        guard(birth.go, child)

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
            "ended": list(self._records.ended.values()),
        }

    def _acknowledge(self, _: Caller, request: dict[str, Any]) -> dict[str, Any]:
        self._records.acknowledge(request["attempts"])
        return {}

    def _renewed(self, _: Caller, request: dict[str, Any]) -> dict[str, Any]:
        for attempt in request["attempts"]:
            self._renewals.extend(attempt, float(request["sent_at"]), float(request["lease_seconds"]))
        return {}

    def _make_room(self, _: Caller, request: dict[str, Any]) -> dict[str, Any]:
        """Keep to what the agent allows, also when it has died: nobody else frees anything."""
        if request.get("until") is not None:
            self._room.until = int(request["until"])
        return {
            "written": self._room.written,
            "until": self._room.until,
            "dropped": self._room.dropped,
            "outputs": {run.attempt: run.output.size for run in self._runs.values()},
        }

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
        self._loop.unwatch(run.child.verdict)
        os.close(run.child.verdict)
        callers = self._launching.pop(run.attempt, [])
        if run.problem:
            del self._runs[run.attempt]
            record = run.discard()
            told = self._records.keep(run, record)
            self._records.save()
            for caller in callers:
                caller.refuse(Refusal("not_launched", record["message"]))
            if not any(caller.connection in self._agents.connections for caller in callers):
                self._agents.tell(told)
            return
        run.started = True
        self._loop.watch(run.child.pidfd, lambda _: self._on_exit(run))
        for stream, pipe in run.child.pipes.items():
            self._loop.watch(pipe, self._pump(run, stream, pipe))
        for caller in callers:
            caller.answer({"handle": run.handle})

    def _pump(self, run: Run, stream: str, pipe: int) -> Callable[[int], None]:
        def pump(_: int) -> None:
            if not run.pump(stream, pipe):
                self._loop.unwatch(pipe)
                os.close(run.child.pipes.pop(stream))

        return pump

    def _on_exit(self, run: Run) -> None:
        if not _has_ended(run.child.pidfd):
            return
        self._loop.unwatch(run.child.pidfd)
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
        ends: list[bytes] = []
        for run in runs:
            guard(self._reap, run, ends)
        self._records.save()
        for told in ends:
            self._agents.tell(told)

    def _reap(self, run: Run, ends: list[bytes]) -> None:
        pipes = run.child.pipes
        run.drain(pipes)
        for pipe in pipes.values():
            self._loop.unwatch(pipe)
            os.close(pipe)
        del self._runs[run.attempt]
        record = run.reap()
        if record["signal"] == signal.SIGKILL and not run.killed:
            record["oom_kills"] = run.memory.kills()
        ends.append(self._records.keep(run, record))

    def _orphans(self) -> tuple[dict[str, list[int]], bool]:
        """Reap the dead among the orphans that came back here; return the living, by attempt.

        Also return whether these are all: one that has just ended may have left children after the list was
        made, and a chain of such can hide for ever from whoever believes a single look.
        """
        own = {run.child.pid for run in self._runs.values()}
        own |= self._renewals.pids | self._templates.pids
        found: dict[str, list[int]] = {}
        exact = True
        for pid in tree.own_children():
            if pid in own or self._templates.owns(pid):
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


def _has_ended(pidfd: int) -> bool:
    """Whether the child is a zombie; it is left one, so that its pid stays taken."""
    return os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _already_ended(record: dict[str, Any]) -> dict[str, Any]:
    if not record["launched"]:
        raise Refusal("not_launched", record["message"])
    return {"handle": record["handle"], "exit": record}


def _unborn(order: dict[str, Any], intent: int, error: Exception) -> Exception:
    """Take the intent back: there is no process, and a repeat is welcome."""
    spool.forget_intent(order["spool_dir"], intent)
    return _not_launched("The run could not be forked", error) if isinstance(error, OSError) else error


def _not_launched(what: str, error: OSError) -> Refusal:
    remedy = _REMEDIES.get(error.errno or 0, "")
    return Refusal("not_launched", f"{what}: {error.strerror}. {remedy}".strip())
