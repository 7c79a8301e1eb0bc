"""Flows: known by their names."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from reeve.core.deployments import Flow
from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


async def insert(tx: Transaction, flow: Flow) -> bool:
    """Store a new flow; False when its name is taken."""
    inserted = await tx.execute(
        "insert into flows (id, created, updated, name, tags) values ($1, $2, $3, $4, $5)"
        " on conflict (name) do nothing",
        flow.id,
        rows.micros(flow.created),
        rows.micros(flow.updated),
        flow.name,
        rows.json(flow.tags),
    )
    return bool(inserted)


async def read(tx: Transaction, flow_id: UUID) -> Flow | None:
    """Return a flow."""
    row = await tx.fetchrow("select * from flows where id = $1", flow_id)
    return None if row is None else rows.flow(row)


BY_IDS = "select * from flows where id = any($1::uuid[])"


async def by_ids(tx: Transaction, flow_ids: list[UUID]) -> dict[UUID, Flow]:
    """Return these flows by their ids."""
    found = await tx.aside(BY_IDS, flow_ids)
    return {flow.id: flow for flow in map(rows.flow, found)}


async def by_name(tx: Transaction, name: str) -> Flow | None:
    """Return the flow of a name."""
    row = await tx.fetchrow("select * from flows where name = $1", name)
    return None if row is None else rows.flow(row)


async def set_tags(tx: Transaction, flow_id: UUID, tags: list[str], now: datetime) -> bool:
    """Give a flow other tags; False if there is none."""
    return bool(
        await tx.execute(
            "update flows set tags = $2, updated = $3 where id = $1",
            flow_id,
            rows.json(tags),
            rows.micros(now),
        )
    )


async def delete(tx: Transaction, flow_id: UUID) -> bool:
    """Delete a flow with its deployments and runs; False if there is none."""
    return bool(await tx.execute("delete from flows where id = $1", flow_id))
