"""Dates of recurrence rules (RFC 5545).

dateutil computes wall times; what they mean on the line of real time is decided here. It knows nothing of
clocks being set: rules of a day and coarser name wall times, finer ones count real time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo

import msgspec
from dateutil.rrule import rrulestr

from reeve.core.schedules import local
from reeve.core.schedules.kinds import RRuleSchedule
from reeve.errors import InvalidInputError

MAX_LENGTH = 6500  # characters (api-contract §10)

# Rules with COUNT are counted from their start each time.
_MAX_COUNT = 50_000

# Where a rule without DTSTART begins, in 2.20 too.
DEFAULT_START = datetime(2020, 1, 1)  # noqa: DTZ001 - a wall time

_UNITS = {
    "YEARLY": None,
    "MONTHLY": None,
    "WEEKLY": timedelta(weeks=1),
    "DAILY": timedelta(days=1),
    "HOURLY": timedelta(hours=1),
    "MINUTELY": timedelta(minutes=1),
    "SECONDLY": timedelta(seconds=1),
}


# After 400 years weekdays and leap years repeat.
_CYCLE = timedelta(days=146_097)


class _Rule(msgspec.Struct, frozen=True):
    """One RRULE or EXRULE: ``text`` is all of it but COUNT and UNTIL.

    ``start`` and ``until`` are wall times, ``unit`` the length of one period (None where it varies).
    """

    text: str
    start: datetime
    unit: timedelta | None
    interval: int
    count: int | None
    until: datetime | None


class _Recurrence(msgspec.Struct, frozen=True):
    zone: ZoneInfo
    rules: list[_Rule]
    dates: list[datetime]
    but_rules: list[_Rule]
    but_dates: list[datetime]


def check(schedule: RRuleSchedule) -> None:
    """Raise InvalidInputError for a text that is too long or cannot be read, or an unknown time zone."""
    if len(schedule.rrule) > MAX_LENGTH:
        raise InvalidInputError(
            f"rrule has {len(schedule.rrule)} characters, {MAX_LENGTH} are allowed;"
            " split it into several schedules",
            field="rrule",
        )
    recurrence = _parse(schedule)
    try:
        for rule in recurrence.rules + recurrence.but_rules:
            _check_rule(rule)
    except (ValueError, OverflowError) as error:
        raise _invalid(schedule, error) from error


def _check_rule(rule: _Rule) -> None:
    if next(_walls(rule, rule.start, rule.start + 40 * 366 * local.DAY), None) is None:
        raise ValueError(f"{rule.text} never occurs")


def instants(schedule: RRuleSchedule, start: datetime, stop: datetime) -> Iterator[datetime]:
    """Yield the dates in [start, stop), perhaps a few before, ascending; one may come twice."""
    recurrence = _parse(schedule)
    zone = recurrence.zone
    wanted = merge(
        *(_rule_instants(zone, rule, start, stop) for rule in recurrence.rules),
        sorted(local.instants_of(zone, date)[0] for date in recurrence.dates),
    )
    barred = merge(
        *(_rule_instants(zone, rule, start, stop) for rule in recurrence.but_rules),
        sorted(moment for date in recurrence.but_dates for moment in local.instants_of(zone, date)),
    )
    return _without(wanted, barred)


def _without(wanted: Iterator[datetime], barred: Iterator[datetime]) -> Iterator[datetime]:
    bar = next(barred, None)
    for moment in wanted:
        while bar is not None and bar < moment:
            bar = next(barred, None)
        if moment != bar:
            yield moment


def _rule_instants(zone: ZoneInfo, rule: _Rule, start: datetime, stop: datetime) -> Iterator[datetime]:
    if rule.unit is None or rule.unit >= local.DAY:
        return local.named_instants(zone, lambda a, b: _walls(rule, a, b), start, stop)
    found = _real_time(zone, rule, start, stop)
    return found if rule.count is None else islice(found, rule.count)


def _real_time(zone: ZoneInfo, rule: _Rule, start: datetime, stop: datetime) -> Iterator[datetime]:
    """Count from the rule's start in real time; its BY parts are read on the clock of each moment."""
    origin = local.instants_of(zone, rule.start)[0]
    if rule.until is not None:
        stop = min(stop, local.instants_of(zone, rule.until)[1] + local.SECOND)
    begin = origin if rule.count is not None else max(origin, start)
    for low, high, offset in local.segments(zone, begin, stop):
        shifted = msgspec.structs.replace(rule, start=local.wall(origin, offset), count=None, until=None)
        with suppress(ValueError):  # BY parts that the shifted clock never meets
            for shown in _walls(shifted, local.wall(low, offset), local.wall(high, offset)):
                yield local.instant(shown, offset)


def _walls(rule: _Rule, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the wall times of the rule in [begin, end)."""
    last = end if rule.until is None else min(end, rule.until)
    if last < max(begin, rule.start):
        return
    start = rule.start
    if rule.count is None and rule.unit is not None:
        # dateutil would walk from the start. Whole periods can be leapt, but not the last: BYSETPOS counts
        # within a period, and dateutil forgets what lies before its start.
        step = rule.unit * rule.interval
        start += max(0, (begin - start) // step - 1) * step
    # dateutil heeds UNTIL only when it finds a date, else it searches on to the year 9999 (7 s for
    # FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30). So let it search where that year is near; but Easter has
    # no such cycle.
    shift = (9999 - last.year) // 400 * (timedelta() if "BYEASTER" in rule.text else _CYCLE)
    found = rrulestr(f"{rule.text};UNTIL={last + shift:%Y%m%dT%H%M%S}", dtstart=start + shift)
    for shifted in islice(found, rule.count):
        shown = shifted - shift
        if begin <= shown < end:
            yield shown


def _parse(schedule: RRuleSchedule) -> _Recurrence:
    try:
        return _read(schedule.rrule, schedule.timezone)
    except (ValueError, OverflowError) as error:
        raise _invalid(schedule, error) from error


def _read(text: str, timezone: str | None) -> _Recurrence:
    """Read the lines of the text.

    With a time zone given, those in the text (TZID, Z) are passed over, as in 2.20, whose client writes
    local times with a Z; without one the TZID counts.
    """
    named = re.search(r"TZID=([^:;]+)", text)
    zone = local.zone_of(timezone or (named[1] if named else None))
    values: dict[str, list[str]] = {"DTSTART": [], "RRULE": [], "RDATE": [], "EXRULE": [], "EXDATE": []}
    for line in text.upper().split():
        head, colon, value = line.partition(":")
        name = head.partition(";")[0] if colon else "RRULE"
        if name not in values:
            raise ValueError(f'"{name}" is not one of {", ".join(values)}')
        values[name].append(value if colon else line)
    if not values["RRULE"] and not values["RDATE"]:
        raise ValueError("it has neither RRULE nor RDATE")
    start = [*_dates(values["DTSTART"]), DEFAULT_START][0]
    if start.year < 1900:
        raise ValueError("DTSTART is before 1900")
    return _Recurrence(
        zone=zone,
        rules=[_rule(value, start) for value in values["RRULE"]],
        dates=_dates(values["RDATE"]),
        but_rules=[_rule(value, start) for value in values["EXRULE"]],
        but_dates=_dates(values["EXDATE"]),
    )


def _dates(values: list[str]) -> list[datetime]:
    # Not dateutil's parser: what a text leaves out it takes from today.
    return [
        datetime.fromisoformat(date).replace(tzinfo=None) for value in values for date in value.split(",")
    ]


def _rule(value: str, start: datetime) -> _Rule:
    parts = dict(part.split("=") for part in value.split(";"))
    count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
    if parts.get("FREQ") not in _UNITS:
        raise ValueError(f"FREQ is one of {', '.join(_UNITS)}")
    rule = _Rule(
        text=";".join(f"{name}={value}" for name, value in parts.items()),
        start=start,
        unit=_UNITS[parts["FREQ"]],
        interval=int(parts.get("INTERVAL", 1)),
        count=None if count is None else int(count),
        until=None if until is None else _dates([until])[0],
    )
    if not 1 <= rule.interval <= 1_000_000:
        raise ValueError(f"INTERVAL={rule.interval} is not within 1-1000000")
    if rule.count is not None and not 1 <= rule.count <= _MAX_COUNT:
        raise ValueError(f"COUNT={rule.count} is not within 1-{_MAX_COUNT}; UNTIL has no such limit")
    return rule


def _invalid(schedule: RRuleSchedule, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"rrule cannot be followed: {error}; example: FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0"
        f" (given: {schedule.rrule[:100]!r})",
        field="rrule",
    )
