"""Inputs of flow runs: values under keys that others leave for a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from reeve.core.sealing import SEALED
from reeve.core.states import StateType
from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
from reeve.wire.responses import FlowRunInput

_SEALED = f'{{"{SEALED}":'  # as rows.json writes it


async def insert(
    tx: Transaction, run_id: UUID, key: str, value: str, sender: str | None, now: datetime
) -> bool:
    """Store an input; False when the run has one under this key. Raises IntegrityError for no such run."""
    inserted = await tx.execute(
        "insert into flow_run_inputs (id, created, updated, flow_run_id, key, value, sender)"
        " values ($1, $2, $2, $3, $4, $5, $6) on conflict (flow_run_id, key) do nothing",
        new_id(),
        rows.micros(now),
        run_id,
        key,
        value,
        sender,
    )
    return bool(inserted)


async def read(tx: Transaction, run_id: UUID, key: str) -> str | None:
    """Return the value under a key."""
    value: str | None = await tx.fetchval(
        "select value from flow_run_inputs where flow_run_id = $1 and key = $2", run_id, key
    )
    return value


async def beginning_with(
    tx: Transaction, run_id: UUID, prefix: str, excluded: list[str], limit: int
) -> list[FlowRunInput]:
    """Return the oldest inputs whose keys begin with ``prefix``, without the excluded ones."""
    found = await tx.fetch(
        "select * from flow_run_inputs where flow_run_id = $1 and substr(key, 1, $2) = $3"
        " and key <> all($4::text[]) order by created, id limit $5",
        run_id,
        len(prefix),
        prefix,
        excluded,
        limit,
    )
    return [_input(row) for row in found]


async def delete(tx: Transaction, run_id: UUID, key: str) -> bool:
    """Delete the input under a key; False if there is none."""
    return bool(
        await tx.execute("delete from flow_run_inputs where flow_run_id = $1 and key = $2", run_id, key)
    )


def is_sealed(value: str) -> bool:
    """Whether a stored value is a sealed one; nobody but the server stores what begins so."""
    return value.startswith(_SEALED)


class SealedInput(NamedTuple):
    """A sealed value, and what it is bound to."""

    id: UUID
    run_id: UUID
    key: str
    value: dict[str, Any]


async def sealed_needed(tx: Transaction) -> list[dict[str, Any]]:
    """Return the sealed values of unfinished runs."""
    found = await tx.fetch(
        "select i.value from flow_run_inputs i join flow_runs r on r.id = i.flow_run_id"
        " where substr(i.value, 1, $1) = $2 and r.state_type <> all($3::text[])",
        len(_SEALED),
        _SEALED,
        [type_.value for type_ in StateType if type_.is_final],
    )
    return [rows.loaded(row["value"]) for row in found]


async def lock_sealed(tx: Transaction, after: UUID | None, limit: int) -> list[SealedInput]:
    """Return the first inputs beyond an id that are sealed, locked."""
    found = await tx.fetch(
        "select id, flow_run_id, key, value from flow_run_inputs where substr(value, 1, $1) = $2 and id > $3"
        " order by id limit $4 for no key update",
        len(_SEALED),
        _SEALED,
        after or UUID(int=0),
        limit,
    )
    return [_sealed_input(row) for row in found]


async def put_sealed(tx: Transaction, id_: UUID, value: dict[str, Any]) -> None:
    """Store the same value under another key."""
    await tx.execute("update flow_run_inputs set value = $2 where id = $1", id_, rows.json(value))


def _sealed_input(row: Row) -> SealedInput:
    return SealedInput(
        rows.uuid(row["id"]), rows.uuid(row["flow_run_id"]), row["key"], rows.loaded(row["value"])
    )


def _input(row: Row) -> FlowRunInput:
    return FlowRunInput(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        flow_run_id=rows.uuid(row["flow_run_id"]),
        key=row["key"],
        value=row["value"],
        sender=row["sender"],
    )
