"""Searches that people keep under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from reeve.errors import NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import saved_searches

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import SavedSearchCreate
    from reeve.wire.responses import SavedSearch

MISSING = "Saved search not found"


async def put(ctx: Context, body: SavedSearchCreate) -> tuple[SavedSearch, bool]:
    """Keep a search, in the place of one of the same name; return it, and whether it is new."""

    async def upsert(tx: Transaction) -> tuple[SavedSearch, bool]:
        now, criteria = await tx.now(), body.filters or []
        new = await saved_searches.insert(tx, body.name, criteria, now)
        if not new:
            await saved_searches.replace(tx, body.name, criteria, now)
        return _found(await saved_searches.by_name(tx, body.name)), new

    return await ctx.store.write(upsert)


async def read(ctx: Context, search_id: UUID) -> SavedSearch:
    """Return a search; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: saved_searches.read(tx, search_id)))


async def listing(ctx: Context, limit: int, offset: int) -> list[SavedSearch]:
    """Return searches by name."""
    return await ctx.store.read(lambda tx: saved_searches.page(tx, limit, offset))


async def delete(ctx: Context, search_id: UUID) -> None:
    """Forget a search; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: saved_searches.delete(tx, search_id)):
        raise NotFoundError(MISSING)


def _found(search: SavedSearch | None) -> SavedSearch:
    if search is None:
        raise NotFoundError(MISSING)
    return search
