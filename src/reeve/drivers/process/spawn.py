"""Fork and exec of one run: nothing inherited but what the order names. Stdlib only."""

from __future__ import annotations

import _socket
import ctypes
import errno
import os
import resource
import signal

from reeve.drivers.process import orders, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The prefix finds libc in this process, whatever it is called (glibc, musl).
# What it is called by is looked up here, once: it would cost each child of a template seventy pages.
_call_prctl = ctypes.CDLL(None, use_errno=True).prctl
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# What Python, the shim, nohup or a shell that starts us in its background ignores; exec resets handlers, but
# keeps what is ignored.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_HANDLED = (signal.SIGTERM, signal.SIGCHLD)


class Inherited:
    """What the shim was started with and changed for itself, to be given back to every run."""

    __slots__ = ("files", "umask")

    def __init__(self) -> None:
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.umask = os.umask(0o077)

    def raise_limits(self) -> None:
        """Let the shim open as many files as it may: each run costs it five."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files[1], self.files[1]))

    def restore(self) -> None:
        """Give umask and limits back; called in the child."""
        resource.setrlimit(resource.RLIMIT_NOFILE, self.files)
        os.umask(self.umask)


class Pipes:
    """What a run writes to: the shim's ends, and the run's.

    ``verdict`` says why the program could not be started; it ends without a word when it was.
    """

    __slots__ = ("_own", "ends", "stderr", "stdout", "verdict")

    def __init__(self) -> None:
        """Raises OSError when there is no room for them."""
        files: list[int] = []
        try:
            for _ in range(2):
                files.extend(os.pipe2(os.O_CLOEXEC))
            files.extend(end.detach() for end in _socket.socketpair())  # without a family looked up for each
        except OSError:
            _close(files)
            raise
        self.stdout, stdout_end, self.stderr, stderr_end, self.verdict, verdict_end = files
        for own in (self.stdout, self.stderr, self.verdict):  # the run's ends block: an end has its own flags
            os.set_blocking(own, False)
        self.ends = [stdout_end, stderr_end, verdict_end]
        self._own = [self.stdout, self.stderr, self.verdict]

    def close_ends(self) -> None:
        """Leave the run's ends to the run."""
        _close(self.ends)
        self.ends = []

    def close(self) -> None:
        """Close everything: there is no run. Closed twice is fine."""
        self.close_ends()
        _close(self._own)
        self._own = []


class Child:
    """A forked run: its pid and pidfd, the shim's ends of its verdict and of its open streams."""

    __slots__ = ("pid", "pidfd", "pipes", "verdict")

    def __init__(self, pid: int, pipes: Pipes) -> None:
        """Raises OSError when it cannot be watched; then it does not stay."""
        self.pid = pid
        self.pidfd = _watch(pid)
        self.pipes = {"stdout": pipes.stdout, "stderr": pipes.stderr}
        self.verdict = pipes.verdict


def become_subreaper() -> None:
    """Have orphans of runs come back to this process instead of to init."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies; end at once if it has died already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


def spawn(order: dict[str, Any], inherited: Inherited, pipes: Pipes) -> int:
    """Fork a run and return its pid. The order has attempt, argv, env (see orders.joined) and cwd.

    Raises OSError when there is no room for it.
    """
    return _fork(lambda: _run_child(order, inherited, pipes.ends))


def helper(argv: list[str], env: dict[str, str], line: int, inherited: Inherited) -> int:
    """Fork a process that is no run, gets the file ``line`` and ends with the shim; return its pid.

    Raises OSError: no room for it.
    """

    def become() -> None:
        os.set_inheritable(line, True)
        inherited.restore()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is the point

    return _fork(become)


def _fork(become: Callable[[], object]) -> int:
    shim = os.getpid()
    # Blocked, so that a signal for the child cannot be swallowed by a handler it still has from us.
    # Only these: Python makes an enum of each, and all of them would cost half a millisecond.
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(shim)
                os.setsid()
                for number in (*_IGNORED, *_HANDLED):
                    signal.signal(number, signal.SIG_DFL)
                become()
            finally:
                os._exit(127)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    return pid


def _watch(pid: int) -> int:
    """Open the pidfd of a child; a child that cannot be watched does not stay."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _run_child(order: dict[str, Any], inherited: Inherited, ends: list[int]) -> None:
    """Become the run, or say why not."""
    stdout, stderr, verdict = ends
    try:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        take_streams((null, stdout, stderr))
        tree.set_limit_mark(0, order["attempt"])
        problem = enter_directory(order["cwd"]) or _execute(order, inherited)
    except Exception as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
        problem = f"The run could not be prepared: {error!r}."
    os.write(verdict, problem.encode(errors="replace")[:4000])


def take_streams(streams: tuple[int, int, int]) -> None:
    """Have the calling process take these as stdin, stdout and stderr."""
    for target, source in enumerate(streams):
        os.dup2(source, target)


def enter_directory(cwd: str) -> str:
    """Have the calling process enter its directory; return what is wrong."""
    try:
        os.chdir(cwd)
    except OSError as error:
        return (
            f"The working directory '{cwd}' cannot be entered: {error.strerror}. Create it, or name another."
        )
    return ""


def _execute(order: dict[str, Any], inherited: Inherited) -> str:
    """Exec the program, or return the sentence that says why not."""
    argv = order["argv"]
    inherited.restore()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvpe(argv[0], argv, orders.split(order["env"]))  # noqa: S606 - no shell is the point
    except OSError as error:
        return _cannot_start(argv[0], error)
    except ValueError as error:
        return f"The command or its environment cannot be passed on: {error}."


def _cannot_start(program: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and "/" not in program:
        return f"Command not found: '{program}'. Give its whole path, or add its directory to PATH."
    if error.errno == errno.ENOENT and os.path.exists(program):  # noqa: PTH110 - see tree.py
        return f"The interpreter that '{program}' names in its first line does not exist."
    if error.errno == errno.E2BIG:
        return f"Command and environment of '{program}' are too long for this system: {error.strerror}."
    return f"'{program}' cannot be executed: {error.strerror}."


def _prctl(option: int, value: int) -> None:
    if _call_prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)
