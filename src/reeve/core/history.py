"""Stretches of time in which runs are counted."""

from __future__ import annotations

from datetime import datetime, timedelta

from reeve.errors import InvalidInputError

MAX_INTERVALS = 500
SHORTEST = timedelta(seconds=1)
DASHBOARD_BUCKETS = 20
MINUTE = timedelta(minutes=1)


def intervals(start: datetime, end: datetime, seconds: float) -> list[tuple[datetime, datetime]]:
    """Cut the time from ``start`` on into intervals of ``seconds``, the last of which reaches ``end``.

    There is one at least, and 500 at most. Raises InvalidInputError.
    """
    if not seconds >= SHORTEST.total_seconds():
        raise InvalidInputError("History interval must not be less than 1 second.")
    try:
        width = timedelta(seconds=seconds)
        count = min(max(-((start - end) // width), 1), MAX_INTERVALS)
        return [(start + i * width, start + (i + 1) * width) for i in range(count)]
    except OverflowError:
        raise InvalidInputError(
            "The last interval would end after the year 9999: choose a shorter interval."
        ) from None


def dashboard_window(after: datetime, before: datetime) -> tuple[datetime, datetime]:
    """Return the whole minutes that a dashboard shows, that of ``after`` and that of ``before`` included.

    Raises InvalidInputError at the end of the calendar.
    """
    try:
        end = before.replace(second=0, microsecond=0) + MINUTE
    except OverflowError:
        raise InvalidInputError("The window would end after the year 9999: choose an earlier end.") from None
    return after.replace(second=0, microsecond=0), end
