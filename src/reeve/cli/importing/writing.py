"""Carries a plan out: finds what is there, says what differs, makes what is missing. One object at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from reeve.cli.importing.kinds import WRITERS, Here
from reeve.cli.importing.plan import BlockRef, Item, Kind, Plan, Refusal
from reeve.core.deployments import Engine
from reeve.errors import NotFoundError, ReeveError


class Outcome(StrEnum):
    """What became of an object."""

    CREATED = "created"
    UPDATED = "updated"
    SAME = "same"
    DIFFERS = "differs"
    REFUSED = "not carried over"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the report. ``changes``: of each field that differs, what it was here and what it is there.

    Of blocks only the names of the keys are told, whose values may be secret.
    """

    kind: Kind
    name: str
    outcome: Outcome
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    why: str | None = None
    remedy: str | None = None
    notes: tuple[str, ...] = ()


def carry_out(here: Here, plan: Plan, *, update: bool, dry_run: bool) -> list[Entry]:
    """Make what the plan wants and return what became of each; an error with one does not stop the others.

    ``update``: also write what differs. ``dry_run``: only tell what would become of each.
    """
    return [
        _refused(one) if isinstance(one, Refusal) else _carry(here, one, update=update, dry_run=dry_run)
        for one in plan
    ]


def _carry(here: Here, item: Item, *, update: bool, dry_run: bool) -> Entry:
    try:
        return _carried(here, item, update=update, dry_run=dry_run)
    except ReeveError as error:
        return Entry(
            kind=item.kind,
            name=item.name,
            outcome=Outcome.REFUSED,
            why=error.message,
            remedy="Mend that, then import again: what is here already stays as it is",
        )


def _carried(here: Here, item: Item, *, update: bool, dry_run: bool) -> Entry:
    writer = WRITERS[item.kind]
    try:
        there = writer.find(here, item)
    except NotFoundError:
        if not dry_run:
            writer.create(here, item)
        here.made.add((item.kind, item.name))
        return _entry(item, Outcome.CREATED)
    differing = differences(there, item.fields)
    new = here.is_new(item)  # the server made it with what holds it
    if not differing:
        return _entry(item, Outcome.CREATED if new else Outcome.SAME)
    shown = {} if new else _shown(item.kind, there, item.fields, differing)
    left = _why_left(item.kind, there, differing)
    if left or not (update or new):
        return _entry(item, Outcome.DIFFERS, shown, left)
    if not dry_run:
        writer.update(here, item)
    return _entry(item, Outcome.CREATED if new else Outcome.UPDATED, shown)


def _why_left(kind: Kind, there: Mapping[str, Any], differing: list[str]) -> str | None:
    """Say why one that differs is left alone in any case, if it is."""
    if kind is Kind.POOL and "type" in differing:
        return "the type of a pool cannot be changed: its deployments go to the pool that is here"
    if kind is Kind.DEPLOYMENT and there["engine"] is Engine.REEVE:
        return "it was deployed with reeve since, and is left to that"
    return None


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the fields that are not as they are wanted."""
    return [name for name, value in wanted.items() if not _alike(name, there.get(name), value)]


def _alike(name: str, there: Any, wanted: Any) -> bool:
    if name != "schedules":
        return bool(msgspec.to_builtins(there) == msgspec.to_builtins(wanted))
    left = list(there)
    for one in wanted:  # their order means nothing
        same = next((each for each in left if _same_schedule(each, one)), None)
        if same is None:
            return False
        left.remove(same)
    return not left


def _same_schedule(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a schedule is as it is wanted: an interval that names no anchor and zone was given them."""
    rule = wanted["schedule"]
    if "interval" in rule:
        given = {name: one for name, one in there["schedule"].items() if name in ("anchor_date", "timezone")}
        rule = {**given, **rule}
    return bool(there == {**wanted, "schedule": rule})


def _shown(
    kind: Kind, there: Mapping[str, Any], wanted: Mapping[str, Any], differing: list[str]
) -> dict[str, tuple[Any, Any]]:
    if kind is not Kind.BLOCK:
        return {name: (_told(there.get(name)), _told(wanted[name])) for name in differing}
    keys = differences(there["data"], wanted["data"])
    left = [key for key in there["data"] if key not in wanted["data"]]
    data = {f"data.{key}": (None, None) for key in [*keys, *left]}
    schema = {"schema": (there["schema"], wanted["schema"])} if "schema" in differing else {}
    return {**data, **schema}


def _told(value: Any) -> Any:
    """Return a value with references as texts."""
    if isinstance(value, BlockRef):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _told(one) for key, one in value.items()}
    return [_told(one) for one in value] if isinstance(value, list) else value


def _entry(
    item: Item, outcome: Outcome, changes: dict[str, tuple[Any, Any]] | None = None, why: str | None = None
) -> Entry:
    return Entry(
        kind=item.kind, name=item.name, outcome=outcome, changes=changes or {}, why=why, notes=item.notes
    )


def _refused(one: Refusal) -> Entry:
    return Entry(kind=one.kind, name=one.name, outcome=Outcome.REFUSED, why=one.why, remedy=one.remedy)
