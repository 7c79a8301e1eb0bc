"""Which dates of a schedule that passed without a run are made up for.

Apart from the policies' words, which every run's process reads: what finds dates is half of its memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from reeve.core.schedule_policies import Catchup, SchedulePolicy
from reeve.core.schedules import Schedule, occurrences

_FIRST_LOOK = timedelta(hours=1)


def missed_dates(
    schedule: Schedule, policy: SchedulePolicy, since: datetime, now: datetime
) -> list[datetime]:
    """Return the dates later than ``since``, up to now, that are to be made up for; at most 1000."""
    if not policy.makes_up or since >= now:
        return []
    start = since if policy.longest_wait is None else max(since, now - policy.longest_wait)
    if policy.catchup is Catchup.LAST:
        return _last(schedule, since, start, now)
    return [date for date in occurrences(schedule, start, end=now) if date > since]


def _last(schedule: Schedule, since: datetime, start: datetime, now: datetime) -> list[datetime]:
    """Return the newest date, looked for backwards: 25 days of minutes need not all be counted."""
    for begin, end in _windows(start, now):
        found = [date for date in _all(schedule, begin, end) if date > since]
        if found:
            return found[-1:]
    return []


def _windows(first: datetime, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    end, length = now, _FIRST_LOOK
    while end > first:
        start = max(first, end - length)
        yield start, end
        end, length = start, length * 2


def _all(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield all dates of a window, however many."""
    while True:
        last = None
        for last in occurrences(schedule, start, end=end):
            yield last
        if last is None or last >= end:
            return
        start = last + timedelta(microseconds=1)
