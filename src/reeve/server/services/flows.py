"""Flows: made by name, found again by it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from reeve.core.deployments import Flow
from reeve.core.names import check_name
from reeve.errors import ConflictError, NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import flows

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import FlowCreate


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
        flow = Flow(id=uuid4(), created=now, updated=now, name=body.name, tags=body.tags)
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
        raise NotFoundError(f"Flow {name} not found")
    return flow
