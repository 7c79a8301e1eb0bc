"""Flows: made by name, found again by it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET

from reeve.core.deployments import Flow
from reeve.core.names import check_name
from reeve.errors import ConflictError, NotFoundError
from reeve.ids import new_id
from reeve.server.services.context import Context
from reeve.server.services.hub import pool_topic
from reeve.server.storage import flows, runs

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import FlowCreate, FlowUpdate

RUNS_AT_ONCE = 50  # deleted in one transaction: nobody waits for a flow of many runs


async def create(ctx: Context, body: FlowCreate) -> tuple[Flow, bool]:
    """Return the flow of that name, and whether it was made now; tags of a known one stay.

    Raises InvalidInputError for a name that is not allowed.
    """
    check_name("flow", body.name)

    async def get_or_make(tx: Transaction) -> tuple[Flow, bool]:
        known = await flows.by_name(tx, body.name)
        if known is not None:
            return known, False
        now = await tx.now()
        flow = Flow(id=new_id(), created=now, updated=now, name=body.name, tags=body.tags)
        if await flows.insert(tx, flow):
            return flow, True
        known = await flows.by_name(tx, body.name)  # another server was first
        if known is None:
            raise ConflictError(f"The flow {body.name!r} is just being changed; repeat the request.")
        return known, False

    return await ctx.store.write(get_or_make)


async def read(ctx: Context, flow_id: UUID) -> Flow:
    """Return a flow; raises NotFoundError."""
    flow = await ctx.store.read(lambda tx: flows.read(tx, flow_id))
    if flow is None:
        raise NotFoundError("Flow not found")
    return flow


async def read_by_name(ctx: Context, name: str) -> Flow:
    """Return the flow of a name; raises NotFoundError."""
    flow = await ctx.store.read(lambda tx: flows.by_name(tx, name))
    if flow is None:
        raise NotFoundError("Flow not found")
    return flow


async def update(ctx: Context, flow_id: UUID, body: FlowUpdate) -> None:
    """Change what was sent of a flow; raises NotFoundError."""

    async def change(tx: Transaction) -> None:
        known = await flows.read(tx, flow_id)
        tags = body.tags
        if known is None or (
            tags is not UNSET and not await flows.set_tags(tx, flow_id, tags, await tx.now())
        ):
            raise NotFoundError("Flow not found")

    await ctx.store.write(change)


async def delete(ctx: Context, flow_id: UUID) -> None:
    """Delete a flow with its deployments, its runs and all that belongs to them; raises NotFoundError."""

    async def some_runs(tx: Transaction) -> int:
        found = await runs.of_flow(tx, flow_id, RUNS_AT_ONCE)
        for run in await runs.by_ids(tx, found):
            await runs.delete(tx, run.id)
            if run.work_pool_id:
                tx.wake(pool_topic(run.work_pool_id))
        return len(found)

    async def rest(tx: Transaction) -> None:
        await some_runs(tx)
        if not await flows.delete(tx, flow_id):
            raise NotFoundError("Flow not found")

    while await ctx.store.write(some_runs) == RUNS_AT_ONCE:
        pass
    await ctx.store.write(rest)
