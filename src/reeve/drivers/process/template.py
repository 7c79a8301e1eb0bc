"""A process that has imported an engine, and forks the runs of it for its shim (design §6).

The shim starts it as ``python -m reeve.drivers.process.template MODULE LINE``: an interpreter like the run's
own, with its flags and its site. ``LINE`` is the number of an inherited socket; it says ``ready`` when orders
are taken. Each packet is an order (directory and variables, a zero between two) with the ends of the run's
stdout, stderr and verdict; the answer is the run's pid, or a negated errno. The run does nothing before the
shim, which has its pid then, says so through the verdict.

Orders are taken by a *spare*: a process that was forked ahead, has gone through what every run goes through,
and becomes the run. So neither the fork nor the pages that are copied after it (each that a run is the first
to write to) stand between an order and the user's code. It is a child of the shim, not of this process: so
nothing here watches, reaps or outlives a run.

``MODULE`` has ``main() -> int``; ``warm()`` for what is done once for all runs; and, if it likes,
``rehearse()``, which a spare does while it waits; ``prepare(environ)``, which returns what a run does instead
of ``main`` while the shim is busy with its pid; and ``learn(lesson)``: if what ``prepare`` returns has a
``lesson``, the template learns it for the spares that follow.
"""
# ruff: noqa: PTH109 - a run's pages are few without pathlib

from __future__ import annotations

import _socket
import contextlib
import errno
import gc
import importlib
import os
import select
import socket
import sys
from _thread import _count
from atexit import _run_exitfuncs
from collections.abc import Callable
from os import (
    _exit,
    close,
    dup2,
    getpid,
    read,
    setsid,
    write,
)  # once in a spare: os itself is two pages for each
from struct import Struct
from types import ModuleType
from typing import Any, NoReturn

from reeve.drivers.process import heap
from reeve.drivers.process.environment import Identity
from reeve.drivers.process.forking import CannotForkError, Forker, Hooks
from reeve.drivers.process.orders import ENDS, GO, READY
from reeve.drivers.process.spawn import die_with_parent, enter_directory

LONGEST_LESSON = 4096  # bytes
REST_SECONDS = 0.1  # after an order, unless the next is there
ENOUGH = 20  # calls after which code has found its form, twice over (PEP 659)

_LENGTH = int(socket.MSG_PEEK | socket.MSG_TRUNC)  # tells how long a packet is, and leaves it there
_NUMBERS = Struct(f"{ENDS}i")
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_ANCILLARY = socket.CMSG_SPACE(_NUMBERS.size)


class Template:
    """The loop: keeps a spare, until the shim is gone."""

    def __init__(self, line: _socket.socket, module: ModuleType, hooks: Hooks) -> None:
        import threading  # after ``hooks``

        self._line = line
        self._orders = _poll(line)
        self._module = module
        self._main: Callable[[], int] = module.main
        self._prepare: Callable[..., Callable[[], int]] | None = getattr(module, "prepare", None)
        self._shim = os.getppid()
        self._forker = Forker(hooks)
        self._identity = Identity()
        self._command = self._identity.command([*sys.orig_argv[:2], module.__name__])
        self._relative = _relative_paths()
        self._looks_here = not sys.flags.safe_path
        self._main_thread: Any = threading.main_thread()
        self._threading: Any = threading
        self._ends_of_threads: list[Any] = self._threading._threading_atexits  # noqa: SLF001 - as below

    def serve(self) -> None:
        """Fork until the line ends. Returns in the template only."""
        sys.argv = [str(self._module.__file__)]
        sys.modules["__main__"] = self._module
        self._line.send(READY)
        while True:
            told, tell = os.pipe()
            try:
                pid = self._forker.fork()
            except OSError as error:  # no room: the shim says so
                os.close(told)
                os.close(tell)
                self._refuse(error)
            else:
                if pid == 0:
                    close(told)
                    self._wait_for_order(tell)
                os.close(tell)
                self._learn(told)
            if not self._is_time():
                return

    def _learn(self, told: int) -> None:
        """Wait until the spare is none any more: it has an order, or has died. Take its lesson, if any."""
        lesson = os.read(told, LONGEST_LESSON)
        if lesson:
            os.read(told, 1)
            with contextlib.suppress(Exception):
                self._module.learn(os.fsdecode(lesson))
        os.close(told)

    def _is_time(self) -> bool:
        """Wait until the next spare is wanted: soon, for the run that begins needs the machine itself.

        False: the shim is gone.
        """
        orders = self._orders.poll(1000 * REST_SECONDS)
        return not orders or bool(self._line.recv(1, socket.MSG_PEEK))

    def practise(self) -> None:
        """Go through what makes a run of a spare, with an order to be what this process is already."""
        command = self._identity.command(sys.orig_argv)
        order = os.fsencode(os.getcwd()) + b"\0" + self._identity.own()
        path = sys.path[:]
        for _ in range(ENOUGH):
            theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            socket.send_fds(theirs, [order], (0, 1, 2))
            die_with_parent(self._shim)
            _poll(ours).poll(0)
            packet, files = _received(ours)
            self._settle(packet, command)
            for file in files:
                os.close(file)
            theirs.close()
            ours.close()
        sys.path[:] = path
        self._identity.past.clear()

    def acquaint(self) -> None:
        """Look up beforehand what a spare looks up once: what no cache has costs it three pages each."""
        for once in (Template._wait_for_order, Template._become, Template._action, Template._run):
            for name in once.__code__.co_names:
                for kind in (Template, ModuleType, _socket.socket, type(self._main_thread), type(sys.stdout)):
                    getattr(kind, name, None)

    def _refuse(self, error: OSError) -> None:
        packet, files = _received(self._line)
        for file in files:
            os.close(file)
        if packet:
            self._line.send(str(-(error.errno or errno.EAGAIN)).encode())

    def _wait_for_order(self, tell: int) -> NoReturn:
        """Be a spare, and then a run."""
        try:
            die_with_parent(self._shim)
            if not self._orders.poll(0):
                self._rehearse()
            packet, files = _received(self._line)
            if not packet:
                _exit(0)
            self._line.send(b"%d" % getpid())
        except BaseException:  # noqa: BLE001 - nobody is told: the shim waits in vain, and does without
            _exit(127)
        self._become(packet, files, tell)

    def _rehearse(self) -> None:
        rehearse = getattr(self._module, "rehearse", None)
        if rehearse is not None:
            with contextlib.suppress(Exception):
                rehearse()

    def _become(self, packet: bytes, files: tuple[int, ...], tell: int) -> NoReturn:
        """Be the run from here on."""
        stdout, stderr, verdict = files
        try:
            self._line.close()
            setsid()
            dup2(stdout, 1)
            dup2(stderr, 2)
            problem = self._settle(packet, self._command)
            action = self._main if problem else self._action(tell)
            close(tell)
            if read(verdict, 1) != GO:
                _exit(127)
            if problem:
                write(verdict, problem.encode(errors="replace")[:4000])
                _exit(127)
            for file in files:
                close(file)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
            with contextlib.suppress(OSError):
                write(verdict, f"The run could not be prepared: {error!r}.".encode(errors="replace")[:4000])
            _exit(127)
        self._main_thread._native_id = getpid()  # noqa: SLF001 - Python forgets to
        self._run(action)

    def _settle(self, packet: bytes, command: bytes) -> str:
        """Be in the run's environment and directory, and find modules from there; return what is wrong."""
        directory, _, variables = packet.partition(b"\0")
        self._identity.take(command, variables)
        problem = enter_directory(directory.decode(_ENCODING, _ERRORS))
        if problem:
            return problem
        if self._looks_here:
            sys.path[0] = os.getcwd()  # what python -m puts there
        for place, path in self._relative:
            sys.path[place] = os.path.abspath(path)  # noqa: PTH100
        return ""

    def _action(self, tell: int) -> Callable[[], int]:
        """Return what the run is to do; what cannot be prepared is for the run to find out, and to say."""
        action = self._main
        if self._prepare is not None:
            try:
                action = self._prepare(self._identity.variables)
                if lesson := getattr(action, "lesson", ""):
                    write(tell, os.fsencode(lesson)[:LONGEST_LESSON])
            except Exception:  # noqa: BLE001, S110 - suppress() costs a run eight pages
                pass
        return action

    def _run(self, action: Callable[[], int]) -> NoReturn:
        """Do as ``python -m MODULE`` does, and leave as the interpreter would, but for taking it apart."""
        code = action()
        if _count() or self._ends_of_threads:
            self._threading._shutdown()  # noqa: SLF001 - as multiprocessing does
        _run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # a flow may have taken it away
                stream.flush()
        _exit(code)


def _poll(line: _socket.socket) -> select.poll:
    """Return what looks whether there is something on a line."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return poll


def _received(line: _socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """Wait for a packet that comes with files; empty: the other end is gone."""
    length = line.recv_into(bytearray(1), 1, _LENGTH)
    if not length:
        return b"", ()
    packet, ancillary, _, _ = line.recvmsg(length, _ANCILLARY)
    return packet, _NUMBERS.unpack(ancillary[0][2])


def _relative_paths() -> list[tuple[int, str]]:
    """Return what PYTHONPATH has that begins at each run's directory, and at which place in ``sys.path``.

    This interpreter has made it absolute when it started, and so begin at its own directory.
    """
    paths = os.environ.get("PYTHONPATH")
    told = paths.split(os.pathsep) if paths else []
    relative = {os.path.abspath(one): one for one in told if not os.path.isabs(one)}  # noqa: PTH100, PTH117
    return [(place, relative[path]) for place, path in enumerate(sys.path) if path in relative]


def _take_input() -> None:
    """Have nothing to read, like all runs."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)


def main() -> None:
    """Import the engine, and fork as told; the shim's log is where errors go."""
    hooks = Hooks(sys.argv[1].partition(".")[0])
    module = importlib.import_module(sys.argv[1])
    module.warm()
    hooks.close()
    line = _socket.socket(fileno=int(sys.argv[2]))
    try:
        _take_input()
        template = Template(line, module, hooks)
        template.practise()
    except (CannotForkError, OSError) as error:
        sys.exit(f"reeve: runs start cold: {error}")
    gc.collect()
    gc.freeze()  # what is shared stays shared: no collection in a run touches it
    template.acquaint()
    heap.fill()
    template.serve()


if __name__ == "__main__":
    main()
