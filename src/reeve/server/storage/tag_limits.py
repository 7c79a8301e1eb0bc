"""Limits on the tags of task runs, with those that hold their slots; ``slots`` takes and frees these."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
from reeve.wire.responses import TagLimit


async def put(tx: Transaction, tag: str, size: int, now: datetime) -> None:
    """Have a tag be limited to ``size`` task runs, whatever it was limited to before."""
    await tx.execute(
        "insert into tag_limits (id, created, updated, tag, size) values ($1, $2, $2, $3, $4)"
        " on conflict (tag) do update set updated = excluded.updated, size = excluded.size",
        new_id(),
        rows.micros(now),
        tag,
        size,
    )


async def read(tx: Transaction, key: UUID | str) -> TagLimit | None:
    """Return the limit of an id or a tag."""
    found = await tx.fetch(f"select * from tag_limits where {_column(key)} = $1", key)
    limits = await _with_slots(tx, found)
    return limits[0] if limits else None


async def page(tx: Transaction, limit: int, offset: int) -> list[TagLimit]:
    """Return limits by tag."""
    found = await tx.fetch("select * from tag_limits order by tag limit $1 offset $2", limit, offset)
    return await _with_slots(tx, found)


async def delete(tx: Transaction, key: UUID | str) -> bool:
    """Delete the limit of an id or a tag with its slots; False when there is none."""
    return bool(await tx.execute(f"delete from tag_limits where {_column(key)} = $1", key))


async def reset(tx: Transaction, tag: str, task_run_ids: Sequence[UUID], now: datetime) -> bool:
    """Have these task runs, and no others, hold slots of a tag; False when it is not limited.

    Nobody proved that they do: their holder is unknown (protocol §1).
    """
    limit_id = await tx.fetchval("select id from tag_limits where tag = $1 for update", tag)
    if limit_id is None:
        return False
    await tx.execute("delete from slots where tag_limit_id = $1", limit_id)
    await tx.executemany(
        "insert into slots (id, tag_limit_id, holder, task_run_id, taken) values ($1, $2, 'unknown', $3, $4)",
        [(new_id(), limit_id, task_run_id, rows.micros(now)) for task_run_id in dict.fromkeys(task_run_ids)],
    )
    return True


async def _with_slots(tx: Transaction, found: Sequence[Row]) -> list[TagLimit]:
    held: dict[UUID, list[UUID]] = {rows.uuid(row["id"]): [] for row in found}
    for slot in await tx.fetch(
        "select tag_limit_id, task_run_id from slots"
        " where tag_limit_id = any($1::uuid[]) and task_run_id is not null order by taken, id",
        list(held),
    ):
        held[rows.uuid(slot["tag_limit_id"])].append(rows.uuid(slot["task_run_id"]))
    return [
        TagLimit(
            id=rows.uuid(row["id"]),
            created=iso(rows.instant(row["created"])),
            updated=iso(rows.instant(row["updated"])),
            tag=row["tag"],
            concurrency_limit=row["size"],
            active_slots=held[rows.uuid(row["id"])],
        )
        for row in found
    ]


def _column(key: UUID | str) -> str:
    return "id" if isinstance(key, UUID) else "tag"
