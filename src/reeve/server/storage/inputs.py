"""Inputs of flow runs: values under keys that others leave for a run."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
from reeve.wire.responses import FlowRunInput


async def insert(
    tx: Transaction, run_id: UUID, key: str, value: str, sender: str | None, now: datetime
) -> bool:
    """Store an input; False when the run has one under this key. Raises IntegrityError for no such run."""
    inserted = await tx.execute(
        "insert into flow_run_inputs (id, created, updated, flow_run_id, key, value, sender)"
        " values ($1, $2, $2, $3, $4, $5, $6) on conflict (flow_run_id, key) do nothing",
        uuid4(),
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
