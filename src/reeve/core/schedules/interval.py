"""Dates of interval schedules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from reeve.core.schedules import local
from reeve.core.schedules.kinds import IntervalSchedule, in_utc
from reeve.errors import InvalidInputError

# Where a schedule without an anchor is counted from, on the clock of its time zone. A client of 2.20
# always sends an anchor, and the server gives one to who did not (api-contract §10: "default now").
DEFAULT_ANCHOR = datetime(2020, 1, 1)  # noqa: DTZ001 - a wall time

_LONGEST = timedelta(days=36525)


def check(schedule: IntervalSchedule) -> None:
    """Raise InvalidInputError unless 0 < interval ≤ a century and the time zone exists."""
    local.zone_of(schedule.timezone)
    # Below a microsecond the step would round to nothing.
    if not timedelta.resolution.total_seconds() <= schedule.interval <= _LONGEST.total_seconds():
        raise InvalidInputError(
            f"interval is in seconds, more than 0 and at most a century, not {schedule.interval};"
            " example: 3600 for every hour",
            field="interval",
        )


def instants(schedule: IntervalSchedule, start: datetime, stop: datetime) -> Iterator[datetime]:
    """Yield the dates in [start, stop), perhaps a few before, ascending."""
    check(schedule)
    zone = local.zone_of(schedule.timezone)
    step = timedelta(seconds=schedule.interval)
    if schedule.anchor_date is not None:
        anchor = in_utc(schedule.anchor_date)
    else:
        anchor, _ = local.instants_of(zone, DEFAULT_ANCHOR)
    if step < local.DAY:
        return _steps(anchor, step, start, stop)
    origin = local.wall(anchor, local.offset_at(zone, anchor))
    return local.named_instants(zone, lambda a, b: _steps(origin, step, a, b), start, stop)


def _steps(origin: datetime, step: timedelta, start: datetime, stop: datetime) -> Iterator[datetime]:
    moment = origin - (origin - start) // step * step
    while moment < stop:
        yield moment
        moment += step
