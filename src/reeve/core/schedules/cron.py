"""Dates of cron schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from cronsim import CronSim, CronSimError

from reeve.core.schedules import local
from reeve.core.schedules.kinds import CronSchedule
from reeve.errors import InvalidInputError

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

# Seconds stand last in the 2.20 dialect.
_FIELDS = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31"),
    ("month", "1-12 or jan-dec"),
    ("day of week", "0-7 or sun-sat"),
    ("second", "0-59"),
)

# What cronsim and croniter read alike: *, */2, 5, mon, and 1-5 or 1-9/2 where the range ascends.
_PLAIN = re.compile(r"(\*(/\d+)?|\w+(-\w+(/\d+)?)?)(,(\*/\d+|\w+(-\w+(/\d+)?)?))*", re.ASCII)

# Where "never" is looked for: eight years around it have their leap days.
_REFERENCE = datetime(2020, 1, 1)  # noqa: DTZ001 - a wall time


def check(schedule: CronSchedule) -> None:
    """Raise InvalidInputError for an expression that cannot be read or never occurs, or an unknown zone."""
    local.zone_of(schedule.timezone)
    if next(_ticks(schedule.cron, schedule.day_or, _REFERENCE), None) is None:
        raise _invalid(schedule.cron, "there is no such date")


def instants(schedule: CronSchedule, start: datetime, stop: datetime) -> Iterator[datetime]:
    """Yield the dates in [start, stop), perhaps a few before, ascending.

    An hour field without ``*`` names hours: each wall time it names happens exactly once. One with ``*``
    goes by real time: a repeated hour counts twice, a skipped one not at all.
    """
    zone = local.zone_of(schedule.timezone)

    def walls(begin: datetime, end: datetime) -> Iterator[datetime]:
        for shown in _ticks(schedule.cron, schedule.day_or, begin - local.SECOND):
            if shown >= end:
                return
            yield shown

    if "*" not in _fields(schedule.cron)[1]:
        yield from local.named_instants(zone, walls, start, stop)
        return
    for begin, end, offset in local.segments(zone, start, stop):
        for shown in walls(local.wall(begin, offset), local.wall(end, offset)):
            yield local.instant(shown, offset)


def _fields(cron: str) -> list[str]:
    fields = _ALIASES.get(cron.strip().lower(), cron).lower().split()
    if len(fields) not in {5, 6}:
        raise _invalid(cron, f"it needs 5 fields (or 6, the last for seconds), not {len(fields)}")
    return fields


def _ticks(cron: str, day_or: bool, after: datetime) -> Iterator[datetime]:
    """Yield the wall times later than ``after``; 50 years without one end it."""
    fields = _fields(cron)
    ticks = _parse(fields, day_or, after)
    if ticks is None:
        raise _invalid(cron, _fault(fields))
    return ticks


def _parse(fields: list[str], day_or: bool, after: datetime) -> Iterator[datetime] | None:
    minute, hour, day, month, weekday, *seconds = fields
    plain = all(_PLAIN.fullmatch(field) for field in fields)
    # "*/2" beside a restricted weekday: cronsim takes it for "and", 2.20 (croniter) for "or".
    if plain and ("*" in (day, weekday) or (day_or and "*" not in day + weekday)):
        with suppress(CronSimError):
            return CronSim(" ".join([*(seconds or "0"), minute, hour, day, month, weekday]), after)
    return _parse_rare(fields, day_or, after)


def _parse_rare(fields: list[str], day_or: bool, after: datetime) -> Iterator[datetime] | None:
    """Read what cronsim does not know: ``day_or=False``, W, L, wrapped ranges, 5/15."""
    if any(field.startswith(("h", "r")) for field in fields):  # hashed and random: no two servers agree
        return None
    # Late and rarely: importing croniter costs 44 ms and runs the program `file` (platform.architecture).
    from croniter import CroniterError, croniter

    try:
        ticks = croniter(
            " ".join(fields), after, ret_type=datetime, day_or=day_or, max_years_between_matches=50
        )
    except CroniterError:
        return None
    return ticks.all_next(datetime)


def _fault(fields: list[str]) -> str:
    """Say which field cannot be read, by trying each alone."""
    for place, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[place] = field
        if _parse(alone, True, _REFERENCE) is None:
            name, bounds = _FIELDS[place]
            return f'{name} "{field}" is not * or within {bounds}'
    return "its fields do not go together"


def _invalid(cron: str, fault: str) -> InvalidInputError:
    return InvalidInputError(
        f'"{cron}" is not a cron expression: {fault}; example: "0 3 * * *" for every day at 03:00',
        field="cron",
    )
