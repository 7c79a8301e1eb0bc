"""Forks of a template: as libc and Python make them, but for the template's parent, and without idle work.

What a child writes to is copied page by page, 3 to 5 µs each, so the hooks of ``threading`` and ``logging``
alone would cost half a millisecond. They repair locks that other threads may have held; a template has none.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from _thread import get_native_id
from collections.abc import Callable
from typing import Any

# clone(2) as such, since libc has no fork that makes a sibling. Its fourth and fifth argument change places
# between machines; where the child's own thread id goes is therefore given twice.
_CLONE = {"x86_64": 56, "aarch64": 220}
_GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100}
_SET_ROBUST_LIST = {"x86_64": 273, "aarch64": 99}
_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000
_PR_GET_TID_ADDRESS = 40

_LOCKS = frozenset({"threading", "logging"})  # modules whose hooks are about locks and other threads
_CHANCE = "random"  # whose hook seeds anew

_libc = ctypes.PyDLL(None, use_errno=True)  # keeps the lock of the interpreter: nothing may run between
_libc.syscall.restype = ctypes.c_long
_syscall = _libc.syscall  # looked up here: the library's own way costs a child three pages
_register = os.register_at_fork


class CannotForkError(Exception):
    """This system lets no process make siblings as libc makes children."""


class Hooks:
    """Those hooks at forks that a fork of a template goes without, and other forks of its runs do not.

    To be made before the modules are imported that register them, and to be closed after. Those of the
    package ``engine`` are among them: in a template it has done nothing that a child would have to undo.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self.idle = False  # whether the fork under way is a template's
        self._seeds: list[Callable[[], object]] = []
        self._before: list[Callable[[], object]] = []
        self._in_child: list[Callable[[], object]] = []
        self._in_parent: list[Callable[[], object]] = []
        os.register_at_fork = self._take  # type: ignore[assignment]  # the same keywords

    def close(self) -> None:
        """Let all that is registered from now on be registered as usual."""
        os.register_at_fork = _register
        _register(
            before=self._do_before, after_in_child=self._do_in_child, after_in_parent=self._do_in_parent
        )

    def seed(self) -> None:
        """Seed in the parent, which does so before each fork: so all its children differ, and from it too."""
        for seed in self._seeds:
            seed()

    def _take(self, **hooks: Callable[[], object]) -> None:
        homes = {str(getattr(hook, "__module__", None)) for hook in hooks.values()}
        if homes == {_CHANCE} and list(hooks) == ["after_in_child"]:
            self._seeds.append(hooks["after_in_child"])
        elif not all(home in _LOCKS or home.startswith(f"{self._engine}.") for home in homes):
            _register(**hooks)
            return
        for when, into in (
            ("before", self._before),
            ("after_in_child", self._in_child),
            ("after_in_parent", self._in_parent),
        ):
            if when in hooks:
                into.append(hooks[when])

    def _do_before(self) -> None:
        if not self.idle:
            for hook in reversed(self._before):
                hook()

    def _do_in_child(self) -> None:
        if not self.idle:
            for hook in self._in_child:
                hook()

    def _do_in_parent(self) -> None:
        if not self.idle:
            for hook in self._in_parent:
                hook()


class Forker:
    """Does what ``fork`` of libc does, but for the parent: the child is a sibling of the caller.

    Raises CannotForkError where libc keeps its thread's id at a place that cannot be found: a child with the
    id of another would signal that one.
    """

    def __init__(self, hooks: Hooks) -> None:
        machine = platform.machine()
        if machine not in _CLONE or sys.maxsize < 1 << 32:
            raise CannotForkError(f"The system calls of {machine} are not known here.")
        self._hooks = hooks
        address = _address_of_thread_id()
        flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
        self._clone = (ctypes.c_long(_CLONE[machine]), ctypes.c_ulong(flags), None, None, address, address)
        robust_list, robust_size = ctypes.c_void_p(), ctypes.c_size_t()
        _call(_GET_ROBUST_LIST[machine], 0, ctypes.byref(robust_list), ctypes.byref(robust_size))
        self._set_robust_list = (ctypes.c_long(_SET_ROBUST_LIST[machine]), robust_list, robust_size)
        # Looked up here: a child would pay for each with eighty pages.
        self._before = ctypes.pythonapi.PyOS_BeforeFork
        self._in_child = ctypes.pythonapi.PyOS_AfterFork_Child
        self._in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent

    def fork(self) -> int:
        """Return the pid of the child, 0 in it."""
        self._hooks.seed()
        self._hooks.idle = True
        self._before()
        pid = int(_syscall(*self._clone))
        if pid == 0:
            self._in_child()
            _syscall(*self._set_robust_list)  # fails never: the size is the one that the kernel gave
            self._hooks.idle = False
            return 0
        self._in_parent()
        self._hooks.idle = False
        if pid < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return pid


def _address_of_thread_id() -> ctypes.c_void_p:
    address = ctypes.c_void_p()
    if _libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) != 0 or not address.value:
        raise CannotForkError(
            "This kernel does not tell where the id of a thread is kept (PR_GET_TID_ADDRESS)."
        )
    if ctypes.c_int.from_address(address.value).value != get_native_id():
        raise CannotForkError("This libc keeps the id of its thread elsewhere than the kernel was told.")
    return address


def _call(number: int, *arguments: Any) -> None:
    if _syscall(ctypes.c_long(number), *arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
