"""Fork and exec of one run: nothing inherited but what the order names. Stdlib only.

Here a preloaded engine would be forked without exec: the child's preparation is the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal

from reeve.drivers.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The prefix finds libc in this process, whatever it is called (glibc, musl).
_libc = ctypes.CDLL(None, use_errno=True)
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


class Child:
    """A forked run: its pid and pidfd, the reading ends of its pipes.

    ``verdict`` says why the program could not be started; it ends without a word when it was.
    """

    __slots__ = ("pid", "pidfd", "stderr", "stdout", "verdict")

    def __init__(self, pid: int, pidfd: int, stdout: int, stderr: int, verdict: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.stdout = stdout
        self.stderr = stderr
        self.verdict = verdict


def become_subreaper() -> None:
    """Have orphans of runs come back to this process instead of to init."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies; end at once if it has died already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


def spawn(order: dict[str, Any], inherited: Inherited) -> Child:
    """Fork a run. The order has attempt, argv, env and cwd. Raises OSError when there is no room for it."""
    ends: list[int] = []
    try:
        for _ in range(3):
            ends.extend(os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        ends.append(null)
        pid = _fork(order, inherited, ends)
        pidfd = _watch(pid)
    except BaseException:
        _close(ends)
        raise
    stdout, stdout_end, stderr, stderr_end, verdict, verdict_end, null = ends
    _close([stdout_end, stderr_end, verdict_end, null])
    return Child(pid, pidfd, stdout, stderr, verdict)


def _watch(pid: int) -> int:
    """Open the pidfd of a child; a child that cannot be watched does not stay."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _fork(order: dict[str, Any], inherited: Inherited, ends: list[int]) -> int:
    shim = os.getpid()
    # Blocked, so that a signal for the child cannot be swallowed by a handler it still has from us.
    # Only these: Python makes an enum of each, and all of them would cost half a millisecond.
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(order, inherited, ends, shim)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    return pid


def _run_child(order: dict[str, Any], inherited: Inherited, ends: list[int], shim: int) -> None:
    """Become the run; never return."""
    try:
        die_with_parent(shim)
        os.setsid()
        for number in (*_IGNORED, *_HANDLED):
            signal.signal(number, signal.SIG_DFL)
        _, stdout, _, stderr, _, verdict, null = ends
        try:
            problem = _take_order(order, inherited, (null, stdout, stderr))
        except Exception as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
            problem = f"The run could not be prepared: {error!r}."
        os.write(verdict, problem.encode(errors="replace")[:4000])
    finally:
        os._exit(127)


def _take_order(order: dict[str, Any], inherited: Inherited, streams: tuple[int, int, int]) -> str:
    """Exec the program, or return the sentence that says why not."""
    argv, cwd = order["argv"], order["cwd"]
    for target, source in enumerate(streams):
        os.set_blocking(source, True)  # the writing end only: an end has its own flags
        os.dup2(source, target)
    try:
        os.chdir(cwd)
    except OSError as error:
        return (
            f"The working directory '{cwd}' cannot be entered: {error.strerror}. Create it, or name another."
        )
    inherited.restore()
    with contextlib.suppress(
        OSError, ValueError
    ):  # a hard limit below the mark: the environment bears it too
        tree.set_limit_mark(order["attempt"])
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvpe(argv[0], argv, {**order["env"], tree.MARK: order["attempt"]})  # noqa: S606 - no shell is the point
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
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)
