"""Which deployments need runs made for their schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


async def to_schedule(tx: Transaction, now: datetime, after: UUID | None, limit: int) -> list[UUID]:
    """Return deployments, by id, that are to be looked at, not paused, and have an active schedule."""
    found = await tx.fetch(
        "select d.id from deployments d where not d.paused and d.look_again <= $1 and d.id > $2 and exists"
        " (select 1 from deployment_schedules s where s.deployment_id = d.id and s.active)"
        " order by d.id limit $3",
        rows.micros(now),
        after or UUID(int=0),
        limit,
    )
    return [rows.uuid(row["id"]) for row in found]


async def taken_keys(tx: Transaction, keys: Mapping[UUID, list[str]]) -> set[tuple[UUID, str]]:
    """Return those of these flows and idempotency keys under which there is a run."""
    taken: set[tuple[UUID, str]] = set()
    for flow_id, wanted in keys.items():
        found = await tx.fetch(
            "select idempotency_key from flow_runs where flow_id = $1 and idempotency_key = any($2::text[])",
            flow_id,
            wanted,
        )
        taken.update((flow_id, row["idempotency_key"]) for row in found)
    return taken


async def lock(tx: Transaction, deployment_ids: list[UUID]) -> list[UUID]:
    """Lock these deployments and return them, save those that others have: these will tell to look again."""
    found = await tx.fetch(
        "select id from deployments where id = any($1::uuid[]) order by id for no key update skip locked",
        deployment_ids,
    )
    return [rows.uuid(row["id"]) for row in found]


async def look_again(tx: Transaction, at: Mapping[UUID, datetime]) -> None:
    """Have deployments be looked at when their time has come."""
    await tx.executemany(
        "update deployments set look_again = $2 where id = $1",
        [(deployment_id, rows.micros(when)) for deployment_id, when in at.items()],
    )


async def look_at_once(tx: Transaction, deployment_id: UUID) -> None:
    """Have the next round of the scheduler look at a deployment, since it was changed."""
    await tx.execute("update deployments set look_again = 0 where id = $1", deployment_id)
