"""What /proc says of processes: their CPU and their memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_times(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of the children it has waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return sum(map(int, fields[11:13])) / TICK, sum(map(int, fields[13:15])) / TICK


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and of the children it has waited for."""
    return sum(cpu_times(pid))


def busy_seconds() -> float:
    """Return the CPU seconds that this machine has worked, whoever asked for it."""
    first, _, _ = Path("/proc/stat").read_text().partition("\n")
    user, nice, system, _idle, _waiting, irq, softirq, *_ = map(int, first.split()[1:])
    return (user + nice + system + irq + softirq) / TICK


def leaders(pid: int) -> list[int]:
    """Return the children of a process of one thread that lead a session."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if os.getsid(child) == child]


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 when it is gone."""
    return _memory(pid).get("Rss:", 0) / 1024


def private_mib(pid: int) -> float:
    """Return the memory in MiB that a process shares with nobody; 0 when it is gone."""
    found = _memory(pid)
    return (found.get("Private_Clean:", 0) + found.get("Private_Dirty:", 0)) / 1024


def opened(pid: int, path: str) -> int:
    """Return how many times a process has a file open."""
    return sum(str(link.readlink()) == path for link in Path(f"/proc/{pid}/fd").iterdir())


def _memory(pid: int) -> dict[str, int]:
    """Return the lines of smaps_rollup, in KiB."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, size, *_ = line.split()
            sizes[name] = int(size)
    return sizes
