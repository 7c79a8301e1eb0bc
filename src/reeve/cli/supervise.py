"""Processes under watch: started in groups of their own, started again when they die, ended in order.

One thread and no handlers: the signals that matter are blocked and taken one by one, so that nothing
happens between two steps.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

ASKED_TO_STOP = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
WATCHED = frozenset({*ASKED_TO_STOP, signal.SIGCHLD})
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 60.0  # what lived so long was well: its next end starts the back-off anew
PR_SET_PDEATHSIG = 1  # prctl(2)

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Signals:
    """The watched signals, blocked while this context lasts and taken with ``take``.

    ``asked`` counts how often somebody asked to stop.
    """

    def __init__(self) -> None:
        self.asked = 0

    def __enter__(self) -> Self:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def take(self, timeout: float) -> bool:
        """Wait for the next signal, at most ``timeout`` seconds; say whether it asks to stop."""
        got = signal.sigtimedwait(WATCHED, max(timeout, 0))
        if got is None or got.si_signo not in ASKED_TO_STOP:
            return False
        self.asked += 1
        return True


class Child:
    """A process in a group of its own, so that Ctrl-C reaches its parent only."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "reeve", *arguments]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0

    def start(self) -> None:
        """Start the process; it gets SIGTERM should this one be killed."""
        parent = os.getpid()
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=lambda: _tie(parent),  # noqa: PLW1509  # this process has one thread
        )
        self._started = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The code it ended with, below 0 for a signal; None if it has not ended."""
        return None if self._process is None else self._process.poll()

    def pause(self) -> float:
        """Return for how long to wait before it is started again, longer with each early end; seconds."""
        if time.monotonic() - self._started >= SETTLED_SECONDS:
            self._failures = 0
        self._failures += 1
        return min(0.5 * 2.0**self._failures, LONGEST_PAUSE_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it is there."""
        if self._process is not None:
            self._process.send_signal(number)  # polls first: a pid that was reaped is left alone

    def end(self, signals: Signals, *, within: float) -> bool:
        """Wait until it has ended; False if somebody asks to stop again, or after ``within`` seconds."""
        deadline = time.monotonic() + within
        while self.is_alive:
            left = deadline - time.monotonic()
            if left <= 0 or signals.take(left):
                return False
        return True


def _tie(parent: int) -> None:
    """In the child, before its program: let signals through again, and do not outlive the parent."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
