"""Whether the kernel has ended a run for lack of memory, told by what it counts. Stdlib only.

``/proc/vmstat`` counts the victims of the whole machine, so it can acquit the kernel and never accuse it.
A memory cgroup counts its own: ``memory.events.local`` (v2, Linux 5.2), ``memory.oom_control`` (v1, 4.13).
"""
# ruff: noqa: PTH118 - pathlib would cost the shim a megabyte

from __future__ import annotations

import contextlib
import os

from reeve.drivers.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE = "/proc/vmstat"
_V1, _V2 = "memory.oom_control", "memory.events.local"


class Mount:
    """Where a hierarchy of cgroups is seen: ``root`` of it at ``point``."""

    __slots__ = ("counter", "point", "root")

    def __init__(self, root: str, point: str, counter: str) -> None:
        self.root = root.rstrip("/")
        self.point = point
        self.counter = counter

    def files(self, group: str) -> Iterator[str]:
        """Yield where a group's kills may be counted, and then its parents' places."""
        inside = group == self.root or group.startswith(f"{self.root}/")
        while inside and "/.." not in group:  # what is outside of this namespace is not to be seen
            yield os.path.join(self.point, group[len(self.root) :].lstrip("/"), self.counter)
            if group in ("", "/", self.root):
                return
            group = group.rpartition("/")[0]


class Witness:
    """What is counted for the group that a run is in, from look to look while it lives."""

    __slots__ = ("_file", "_first", "_groups", "_mounts", "_recent")

    def __init__(self, mounts: dict[str, Mount]) -> None:
        self._mounts = mounts
        self._groups = b""  # as /proc/PID/cgroup had them
        self._file = MACHINE
        self._first: int | None = None  # the count when the run came into its group
        self._recent: tuple[int | None, int | None] = (None, None)  # two looks ago, and at the last

    def twin(self) -> Witness:
        """Return one that has seen the same just now, of a process that begins in the same group."""
        twin = Witness(self._mounts)
        twin._groups, twin._file = self._groups, self._file
        twin._first = self._recent[1]
        twin._recent = (twin._first, twin._first)
        return twin

    def look(self, pid: int) -> None:
        """Look at the group of a living process, at its start and at every tick."""
        groups = _read(f"/proc/{pid}/cgroup")
        if groups and groups != self._groups:
            self._move(groups)
        self._recent = (self._recent[1], count(self._file))

    def kills(self) -> int | None:
        """Return how many of its group were ended for lack of memory just now; None: it cannot be told."""
        now, before = count(self._file), self._recent[0]
        if now is None or before is None or self._first is None:
            return None
        if now > before and self._file != MACHINE:
            return now - before
        return 0 if now == self._first else None

    def _move(self, groups: bytes) -> None:
        """Count for another group from now on."""
        controller, path = _memory_group(groups)
        if self._groups and controller and path == "/":  # a process that is ending shows the root of v1's
            return
        files = self._mounts[controller].files(path) if controller in self._mounts else ()
        self._groups = groups
        self._file = next((file for file in files if count(file) is not None), MACHINE)
        self._first = count(self._file)
        self._recent = (self._first, self._first)


def mounts() -> dict[str, Mount]:
    """Return the hierarchies that count, by their name in /proc/PID/cgroup: "memory" (v1), "" (v2)."""
    found: dict[str, Mount] = {}
    for line in _read("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines():
        here, _, there = line.partition(" - ")
        root, point = here.split()[3:5]
        kind, _, options = there.split()[:3]
        if kind == "cgroup" and "memory" in options.split(","):
            found.setdefault("memory", Mount(root, point, _V1))
        elif kind == "cgroup2":
            found.setdefault("", Mount(root, point, _V2))
    return found


def count(path: str) -> int | None:
    """Return the count of a file that has one."""
    lines = _read(path).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), None)


def _memory_group(groups: bytes) -> tuple[str, str]:
    """Return the controller, "memory" (v1) or "" (v2), and the path of the group that has the memory."""
    lines = groups.decode(errors="surrogateescape").splitlines()
    parts = [line.split(":", 2)[1:] for line in lines]
    v1 = (("memory", path) for names, path in parts if "memory" in names.split(","))
    v2 = (("", path) for names, path in parts if not names)
    return next(v1, next(v2, ("", "")))


def _read(path: str) -> bytes:
    """Return a file of the kernel's; nothing when it is gone."""
    with contextlib.suppress(OSError):
        return tree.read_file(path)
    return b""
