"""Slots of tag limits: rows with a holder, never counters (protocol §1)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


class TagLimit(msgspec.Struct, frozen=True):
    """A limit on a tag, and how many of its slots other task runs hold."""

    id: UUID
    tag: str
    size: int
    taken: int


async def lock_tag_limits(tx: Transaction, tags: list[str], task_run_id: UUID) -> list[TagLimit]:
    """Lock the limits on these tags, in the order of their tags, then count who else holds slots of them."""
    if not tags:
        return []
    locked = await tx.fetch(
        "select id, tag, size from tag_limits where tag = any($1::text[]) order by tag for no key update",
        tags,
    )
    return [
        TagLimit(
            rows.uuid(row["id"]),
            row["tag"],
            row["size"],
            await tx.fetchval(
                "select count(*) from slots where tag_limit_id = $1"
                " and (task_run_id is null or task_run_id <> $2)",
                row["id"],
                task_run_id,
            ),
        )
        for row in locked
    ]


async def take(
    tx: Transaction, limits: list[TagLimit], task_run_id: UUID, attempt_id: UUID | None, now: datetime
) -> None:
    """Have a task run hold a slot of each limit; the slot is freed with the attempt, if there is one."""
    await release(tx, task_run_id)
    await tx.executemany(
        "insert into slots (id, tag_limit_id, holder, task_run_id, attempt_id, taken)"
        " values ($1, $2, $3, $4, $5, $6)",
        [
            (new_id(), limit.id, str(task_run_id), task_run_id, attempt_id, rows.micros(now))
            for limit in limits
        ],
    )


async def release(tx: Transaction, task_run_id: UUID) -> None:
    """Free every slot that a task run holds."""
    await tx.execute("delete from slots where task_run_id = $1", task_run_id)


async def release_attempt(tx: Transaction, attempt_id: UUID) -> None:
    """Free every slot that belongs to an attempt which is over."""
    tx.later("delete from slots where attempt_id = $1", attempt_id)


async def release_run(tx: Transaction, flow_run_id: UUID) -> None:
    """Free every slot that was taken in a flow run which is over, whatever its task runs last said."""
    tx.later(
        "delete from slots where attempt_id in (select id from attempts where flow_run_id = $1)", flow_run_id
    )
