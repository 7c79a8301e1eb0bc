"""A group of processes that has little memory, where this machine lets us make one: root, mostly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

# What limits a group, and the swap that could hide it, which not every kernel limits: v1, then v2.
_LIMITS = {
    "memory.limit_in_bytes": "memory.memsw.limit_in_bytes",
    "memory.max": "memory.swap.max",
}


class Unavailable(Exception):  # noqa: N818 - it is a fact, not a fault
    """No group can be made here; says why."""


@contextmanager
def little(size: int) -> Iterator[Path]:
    """Give the folder of a group with ``size`` bytes of memory; what is left in it at the end is killed.

    Raises Unavailable.
    """
    folder = _make()
    try:
        _limit(folder, size)
        yield folder
    finally:
        while pids := members(folder):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        folder.rmdir()


def members(group: Path) -> list[int]:
    """Return the processes of a group."""
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def join(group: Path, pid: int) -> None:
    """Move a process into a group; its children will begin there."""
    (group / "cgroup.procs").write_text(str(pid))


def kills(group: Path) -> int:
    """Return how many processes of a group the kernel has ended for lack of memory."""
    files = (group / "memory.oom_control", group / "memory.events")
    (text,) = [file.read_text() for file in files if file.exists()]
    return int(dict(line.split() for line in text.splitlines())["oom_kill"])


def _make() -> Path:
    tried = []
    for parent in _parents():
        folder = parent / f"reeve-test-{uuid4().hex[:8]}"
        try:
            folder.mkdir()
        except OSError as error:
            tried.append(f"{parent}: {error.strerror}")
            continue
        if any((folder / name).exists() for name in _LIMITS):
            return folder
        folder.rmdir()
        tried.append(f"{parent} limits no memory")
    raise Unavailable("; ".join(tried) or "no cgroup with memory is mounted")


def _parents() -> Iterator[Path]:
    """Yield where to try: below this process's group; of v2 beside it: one with processes has no groups."""
    groups = dict(line.split(":")[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        here, _, there = line.partition(" - ")
        root, point = here.split()[3:5]
        kind, options = there.split()[0], there.split()[2].split(",")
        if kind == "cgroup" and "memory" in options:
            own = next((path for names, path in groups.items() if "memory" in names.split(",")), "/")
            yield Path(point, own.removeprefix(root).lstrip("/"))
        elif kind == "cgroup2":
            yield Path(point, groups.get("", "/").removeprefix(root).lstrip("/")).parent
            yield Path(point)


def _limit(folder: Path, size: int) -> None:
    for memory, swap in _LIMITS.items():
        if (folder / memory).exists():
            (folder / memory).write_text(str(size))
            if (folder / swap).exists():
                (folder / swap).write_text("0" if memory == "memory.max" else str(size))
