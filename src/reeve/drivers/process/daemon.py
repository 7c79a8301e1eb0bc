"""How a shim comes to live in its directory: alone there, cut off from whoever started it. Stdlib only."""
# ruff: noqa: PTH101, PTH108 - pathlib would cost the shim a megabyte

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import socket
import sys

from reeve.drivers.process import messages, spawn, tree
from reeve.drivers.process.loop import guard
from reeve.drivers.process.shim import Shim

_LONGEST_LOG = 1 << 20  # bytes


def main(directory: str, idle_seconds: float) -> None:
    """Become a shim in ``directory``, whose door is found there; say ``ready``, ``busy`` or what is wrong."""
    try:
        os.chdir(directory)  # and a path relative to it is never too long for a socket
        lock = os.open(messages.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _take(lock):
            _say("busy")
            return
        if not tree.can_list_children():
            _say("This kernel does not list children in /proc (CONFIG_PROC_CHILDREN); reeve's runs need it.")
            return
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _serve_as_daemon(idle_seconds)
        os._exit(0)
    except OSError as error:
        _say(f"The shim cannot start in '{directory}': {error.strerror}.")


def _serve_as_daemon(idle_seconds: float) -> None:
    inherited = spawn.Inherited()
    inherited.raise_limits()
    spawn.become_subreaper()
    _redirect_errors()
    listener = _listen()
    shim = Shim(listener, idle_seconds, inherited)
    gc.collect()
    gc.freeze()  # children share what was there before them
    _say("ready")
    os.dup2(2, 1)  # whoever started this shim reads to the end of its output
    guard(shim.serve)
    with contextlib.suppress(OSError):
        os.unlink(messages.SOCKET)  # while the lock is held: the next shim's socket has the same name
    os._exit(0)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _redirect_errors() -> None:
    log = os.open(messages.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if os.fstat(log).st_size > _LONGEST_LOG:
        os.ftruncate(log, 0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


def _listen() -> socket.socket:
    if os.path.lexists(messages.SOCKET):
        os.unlink(messages.SOCKET)  # a dead shim's: we hold the lock
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    listener.bind(messages.SOCKET)
    os.chmod(messages.SOCKET, 0o600)
    listener.listen(64)
    return listener


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
