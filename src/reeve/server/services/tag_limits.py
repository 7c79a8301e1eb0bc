"""Limits on the tags of task runs: how many of them run at once. Each is addressed by its id or its tag."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from reeve.errors import NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import tag_limits

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import TagLimitCreate, TagLimitReset
    from reeve.wire.responses import TagLimit

MISSING = "Concurrency limit not found"


async def put(ctx: Context, body: TagLimitCreate) -> TagLimit:
    """Limit a tag; a limit that is there takes the new size and keeps its slots."""

    async def upsert(tx: Transaction) -> TagLimit:
        await tag_limits.put(tx, body.tag, body.concurrency_limit, await tx.now())
        return _found(await tag_limits.read(tx, body.tag))

    return await ctx.store.write(upsert)


async def read(ctx: Context, key: UUID | str) -> TagLimit:
    """Return a limit with the task runs that hold its slots; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: tag_limits.read(tx, key)))


async def listing(ctx: Context, limit: int, offset: int) -> list[TagLimit]:
    """Return limits by tag."""
    return await ctx.store.read(lambda tx: tag_limits.page(tx, limit, offset))


async def reset(ctx: Context, tag: str, body: TagLimitReset) -> None:
    """Free all slots of a tag, and have the given task runs hold one each; raises NotFoundError."""

    async def override(tx: Transaction) -> bool:
        return await tag_limits.reset(tx, tag, body.slot_override or [], await tx.now())

    if not await ctx.store.write(override):
        raise NotFoundError(MISSING)


async def delete(ctx: Context, key: UUID | str) -> None:
    """Delete a limit; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: tag_limits.delete(tx, key)):
        raise NotFoundError(MISSING)


def _found(limit: TagLimit | None) -> TagLimit:
    if limit is None:
        raise NotFoundError(MISSING)
    return limit
