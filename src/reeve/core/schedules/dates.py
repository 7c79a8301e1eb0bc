"""When a schedule is due: its dates, and which of them become runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, groupby, islice, takewhile
from typing import Any
from uuid import UUID

import msgspec

from reeve.core.schedules import cron, interval, rrule
from reeve.core.schedules.kinds import CronSchedule, IntervalSchedule, Schedule
from reeve.core.schedules.local import zone_of
from reeve.core.sealing import told_apart

MAX_CANDIDATES = 1000  # api-contract §10

# How far ahead dates are looked for where no end is given.
HORIZON = timedelta(days=50 * 366)


def validate(schedule: Schedule) -> None:
    """Raise InvalidInputError, with the field and the remedy, for a schedule that cannot be followed."""
    match schedule:
        case IntervalSchedule():
            interval.check(schedule)
        case CronSchedule():
            cron.check(schedule)
        case _:
            rrule.check(schedule)


def occurrences(schedule: Schedule, start: datetime, *, end: datetime | None = None) -> Iterator[datetime]:
    """Yield the dates from ``start`` to ``end``, both included: aware, in UTC, ascending, each once.

    ``start`` and ``end`` are aware; without an end it is 50 years. At most 1000 dates come. Raises what
    :func:`validate` raises, at the latest with the first date.
    """
    start = start.astimezone(UTC)
    last = start + HORIZON if end is None else end.astimezone(UTC)
    stop = last + timedelta(seconds=1)
    found = (date for date, _ in groupby(_instants(schedule, start, stop)))
    due = takewhile(lambda date: date <= last, dropwhile(lambda date: date < start, found))
    return islice(due, MAX_CANDIDATES)


def _instants(schedule: Schedule, start: datetime, stop: datetime) -> Iterator[datetime]:
    match schedule:
        case IntervalSchedule():
            return interval.instants(schedule, start, stop)
        case CronSchedule():
            return cron.instants(schedule, start, stop)
        case _:
            return rrule.instants(schedule, start, stop)


def dates_to_schedule(
    schedule: Schedule,
    now: datetime,
    *,
    min_runs: int = 3,
    min_time: timedelta = timedelta(hours=1),
    max_runs: int = 100,
    max_time: timedelta = timedelta(days=100),
) -> list[datetime]:
    """Return the dates that should be runs now (api-contract §10, Scheduler).

    From ``now`` on, until there are ``min_runs`` and they reach ``min_time`` ahead; never more than
    ``max_runs``, none beyond ``max_time``.
    """
    dates: list[datetime] = []
    for date in islice(occurrences(schedule, now, end=now + max_time), max_runs):
        dates.append(date)
        if len(dates) >= min_runs and date >= now + min_time:
            break
    return dates


def same_until(
    dates: Sequence[datetime],
    now: datetime,
    *,
    min_runs: int = 3,
    min_time: timedelta = timedelta(hours=1),
    max_runs: int = 100,
) -> datetime | None:
    """Return until when :func:`dates_to_schedule` asks for no more than ``dates``, which it gave at ``now``.

    None: nobody knows, since its dates end before they are as many or reach as far as it wants.
    """
    if len(dates) >= min_runs and dates[-1] >= now + min_time:
        return min(dates[-min_runs], dates[-1] - min_time)
    return dates[0] if len(dates) == max_runs else None


def scheduled_idempotency_key(
    deployment_id: UUID, date: datetime, timezone: str | None, parameters: Mapping[str, Any] | None = None
) -> str:
    """Return the key of the run of that date, the same from every server (api-contract §10).

    The date stands in the offset of the schedule's time zone, as 2.20 writes it. ``parameters``: those of the
    schedule's own, with which its run is another one than that of a schedule without.
    """
    at = date.astimezone(zone_of(timezone)).isoformat()
    own = own_parameters_key(parameters or {})
    return " ".join(["scheduled", str(deployment_id), at, *([own] if own else [])])


def own_parameters_key(parameters: Mapping[str, Any]) -> str:
    """Return a short name for parameters, the same in each process; nothing for none."""
    if not parameters:
        return ""
    from hashlib import sha256  # OpenSSL costs each start of a run 5 ms

    return sha256(msgspec.json.encode(told_apart(parameters), order="deterministic")).hexdigest()[:16]
