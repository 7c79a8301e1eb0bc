"""Inputs of flow runs: left, looked for, taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from reeve.errors import ConflictError, NotFoundError
from reeve.server.services.context import Context, Principal
from reeve.server.services.hub import run_topic
from reeve.server.services.scope import check_living, check_writes
from reeve.server.storage import inputs, runs
from reeve.wire.filters import MAX_LIMIT

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import FlowRunInputCreate, FlowRunInputFilter
    from reeve.wire.responses import FlowRunInput


async def create(ctx: Context, principal: Principal, run_id: UUID, body: FlowRunInputCreate) -> None:
    """Leave a value for a run: any run may, for it is the receiver that looks for it (decision 0010).

    Raises ConflictError for a key that is taken, NotFoundError for no run, AttemptSupersededError.
    """

    async def insert(tx: Transaction) -> None:
        await check_living(tx, principal)
        if await runs.read(tx, run_id) is None:
            raise NotFoundError("Flow run not found")
        if not await inputs.insert(tx, run_id, body.key, body.value, body.sender, await tx.now()):
            raise ConflictError("A flow run input with this key already exists.")
        tx.wake(run_topic(run_id))

    await ctx.store.write(insert)


async def listing(ctx: Context, run_id: UUID, body: FlowRunInputFilter) -> list[FlowRunInput]:
    """Return the oldest inputs that fit; the next ones are found by excluding these."""
    limit = min(max(body.limit, 0), MAX_LIMIT)
    return await ctx.store.read(
        lambda tx: inputs.beginning_with(tx, run_id, body.prefix, body.exclude_keys, limit)
    )


async def read(ctx: Context, run_id: UUID, key: str) -> bytes:
    """Return the value under a key; raises NotFoundError."""
    value = await ctx.store.read(lambda tx: inputs.read(tx, run_id, key))
    if value is None:
        raise NotFoundError("Flow run input not found")
    return value.encode()


async def delete(ctx: Context, principal: Principal, run_id: UUID, key: str) -> None:
    """Take an input away; raises NotFoundError."""

    async def remove(tx: Transaction) -> None:
        await check_writes(tx, principal, [run_id], [])
        if not await inputs.delete(tx, run_id, key):
            raise NotFoundError("Flow run input not found")

    await ctx.store.write(remove)
