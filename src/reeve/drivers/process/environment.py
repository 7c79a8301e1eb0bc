"""Command and environment of a process that becomes another: as its Python, its libc and /proc see them."""

from __future__ import annotations

import ctypes
import os

from reeve.drivers.process import tree
from reeve.drivers.process.orders import ROOM

_PADDING = ROOM.encode()
_MOST_PLACES = 1024  # of variables; libc keeps a copy of those beyond

_environ = ctypes.c_ulong.in_dll(
    ctypes.CDLL(None), "environ"
)  # environ(7): where libc looks; as wide as an address


class Area:
    """A stretch of this process's first memory, which the kernel tells others of as it is now (proc(5))."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.size = self._used = end - start
        self._memory = memoryview((ctypes.c_char * self.size).from_address(start)).cast("B")

    def show(self, text: bytes) -> None:
        """Have /proc, and all who look there, see this, which ends with a zero and is not too long."""
        self._memory[: max(len(text), self._used)] = text.ljust(self._used, b"\0")
        self._used = len(text)


class Identity:
    """What a process was started with. Children of it have the areas at the same places."""

    def __init__(self) -> None:
        arguments, arguments_end, variables, variables_end = tree.areas(os.getpid())
        self._command = Area(arguments, arguments_end)
        self._variables = Area(variables, variables_end)
        self._added = _added_at_start()
        table = (ctypes.c_ulong * _MOST_PLACES)()
        self._table = ctypes.addressof(table)
        self._places = (
            memoryview(table).cast("B").cast("L")
        )  # what ctypes itself does with a value costs six pages
        self._libc = memoryview(_environ).cast("B").cast("L")
        self.variables: dict[bytes, bytes] = {}  # those of the order
        self.past: list[object] = []  # what it had before

    def own(self) -> bytes:
        """Return what this process was started with, without the padding, as ``take`` takes it."""
        return b"\0".join(
            name + b"=" + text
            for name, text in os.environb.items()
            if name not in self._added and name != _PADDING
        )

    def command(self, words: list[str]) -> bytes:
        """Return a command as ``take`` takes it: as many whole words as find room."""
        return _fitting(os.fsencode("\0".join(words)) + b"\0", self._command.size)

    def take(self, command: bytes, environment: bytes) -> None:
        """Have this command and this environment (NAME=TEXT, a zero between two), and what Python adds to it.

        As after an exec, libc has its variables where /proc shows them, but for what finds no room there.
        """
        shown = environment + b"\0"
        if len(shown) > self._variables.size:
            shown = _fitting(shown, self._variables.size)
        self._command.show(command)
        self._variables.show(shown)
        self._lead(environment.split(b"\0"), len(shown))
        for name, text in self._added.items():
            os.environb[name] = text

    def _lead(self, told: list[bytes], shown: int) -> None:
        """Have libc find the variables that are shown, and copy the others; and have Python know all."""
        data: dict[bytes, bytes] = {}
        places = self._places
        place = self._variables.start
        end = place + shown
        led = 0
        for one in told:
            name, _, text = one.partition(b"=")
            data[name] = text
            if place < end and led + 1 < _MOST_PLACES:
                places[led] = place
                place += len(one) + 1
                led += 1
        places[led] = 0
        self._libc[0] = self._table
        if led < len(data):
            for name in list(data)[led:]:
                os.putenv(name, data[name])
        # Past Python's own setting, which would have libc copy each. What was there stays: a child that frees
        # it would copy it first.
        self.past.append(os.environ._data)  # type: ignore[attr-defined]  # noqa: SLF001
        os.environ._data = os.environb._data = self.variables = data  # type: ignore[attr-defined]  # noqa: SLF001


def _fitting(text: bytes, size: int) -> bytes:
    """Return what ends with a zero, without its last words if it would be too long."""
    return text if len(text) <= size else text[: text.rfind(b"\0", 0, size) + 1]


def _added_at_start() -> dict[bytes, bytes]:
    """Return the variables that this interpreter has set itself: a locale (PEP 538), or what site does."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - a run's pages are few without pathlib
        given = dict(one.split(b"=", 1) for one in file.read().split(b"\0") if b"=" in one)
    return {name: text for name, text in os.environb.items() if given.get(name) != text}
