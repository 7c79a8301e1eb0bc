"""Processes of runs that others launched, found by the pid that a 2.20 server keeps, and ended whole.

``HOST:PID`` says only where to look: by now the number may be another process's (W34). A process is of a run
when its environment names that run, or when one of those has started it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID

from reeve import clock
from reeve.drivers.process import tree
from reeve.drivers.process.ending import Ending
from reeve.errors import ReeveError
from reeve.wire.responses import FlowRunResponse

GRACE_SECONDS = 30.0  # as 2.20's (A97): what the job itself allows only its own agent knows
_MARK = b"PREFECT__FLOW_RUN_ID="
_RECORDS = (
    b"REEVE_RECORDS="  # what a reeve agent launched is told where its records go, below that agent's lock
)
_RUNNER = [b"flow-run", b"execute"]  # words of the command of 2.20's runner, one after the other (A95)
_SKEW_SECONDS = 60.0  # between this machine's clock and those that the run's times are of
_AFTER_GRACE_SECONDS = 5.0  # for SIGKILL to work
_LOOK_SECONDS = 0.1


class OutOfReachError(ReeveError):
    """A run's process cannot be ended from here, or not be told from others."""

    code = "out_of_reach"


def find(run: FlowRunResponse) -> list[tree.Process]:
    """Return the living processes of a run; none when it is sure that there are none on this host.

    Raises OutOfReachError when they cannot be seen, or not be told from others.
    """
    pid = _local_pid(run)
    found = _of_run(run)
    if not found and _may_be_of(run, pid):
        raise OutOfReachError(
            f"Unable to kill process {pid}: Nothing shows whether it is the flow run's or another's."
        )
    return found


def are_of_a_runner(processes: list[tree.Process]) -> bool:
    """Whether one of them is 2.20's runner, which ends the run itself and calls its hooks."""
    for one in processes:
        words = _read(one.pid, "cmdline").split(b"\0")
        if _RUNNER in [words[place : place + 2] for place in range(len(words))]:
            return True
    return False


def have_an_agent(processes: list[tree.Process]) -> bool:
    """Whether a living agent of reeve's on this host holds one of them, with the grace period of its job."""
    held = _flocks()
    for one in processes:
        directory = Path(os.fsdecode(_variable(one.pid, _RECORDS))).parent.parent.parent
        with suppress(OSError):
            if (directory / "lock").stat().st_ino in held:
                return True
    return False


async def end(run: FlowRunResponse, grace_seconds: float = GRACE_SECONDS) -> None:
    """End a run's tree: asked first, killed after the grace period; return when nothing is left.

    Raises OutOfReachError for a tree that resists, or belongs to another user.
    """
    main = _local_pid(run)
    now = asyncio.get_running_loop().time
    ending = Ending(now(), grace_seconds, None)
    found = await asyncio.to_thread(find, run)
    empty = 0
    while empty < 2:  # one that is born while others are looked at is seen by the next look
        found = await asyncio.to_thread(_left, run, found)
        empty = 0 if found else empty + 1
        if now() > ending.deadline + _AFTER_GRACE_SECONDS:
            raise OutOfReachError(f"Still there after SIGKILL: {tree.describe(found)}.")
        alive = main if main in {one.pid for one in found} else None
        for process, number in ending.due(now(), alive, found):
            _send(process, number)
        await asyncio.sleep(_LOOK_SECONDS)


def _left(run: FlowRunResponse, known: list[tree.Process]) -> list[tree.Process]:
    """Return what lives of a run, also what was of it: who is about to end has no environment any more."""
    living = [one.pid for one in known if (now := tree.read(one.pid)) and now.identity == one.identity]
    found = {one.identity: one for one in [*tree.with_descendants(living), *_of_run(run)]}
    return list(found.values())


def _send(process: tree.Process, number: int) -> None:
    try:
        tree.send(process, number)
    except PermissionError as error:
        raise OutOfReachError(f"Unable to kill process {process.pid}: It is another user's.") from error


def _local_pid(run: FlowRunResponse) -> int:
    """Return the number of a run's process; raises OutOfReachError for what is none of this host (A119)."""
    host, _, number = (run.infrastructure_pid or "").rpartition(":")  # a host's name may hold colons
    if not number.isdecimal():
        raise OutOfReachError(f"Unable to kill '{run.infrastructure_pid}': It is no process.")
    if host != os.uname().nodename:
        raise OutOfReachError(
            f"Unable to kill process {number}: The process is running on a different host '{host}'."
        )
    return int(number)


def _of_run(run: FlowRunResponse) -> list[tree.Process]:
    return [one for one in tree.with_descendants(_marked(run.id)) if one.pid != os.getpid()]


def _marked(run_id: UUID) -> list[int]:
    """Return the processes whose environment names a run."""
    return [pid for pid in _pids() if _run_of(pid) == run_id]


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _run_of(pid: int) -> UUID | None:
    try:
        return UUID(os.fsdecode(_variable(pid, _MARK)))
    except ValueError:
        return None


def _variable(pid: int, start: bytes) -> bytes:
    """Return a variable of the environment that a process was started with; empty when it has none."""
    variables = _read(pid, "environ").split(b"\0")
    return next((one.removeprefix(start) for one in variables if one.startswith(start)), b"")


def _flocks() -> set[int]:
    """Return the inodes of all files that are locked; trying a lock would make its owner's start fail."""
    lines = Path("/proc/locks").read_text().splitlines()
    return {int(line.split()[-3].rpartition(":")[2]) for line in lines if " FLOCK " in line}


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # gone, or another user's
        return b""


def _may_be_of(run: FlowRunResponse, pid: int) -> bool:
    """Whether an unmarked process may be a run's: it is there, and was started when the run's was."""
    process = tree.read(pid)
    if process is None:
        return _is_hidden(pid)
    if _run_of(pid) is not None:
        return False  # another run's
    ticks = process.start_time / os.sysconf("SC_CLK_TCK")
    started = time.time() - clock.boottime() + ticks
    earliest = _seconds(run.created) - _SKEW_SECONDS
    return earliest <= started <= _latest_start(run) + _SKEW_SECONDS


def _latest_start(run: FlowRunResponse) -> float:
    """Return when a run's last process had been started for certain: it had said Running, say."""
    if run.start_time and run.run_count == 1:
        return _seconds(run.start_time)
    return _seconds(run.state.timestamp) if run.state else time.time()


def _is_hidden(pid: int) -> bool:
    """Whether another user's process has this number, where /proc shows only one's own."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False  # a zombie


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
