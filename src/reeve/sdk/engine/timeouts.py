"""Timeouts that stop code which does not cooperate, in the main thread and in others.

In the main thread a timer's signal interrupts the code wherever it is: in Python, in a system call
(``sleep``, a socket, a lock), and in C that checks for signals. In other threads an exception is raised at
the thread's next step of Python, so that a long call into C is not cut short. What interrupts is a
BaseException: ``except Exception`` does not stop it, ``finally`` blocks run.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from reeve.sdk.engine.outcomes import Outcome, Returned, TimedOut
from reeve.sdk.runners import interrupt


class Overdue(BaseException):
    """The time of a run is over. Each deadline raises a class of its own, so that none takes another's."""


def call_within(seconds: float, call: Callable[[], Any]) -> Outcome:
    """Call, for at most ``seconds``. What the call raises passes through."""
    main = threading.current_thread() is threading.main_thread()
    deadline = _Alarm(seconds) if main else _Watchdog(seconds)
    overdue = deadline.overdue
    try:
        deadline.start()
        try:
            value = call()
        finally:
            deadline.stop()
    except overdue:
        deadline.stop()  # it may have struck in the first stop, before that had done its work
        return TimedOut(seconds)
    return TimedOut(seconds) if deadline.struck else Returned(value)


class _Alarm:
    """A deadline of the main thread. All of them share the process's one timer; the nearest has it."""

    def __init__(self, seconds: float) -> None:
        self.overdue: type[Overdue] = type("Overdue", (Overdue,), {})
        self.struck = False
        self.at = time.monotonic() + seconds

    def start(self) -> None:
        if not _alarms:
            _handlers_before.append(signal.signal(signal.SIGALRM, _strike))
        _alarms.append(self)
        _set_timer()

    def stop(self) -> None:
        if self in _alarms:
            _alarms.remove(self)
        _set_timer()
        if not _alarms and _handlers_before:
            signal.signal(signal.SIGALRM, _handlers_before.pop())


# The main thread's alone; outermost first.
_alarms: list[_Alarm] = []
_handlers_before: list[Any] = []


def _set_timer() -> None:
    # Never 0 while an alarm is set: that would switch the timer off.
    left = max(min(alarm.at for alarm in _alarms) - time.monotonic(), 1e-6) if _alarms else 0
    signal.setitimer(signal.ITIMER_REAL, left)


def _strike(_signal: int, _frame: FrameType | None) -> None:
    """Interrupt the main thread for the outermost run whose time is over; those inside end with it."""
    now = time.monotonic()
    due = next((alarm for alarm in _alarms if alarm.at <= now), None)
    if due is None:
        _set_timer()
        return
    due.struck = True
    del _alarms[_alarms.index(due) :]
    _set_timer()
    raise due.overdue


class _Watchdog:
    """A deadline of another thread, kept by a thread of its own.

    Whoever takes the ticket first, the call's end or the watchdog, decides: so no exception is raised in
    code that comes after the call.
    """

    def __init__(self, seconds: float) -> None:
        self.overdue: type[Overdue] = type("Overdue", (Overdue,), {})
        self.struck = False
        self._ticket = threading.Lock()
        self._sent = threading.Event()
        self._thread_id = threading.get_ident()
        self._timer = threading.Timer(seconds, self._strike)
        self._timer.daemon = True

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()
        if self._ticket.acquire(blocking=False):
            return
        while not self._sent.is_set():  # the exception may arrive in here
            time.sleep(0.0005)
        interrupt(self._thread_id, None)  # if the call's end was faster than the exception

    def _strike(self) -> None:
        if not self._ticket.acquire(blocking=False):
            return
        self.struck = True
        interrupt(self._thread_id, self.overdue)
        self._sent.set()
