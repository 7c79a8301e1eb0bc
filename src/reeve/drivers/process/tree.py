"""Which processes belong to a run, and whether they are gone (protocol §9).

A run carries two marks that its children inherit: ``REEVE_ATTEMPT`` in the environment, and the attempt's
number as soft limit of file locks, which the kernel has not looked at since Linux 2.4.25 but hands on over
fork and exec. The second survives ``env -i`` and programs that write their title over their environment.

Shim and agent both read through this file, so it imports little. A cgroup, where one can be written, would
replace the marks: ``census`` and ``children`` are the two functions to change.
"""
# ruff: noqa: PTH110, PTH116, PTH208 - pathlib would cost the shim a megabyte

from __future__ import annotations

import contextlib
import os
import resource
import signal

MARK = "REEVE_ATTEMPT"
_RLIMIT_LOCKS = 10  # not named in Python's resource module
_GONE = (b"Z", b"X", b"x")
# Gone, or another user's. What else keeps a mark from being read, no file left, proves nothing.
_UNSEEN = (FileNotFoundError, ProcessLookupError, PermissionError)


class Process:
    """One process as /proc showed it. Pid and start time (clock ticks since boot) name it for good."""

    __slots__ = ("parent", "pid", "session", "start_time", "state")

    def __init__(self, pid: int, parent: int, session: int, start_time: int, state: str) -> None:
        self.pid = pid
        self.parent = parent
        self.session = session
        self.start_time = start_time
        self.state = state

    @property
    def identity(self) -> tuple[int, int]:
        """Pid and start time."""
        return self.pid, self.start_time


def read(pid: int) -> Process | None:
    """Return the process, or None when it is gone: a zombie counts as gone."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    threads = int(fields[17])
    if fields[0] in _GONE and threads <= 1:  # with other threads only the first thread has ended
        return None
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0].decode())


def start_time(pid: int) -> int:
    """Return when a process was started, a zombie too: clock ticks since boot."""
    return int(_stat(pid)[19])


def areas(pid: int) -> list[int]:
    """Return where in the caller's own memory its command begins and ends, and its environment."""
    return [int(field) for field in _stat(pid)[45:49]]


def read_file(path: str) -> bytes:
    """Return a file of the kernel's. open() would take five times as long."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(file, 65536):
            data += part
        return data
    finally:
        os.close(file)


def _stat(pid: int) -> list[bytes]:
    """Return the fields of proc(5)'s stat from the third on: state, … start time 22, … areas 48 to 51."""
    text = read_file(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split()  # the name in brackets may hold anything


def children(pid: int) -> list[int]:
    """Return the pids of all children, zombies too.

    One may be missed while a sibling ends. What is missed comes to the subreaper when its parent dies, and is
    found there.
    """
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return found
    for task in tasks:
        try:
            found.extend(map(int, read_file(f"/proc/{pid}/task/{task}/children").split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def own_children() -> list[int]:
    """Return all children of the calling thread: zombies too, which stay listed until it reaps them."""
    return [int(pid) for pid in read_file("/proc/thread-self/children").split()]


def can_list_children() -> bool:
    """Whether this kernel lists children (CONFIG_PROC_CHILDREN), without which the shim cannot work."""
    return os.path.exists("/proc/thread-self/children")


def with_descendants(pids: list[int]) -> list[Process]:
    """Return the living among these processes and all that descend from them."""
    found: dict[int, Process] = {}
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid in found or (process := read(pid)) is None:
            continue
        found[pid] = process
        waiting.extend(children(pid))
    return list(found.values())


def limit_mark(attempt: str) -> int:
    """Return the number that stands for an attempt: the last 60 bits of its UUID, all of them random."""
    return int(attempt.replace("-", "")[-15:], 16)


def set_limit_mark(pid: int, attempt: str) -> None:
    """Mark a process, 0: the calling one. Only the soft limit: a run may itself start marked runs.

    Where a hard limit is below the mark there is none; the environment bears it too.
    """
    with contextlib.suppress(OSError, ValueError):
        hard = resource.prlimit(pid, _RLIMIT_LOCKS)[1]
        resource.prlimit(pid, _RLIMIT_LOCKS, (limit_mark(attempt), hard))


def read_environment_mark(pid: int) -> str | None:
    """Return the attempt named in the environment a process was started with."""
    try:
        variables = read_file(f"/proc/{pid}/environ").split(b"\0")
    except _UNSEEN:
        return None
    start = MARK.encode() + b"="
    return next((os.fsdecode(one[len(start) :]) for one in variables if one.startswith(start)), None)


def read_limit_mark(pid: int) -> int | None:
    """Return a process's limit of file locks, None when it has none or is gone."""
    try:
        lines = read_file(f"/proc/{pid}/limits").splitlines()
    except _UNSEEN:
        return None
    start = b"Max file locks"
    soft = next((one[len(start) :].split()[0] for one in lines if one.startswith(start)), b"unlimited")
    return None if soft == b"unlimited" else int(soft)


def census(runs: dict[str, tuple[int, int]]) -> dict[str, list[Process]]:
    """Return every living process of each run: marked, of its session, or descended from one of these.

    ``runs`` maps an attempt to pid and start time of its main process, 0 when unknown. The session counts
    only while that process lives, since a later one may be given the same number. The caller is no member.
    """
    everything = [one for one in _everything() if one.pid != os.getpid()]
    living = {one.identity for one in everything}
    owners = {limit_mark(attempt): attempt for attempt in runs}
    sessions = {main[0]: attempt for attempt, main in runs.items() if main in living}
    found: dict[str, list[Process]] = {attempt: [] for attempt in runs}
    for one in everything:
        owner = owners.get(read_limit_mark(one.pid) or 0) or sessions.get(one.session)
        owner = owner or read_environment_mark(one.pid)
        if owner in found:
            found[owner].append(one)
    return {attempt: _with_descendants(marked, everything) for attempt, marked in found.items()}


def _everything() -> list[Process]:
    """Return all living processes, also those that are born while others are looked at."""
    seen: set[int] = set()
    found: list[Process] = []
    for _ in range(20):  # a few are enough: each round looks only at those born during the one before
        new = {int(name) for name in os.listdir("/proc") if name.isdigit()} - seen
        if not new:
            break
        seen |= new
        found += [one for pid in new if (one := read(pid))]
    return found


def _with_descendants(marked: list[Process], everything: list[Process]) -> list[Process]:
    pids = {one.pid for one in marked}
    while more := {one.pid for one in everything if one.parent in pids} - pids:
        pids |= more
    return [one for one in everything if one.pid in pids]


def send(process: Process, number: int) -> bool:
    """Signal exactly this process, never one that got its pid later. Return False when it is gone.

    Raises PermissionError when it belongs to another user.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        current = read(process.pid)
        if current is None or current.start_time != process.start_time:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def describe(left: list[Process]) -> str:
    """Say which processes are left and why they may resist, for people."""
    return ", ".join(_describe(one) for one in left[:5]) + (", …" if len(left) > 5 else "")


def _describe(process: Process) -> str:
    why = " in uninterruptible sleep" if process.state == "D" else ""
    try:
        owner = os.stat(f"/proc/{process.pid}").st_uid
    except FileNotFoundError:
        return f"pid {process.pid}"
    if os.geteuid() not in (0, owner):
        why += f" of user {owner}"
    return f"pid {process.pid}{why}"
