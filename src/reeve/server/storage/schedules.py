"""Which deployments need runs made for their schedules."""

from __future__ import annotations

from uuid import UUID

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


async def to_schedule(tx: Transaction, after: UUID | None, limit: int) -> list[UUID]:
    """Return deployments, by id, that are not paused and have an active schedule."""
    found = await tx.fetch(
        "select d.id from deployments d where not d.paused and d.id > $1 and exists"
        " (select 1 from deployment_schedules s where s.deployment_id = d.id and s.active)"
        " order by d.id limit $2",
        after or UUID(int=0),
        limit,
    )
    return [rows.uuid(row["id"]) for row in found]
