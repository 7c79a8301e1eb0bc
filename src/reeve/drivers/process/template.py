"""A process that has imported an engine, and forks a run of it for each order of its shim (design §6).

The shim starts it as ``python -m reeve.drivers.process.template MODULE LINE``: an interpreter like the run's
own, with its flags and its site. ``MODULE`` has ``main() -> int``, and ``warm()`` for what is done once for
all runs; ``LINE`` is the number of an inherited socket. It says ``ready`` when it can fork. Each packet is an
order (attempt, env, cwd) with the ends of the run's stdout, stderr and verdict; the answer is the run's pid,
or a negated errno. The run does nothing before the shim, which has its pid then, says so through the verdict.

The run is a child of the shim, not of this process: so nothing here watches, reaps or outlives it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import platform
import signal
import socket
import sys
import threading
from types import ModuleType
from typing import Any, NoReturn

from reeve.drivers.process import spawn, tree
from reeve.drivers.process.templates import ENDS, GO, LONGEST_ORDER, READY

# clone(2) as such, since libc has no fork that makes a sibling. Its fourth and fifth argument change places
# between machines; where the child's own thread id goes is therefore given twice.
_CLONE = {"x86_64": 56, "aarch64": 220}
_GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100}
_SET_ROBUST_LIST = {"x86_64": 273, "aarch64": 99}
_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000
_PR_GET_TID_ADDRESS = 40

_libc = ctypes.PyDLL(None, use_errno=True)  # keeps the lock of the interpreter: nothing may run between
_libc.syscall.restype = ctypes.c_long


class CannotForkError(Exception):
    """This system lets no process make siblings as libc makes children."""


class Forker:
    """Does what ``fork`` of libc does, but for the parent: the child is a sibling of the caller.

    Raises CannotForkError where libc keeps its thread's id at a place that cannot be found: a child with the
    id of another would signal that one.
    """

    def __init__(self) -> None:
        machine = platform.machine()
        if machine not in _CLONE or sys.maxsize < 1 << 32:
            raise CannotForkError(f"The system calls of {machine} are not known here.")
        self._machine = machine
        self._own_id = _address_of_thread_id()
        self._robust_list, self._robust_size = ctypes.c_void_p(), ctypes.c_size_t()
        _call(_GET_ROBUST_LIST[machine], 0, ctypes.byref(self._robust_list), ctypes.byref(self._robust_size))

    def fork(self) -> int:
        """Return the pid of the child, 0 in it."""
        flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
        ctypes.pythonapi.PyOS_BeforeFork()
        pid = int(
            _libc.syscall(
                ctypes.c_long(_CLONE[self._machine]),
                ctypes.c_ulong(flags),
                None,
                None,
                self._own_id,
                self._own_id,
            )
        )
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            _call(_SET_ROBUST_LIST[self._machine], self._robust_list, self._robust_size)
            return 0
        ctypes.pythonapi.PyOS_AfterFork_Parent()
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
    if ctypes.c_int.from_address(address.value).value != threading.get_native_id():
        raise CannotForkError("This libc keeps the id of its thread elsewhere than the kernel was told.")
    return address


def _call(number: int, *arguments: Any) -> None:
    if _libc.syscall(ctypes.c_long(number), *arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Template:
    """The loop: takes orders and answers with pids, until the shim is gone."""

    def __init__(self, line: socket.socket, module: ModuleType) -> None:
        self._line = line
        self._module = module
        self._shim = os.getppid()
        self._forker = Forker()
        self._command, self._environment = _told_by_kernel()
        self._added = _added_at_start()
        self._relative = _relative_paths()

    def serve(self) -> None:
        """Fork until the line ends. Returns in the template only."""
        self._line.send(READY)
        while True:
            packet, files, _, _ = socket.recv_fds(self._line, LONGEST_ORDER, ENDS)
            if not packet:
                return
            # Before the fork: what is written to after it is a page more to copy.
            order = json.loads(packet)
            _take_environment({**order["env"], tree.MARK: order["attempt"], **self._added})
            try:
                pid = self._forker.fork()
            except OSError as error:  # no room: the shim says so
                pid = -(error.errno or errno.EAGAIN)
            if pid == 0:
                self._become(order, files)
            for file in files:
                os.close(file)
            self._line.send(str(pid).encode())

    def _become(self, order: dict[str, Any], files: list[int]) -> NoReturn:
        """Be the run from here on."""
        stdout, stderr, verdict = files
        try:
            self._line.close()
            spawn.die_with_parent(self._shim)
            if os.read(verdict, 1) != GO:
                os._exit(127)
            problem = self._prepare(order, stdout, stderr)
            if problem:
                os.write(verdict, problem.encode(errors="replace")[:4000])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
            with contextlib.suppress(OSError):
                os.write(
                    verdict, f"The run could not be prepared: {error!r}.".encode(errors="replace")[:4000]
                )
            os._exit(127)
        if problem:
            os._exit(127)
        for file in files:
            os.close(file)
        _run(self._module)

    def _prepare(self, order: dict[str, Any], stdout: int, stderr: int) -> str:
        """Put the run into its place; return the sentence that says why it cannot be."""
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        problem = spawn.enter(order, (null, stdout, stderr))
        os.close(null)
        if problem:
            return problem
        self._show(order)
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()  # noqa: PTH109 - what python -m puts there
        for place, path in self._relative:
            sys.path[place] = os.path.abspath(path)  # noqa: PTH100 - a run's pages are few without pathlib
        return ""

    def _show(self, order: dict[str, Any]) -> None:
        """Have /proc, and all who look there, see the run's command and environment, its mark first."""
        self._command.show([os.fsencode(one) for one in (*sys.orig_argv[:2], self._module.__name__)])
        variables = {tree.MARK: order["attempt"], **order["env"]}
        self._environment.show([os.fsencode(f"{name}={text}") for name, text in variables.items()])


def _added_at_start() -> dict[str, str]:
    """Return the variables that this interpreter has set itself: a locale (PEP 538), or what site does."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - a run's pages are few without pathlib
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
    relative = {os.path.abspath(one): one for one in told if not os.path.isabs(one)}  # noqa: PTH100, PTH117 - as above
    return [(place, relative[path]) for place, path in enumerate(sys.path) if path in relative]


# libc's setenv, which os.environ calls, keeps for good what it is given (glibc before 2.41): a template would
# grow with each of its runs. putenv takes the bytes themselves; they are let go when others take their place.
_putenv = ctypes.CDLL(None).putenv
_put: dict[str, Any] = {}


def _take_environment(wanted: dict[str, str]) -> None:
    known: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001 - without setenv
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
        _put.pop(name, None)
    for name, text in wanted.items():
        if os.environ.get(name) != text:
            line = ctypes.create_string_buffer(os.fsencode(f"{name}={text}"))
            _putenv(line)
            _put[name] = line
            known[os.fsencode(name)] = os.fsencode(text)


class Area:
    """A stretch of this process's first memory, which the kernel tells others of as it is now (proc(5))."""

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._size = end - start

    def show(self, words: list[bytes]) -> None:
        """Write as many whole words there as find room."""
        text = b""
        for word in words:
            if len(text) + len(word) < self._size:
                text += word + b"\0"
        ctypes.memmove(self._start, text.ljust(self._size, b"\0"), self._size)


def _told_by_kernel() -> tuple[Area, Area]:
    """Return where command and environment of this process lie. Its children have them at the same place."""
    arguments, arguments_end, variables, variables_end = tree.areas(os.getpid())
    return Area(arguments, arguments_end), Area(variables, variables_end)


def _run(module: ModuleType) -> NoReturn:
    """Do as ``python -m MODULE`` does, and leave as the interpreter would, but for taking itself apart."""
    sys.modules["__main__"] = module
    sys.argv = [str(module.__file__)]
    threading.current_thread()._set_native_id()  # type: ignore[attr-defined]  # noqa: SLF001 - Python forgets to
    code = module.main()
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a flow may have taken it away
            stream.flush()
    os._exit(code)


def main() -> None:
    """Import the engine, and fork as told; the shim's log is where errors go."""
    module = importlib.import_module(sys.argv[1])
    module.warm()
    line = socket.socket(fileno=int(sys.argv[2]))
    try:
        template = Template(line, module)
    except (CannotForkError, OSError) as error:
        sys.exit(f"reeve: runs start cold: {error}")
    gc.collect()
    gc.freeze()  # what is shared stays shared: no collection in a run touches it
    template.serve()


if __name__ == "__main__":
    main()
