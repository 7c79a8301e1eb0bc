"""Time as the edges of reeve read it. ``core`` never does: it gets ``now`` as an argument.

A test may hold this process's clock in its hand (``reeve.testing``). Then it runs ahead of the real one as
far as it was moved, and the engine leaps over what it would wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NAP_SECONDS = 0.05

_ahead = timedelta()  # of the real clock
_leap: Callable[[float], None] | None = None


def now() -> datetime:
    """Return the wall clock, aware, in UTC."""
    return datetime.now(UTC) + _ahead


def at(timestamp: float) -> datetime:
    """Return what the clock shows at a moment of ``time.time``."""
    return datetime.fromtimestamp(timestamp, UTC) + _ahead


def boottime() -> float:
    """Return seconds since boot, suspend included: leases are counted on it (protocol §3)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def to_sleep(seconds: float, *, asks_again: bool = False) -> float:
    """Return how many seconds to sleep in order to wait for so many: none where the clock leaps instead.

    ``asks_again``: what is waited for is no moment, but for instance a slot that somebody holds. No leap of a
    clock frees it; where clocks leap, it is asked for more often.
    """
    if _leap is None:
        return seconds
    if asks_again:
        return min(seconds, NAP_SECONDS)
    _leap(seconds)
    return 0.0


def move(by: timedelta) -> None:
    """Set the clock of this process ahead of where it is."""
    global _ahead  # noqa: PLW0603  # there is one time in a process
    _ahead += by


def take(leap: Callable[[float], None]) -> None:
    """Have ``leap(seconds)`` called where the engine would wait for so long."""
    global _leap  # noqa: PLW0603  # as above
    _leap = leap


def give_back() -> None:
    """Have the clock show the real time again, and waits be waits."""
    global _ahead, _leap
    _ahead, _leap = timedelta(), None
