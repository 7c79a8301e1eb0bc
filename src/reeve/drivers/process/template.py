"""A process that has imported an engine, and forks a run of it for each order of its shim (design §6).

The shim starts it as ``python -m reeve.drivers.process.template MODULE LINE``: an interpreter like the run's
own, with its flags and its site. ``MODULE`` has ``main() -> int``; ``warm()`` for what is done once for all
runs; and, if it likes, ``prepare()``, which is called for each run before its fork, in its environment and
directory, and returns what the run does then instead of ``main``. ``LINE`` is the number of an inherited
socket. It says ``ready`` when it can fork. Each packet is an order (attempt, env, cwd) with the ends of the
run's stdout, stderr and verdict; the answer is the run's pid, or a negated errno. The run does nothing before
the shim, which has its pid then, says so through the verdict.

The run is a child of the shim, not of this process: so nothing here watches, reaps or outlives it. What can
be done before the fork is done there: each page that a run is the first to write to is copied for it.
"""
# ruff: noqa: PTH109, PTH123 - a run's pages are few without pathlib

from __future__ import annotations

import _socket
import _thread
import atexit
import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from reeve.drivers.process import spawn, tree
from reeve.drivers.process.forking import CannotForkError, Forker, Hooks
from reeve.drivers.process.templates import ENDS, GO, LONGEST_ORDER, READY


class Birth:
    """A run on its way: all that is known of it before its fork, and what it does after it."""

    __slots__ = ("action", "command", "environment", "files", "problem")

    def __init__(
        self, action: Callable[[], int], files: list[int], command: bytes, environment: bytes, problem: str
    ) -> None:
        self.action = action
        self.files = files  # stdin, and the ends of stdout, stderr and verdict
        self.command = command  # as /proc shows it
        self.environment = environment
        self.problem = problem  # why it cannot run


class Template:
    """The loop: takes orders and answers with pids, until the shim is gone."""

    def __init__(self, line: socket.socket, module: ModuleType, hooks: Hooks) -> None:
        from threading import main_thread  # after ``hooks``

        self._line = line
        self._module = module
        self._shim = os.getppid()
        self._forker = Forker(hooks)
        self._command, self._environment = _told_by_kernel()
        self._added = _added_at_start()
        self._relative = _relative_paths()
        self._variables = Environment()
        self._home = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._main_thread: Any = main_thread()

    def serve(self) -> None:
        """Fork until the line ends. Returns in the template only."""
        sys.argv = [str(self._module.__file__)]
        sys.modules["__main__"] = self._module
        self._line.send(READY)
        while True:
            packet, files, _, _ = socket.recv_fds(self._line, LONGEST_ORDER, ENDS)
            if not packet:
                return
            birth = self._prepared(json.loads(packet), files)
            try:
                pid = self._forker.fork()
            except OSError as error:  # no room: the shim says so
                pid = -(error.errno or errno.EAGAIN)
            if pid == 0:
                self._become(birth)
            self._line.send(str(pid).encode())
            for file in birth.files:
                os.close(file)
            os.fchdir(self._home)  # nobody is to be held up by a template that stands in the way

    def _prepared(self, order: dict[str, Any], files: list[int]) -> Birth:
        """Do what can be done in this process, which runs warm."""
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        variables = {tree.MARK: order["attempt"], **order["env"]}
        self._variables.become({**variables, **self._added})
        problem = spawn.enter_directory(order["cwd"])
        if not problem:
            self._find_modules()
        return Birth(
            self._module.main if problem else self._action(),
            [null, *files],
            self._command.text([*sys.orig_argv[:2], self._module.__name__]),
            self._environment.text([f"{name}={text}" for name, text in variables.items()]),
            problem,
        )

    def _action(self) -> Callable[[], int]:
        """Return what the run is to do; what cannot be prepared is for the run to find out, and to say."""
        action: Callable[[], int] = self._module.main
        prepare = getattr(self._module, "prepare", None)
        if prepare is not None:
            with contextlib.suppress(Exception):
                action = prepare()
        return action

    def _find_modules(self) -> None:
        """Look for modules from this directory on, where that is what a cold start does."""
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()  # what python -m puts there
        for place, path in self._relative:
            sys.path[place] = os.path.abspath(path)  # noqa: PTH100

    def _become(self, birth: Birth) -> NoReturn:
        """Be the run from here on."""
        null, stdout, stderr, verdict = birth.files
        try:
            _socket.socket.close(self._line)
            os.close(self._home)
            spawn.die_with_parent(self._shim)
            os.setsid()
            spawn.take_streams((null, stdout, stderr))
            self._command.show(birth.command)
            self._environment.show(birth.environment)
            if os.read(verdict, 1) != GO:
                os._exit(127)
            if birth.problem:
                os.write(verdict, birth.problem.encode(errors="replace")[:4000])
                os._exit(127)
            for file in birth.files:
                os.close(file)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
            with contextlib.suppress(OSError):
                os.write(
                    verdict, f"The run could not be prepared: {error!r}.".encode(errors="replace")[:4000]
                )
            os._exit(127)
        self._main_thread._native_id = os.getpid()  # noqa: SLF001 - Python forgets to
        _run(birth.action)


def _added_at_start() -> dict[str, str]:
    """Return the variables that this interpreter has set itself: a locale (PEP 538), or what site does."""
    with open("/proc/self/environ", "rb") as file:
        given = dict(one.split(b"=", 1) for one in file.read().split(b"\0") if b"=" in one)
    return {
        name: text for name, text in os.environ.items() if given.get(os.fsencode(name)) != os.fsencode(text)
    }


def _relative_paths() -> list[tuple[int, str]]:
    """Return what PYTHONPATH has that begins at each run's directory, and at which place in ``sys.path``.

    This interpreter has made it absolute when it started, and so begin at its own directory.
    """
    paths = os.environ.get("PYTHONPATH")
    told = paths.split(os.pathsep) if paths else []
    relative = {os.path.abspath(one): one for one in told if not os.path.isabs(one)}  # noqa: PTH100, PTH117
    return [(place, relative[path]) for place, path in enumerate(sys.path) if path in relative]


# libc's setenv, which os.environ calls, keeps for good what it is given (glibc before 2.41): a template would
# grow with each of its runs. putenv takes the bytes themselves; they are let go when others take their place.
_putenv = ctypes.CDLL(None).putenv


class Environment:
    """The variables of this process, as they were set last: os.environ would decode each to be compared."""

    def __init__(self) -> None:
        self._current = dict(os.environ)
        self._lines: dict[str, Any] = {}  # what libc was told, and reads where it lies

    def become(self, wanted: dict[str, str]) -> None:
        """Have these variables, and no others."""
        for name in self._current.keys() - wanted.keys():
            del os.environ[name]
            self._lines.pop(name, None)
        known: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001 - without setenv
        for name, text in wanted.items():
            if self._current.get(name) != text:
                line = ctypes.create_string_buffer(os.fsencode(f"{name}={text}"))
                _putenv(line)
                self._lines[name] = line
                known[os.fsencode(name)] = os.fsencode(text)
        self._current = wanted


class Area:
    """A stretch of this process's first memory, which the kernel tells others of as it is now (proc(5))."""

    def __init__(self, start: int, end: int) -> None:
        self._size = end - start
        self._memory = memoryview((ctypes.c_char * self._size).from_address(start)).cast("B")

    def text(self, words: list[str]) -> bytes:
        """Return the words to be shown: as many whole ones as find room."""
        text = b"".join((os.fsencode("\0".join(words)), b"\0"))
        if len(text) > self._size:
            text = text[: text.rfind(b"\0", 0, self._size) + 1]
        return text.ljust(self._size, b"\0")

    def show(self, text: bytes) -> None:
        """Have /proc, and all who look there, see this."""
        self._memory[:] = text


def _told_by_kernel() -> tuple[Area, Area]:
    """Return where command and environment of this process lie. Its children have them at the same place."""
    arguments, arguments_end, variables, variables_end = tree.areas(os.getpid())
    return Area(arguments, arguments_end), Area(variables, variables_end)


def _run(action: Callable[[], int]) -> NoReturn:
    """Do as ``python -m MODULE`` does, and leave as the interpreter would, but for taking itself apart."""
    import threading

    code = action()
    if _thread._count() or threading._threading_atexits:  # type: ignore[attr-defined]  # noqa: SLF001 - as below
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a flow may have taken it away
            stream.flush()
    os._exit(code)


def main() -> None:
    """Import the engine, and fork as told; the shim's log is where errors go."""
    hooks = Hooks()
    module = importlib.import_module(sys.argv[1])
    module.warm()
    hooks.close()
    line = socket.socket(fileno=int(sys.argv[2]))
    try:
        template = Template(line, module, hooks)
    except (CannotForkError, OSError) as error:
        sys.exit(f"reeve: runs start cold: {error}")
    gc.collect()
    gc.freeze()  # what is shared stays shared: no collection in a run touches it
    template.serve()


if __name__ == "__main__":
    main()
