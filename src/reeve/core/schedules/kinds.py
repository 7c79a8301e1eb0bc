"""The three kinds of schedule and their JSON, which is that of 2.20 (api-contract §5.1)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from reeve.errors import InvalidInputError


class IntervalSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every ``interval`` seconds, counted from ``anchor_date`` in both directions (naive = UTC).

    From one day up it is the local clock in ``timezone`` that is counted, below that real time.
    """

    interval: float
    anchor_date: datetime | None = None
    timezone: str | None = None


class CronSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cron expression of 5 fields, or 6 with the seconds last, read on the clock of ``timezone``.

    When both day fields are restricted, ``day_or`` says whether one of them is enough.
    """

    cron: str
    timezone: str | None = None
    day_or: bool = True


class RRuleSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recurrence rules as in RFC 5545; the times in the text are read on the clock of ``timezone``."""

    rrule: str
    timezone: str | None = None


Schedule: TypeAlias = IntervalSchedule | CronSchedule | RRuleSchedule

# The wire has no tag: the field that is present tells the kind.
_KINDS: dict[str, type[Schedule]] = {
    "interval": IntervalSchedule,
    "cron": CronSchedule,
    "rrule": RRuleSchedule,
}


for _kind in _KINDS.values():
    msgspec.json.Decoder(_kind)  # read now: two threads that have msgspec do it at once would crash


def schedule_from_json(obj: dict[str, Any]) -> Schedule:
    """Read a schedule; its shape is checked here, its meaning by :func:`validate`.

    Raises InvalidInputError for an unknown or missing field or a value of the wrong type.
    """
    present = [key for key in _KINDS if key in obj]
    if len(present) != 1:
        raise InvalidInputError(
            f'a schedule has exactly one of the fields "interval", "cron" and "rrule", not {len(present)}',
            field="schedule",
        )
    try:
        return msgspec.convert(obj, _KINDS[present[0]])
    except msgspec.ValidationError as error:
        path = re.search(r"\$\.(\w+)", str(error))
        raise InvalidInputError(f"schedule: {error}", field=path[1] if path else "schedule") from error


def schedule_to_json(schedule: Schedule) -> dict[str, Any]:
    """Return exactly the fields of 2.20; the anchor as ``2026-11-22T19:30:00+00:00`` (never ``Z``)."""
    fields = msgspec.structs.asdict(schedule)
    if isinstance(schedule, IntervalSchedule) and schedule.anchor_date is not None:
        fields["anchor_date"] = in_utc(schedule.anchor_date).isoformat()
    return fields


def in_utc(moment: datetime) -> datetime:
    """Return ``moment`` aware, in UTC; a naive one is UTC already (api-contract §1, Timestamps)."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
