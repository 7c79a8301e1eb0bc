"""A pool of worker processes: started as they are needed, replaced when they die, gone with their flow."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from reeve.sdk.engine.outcomes import Outcome
from reeve.sdk.modules import loaded_files
from reeve.sdk.runners import Abandoned
from reeve.sdk.workers.child import Setup
from reeve.sdk.workers.crossing import Ended, Named, RemoteCall, outcome, pack, reference

_LOOK_SECONDS = 0.2  # how often who waits for a worker looks whether it is to be waited for
_LATE_SECONDS = 5.0  # a worker that has not ended a call so long after its timeout is killed
_LEAVE_SECONDS = 3.0  # for a worker to end once it is told so
_STOPS: dict[str, type[BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": SystemExit,
    "Abandoned": Abandoned,
}


class ProcessPool:
    """Worker processes, each of which performs one call at a time. As many as threads call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._stopping = False

    def reference(self, owner: str, fn: Callable[..., Any]) -> Named:
        """Return the function's name."""
        return reference(owner, fn)

    def call(self, owner: str, call: RemoteCall) -> Outcome:
        """Have a worker perform a call. Raises NotPicklableError, and what ended the call from outside."""
        packed = pack(owner, call)
        worker = self._take()
        try:
            told = worker.perform(packed, call.timeout)
        except BaseException:
            self._bury(worker)
            raise
        if told[0] in {"died", "late"}:
            self._bury(worker)
        elif not self._put_back(worker):
            worker.close()
        if self._stopping and told[0] == "died":
            raise Abandoned
        if told[0] == "stopped":
            raise _STOPS.get(told[1], Abandoned)(*told[2])
        return outcome(owner, told)

    def interrupt(self) -> None:
        """Have running calls end, as gently as a thread's would."""
        with self._lock:
            self._stopping = True
            workers = list(self._all)
        for worker in workers:
            worker.signal(signal.SIGTERM)

    def close(self) -> None:
        """End all workers, those that do not listen by force."""
        with self._lock:
            self._stopping = True
            workers, self._all = list(self._all), set()
            self._idle.clear()
        for worker in workers:
            worker.close()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for worker in workers:
            worker.end(max(deadline - time.monotonic(), 0))

    def _take(self) -> _Worker:
        with self._lock:
            if self._stopping:
                raise Abandoned
            if self._idle:
                return self._idle.pop()
        worker = _Worker()
        if not self._enlist(worker):
            worker.end(0)
            raise Abandoned
        return worker

    def _enlist(self, worker: _Worker) -> bool:
        with self._lock:
            if not self._stopping:
                self._all.add(worker)
            return not self._stopping

    def _put_back(self, worker: _Worker) -> bool:
        with self._lock:
            if not self._stopping:
                self._idle.append(worker)
            return not self._stopping

    def _bury(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.end(0)


class _Worker:
    """One worker process, as its flow's process sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        lifeline, self._alive = os.pipe()
        with theirs:
            # -P: the user's directory is no place to look for modules of reeve. In a group of its own, so
            # that no Ctrl-C meets it before its flow.
            words = [
                sys.executable,
                "-P",
                "-m",
                "reeve.sdk.workers",
                str(theirs.fileno()),
                str(lifeline),
            ]
            self._process = subprocess.Popen(
                words, pass_fds=[theirs.fileno(), lifeline], stdin=subprocess.DEVNULL, process_group=0
            )
        os.close(lifeline)
        self._connection = Connection(ours.detach())
        self._connection.send_bytes(pickle.dumps(_setup()))

    def perform(self, packed: bytes, timeout: float | None) -> Ended:
        """Send a call and wait for its end."""
        deadline = None if timeout is None else time.monotonic() + timeout + _LATE_SECONDS
        try:
            self._connection.send_bytes(packed)
            while True:
                if deadline is not None and time.monotonic() > deadline:
                    return ("late", timeout)
                if not self._connection.poll(_LOOK_SECONDS):
                    continue
                kind, told = pickle.loads(self._connection.recv_bytes())  # noqa: S301  # our own
                if kind == "end":
                    return told  # type: ignore[no-any-return]  # Any
                _log(told)
        except (EOFError, OSError):
            return ("died", self._epitaph())
        except (pickle.UnpicklingError, ValueError, AttributeError, ImportError) as error:
            return ("died", f"What its worker process says cannot be read: {error!r}. It was killed.")

    def signal(self, number: int) -> None:
        """Send a signal to the worker and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """Tell the worker that there are no more calls."""
        with contextlib.suppress(OSError):
            self._connection.close()

    def end(self, seconds: float) -> None:
        """Wait for the worker's end, and force it after ``seconds``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.signal(signal.SIGKILL)  # what it has started may live on
        self._process.wait()
        self.close()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def _epitaph(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_SECONDS)
        code, pid = self._process.returncode, self._process.pid
        if code is None:
            return f"Its worker process (pid {pid}) has closed its connection."
        if code >= 0:
            return f"Its worker process (pid {pid}) has ended with exit code {code}."
        name = signal.Signals(-code).name
        hint = " Somebody has killed it, or the machine was out of memory." if -code == signal.SIGKILL else ""
        return f"Its worker process (pid {pid}) was killed by {name}.{hint}"


def _log(told: dict[str, Any]) -> None:
    record = logging.makeLogRecord(told)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _setup() -> Setup:
    main: Any = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    found = None
    if spec is not None and not spec.name.startswith("reeve."):
        found = ("module", spec.name)
    elif spec is None and file is not None:
        found = ("file", os.path.abspath(file))  # noqa: PTH100  # as in load
    return Setup(os.getcwd(), list(sys.path), found, dict(loaded_files))  # noqa: PTH109  # as in load
