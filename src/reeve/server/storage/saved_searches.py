"""Searches that people keep under a name."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
from reeve.wire.responses import SavedSearch


async def insert(tx: Transaction, name: str, criteria: Any, now: datetime) -> bool:
    """Keep a new search; False when its name is taken."""
    inserted = await tx.execute(
        "insert into saved_searches (id, created, updated, name, filters) values ($1, $2, $2, $3, $4)"
        " on conflict (name) do nothing",
        new_id(),
        rows.micros(now),
        name,
        rows.json(criteria),
    )
    return bool(inserted)


async def replace(tx: Transaction, name: str, criteria: Any, now: datetime) -> None:
    """Give the search of a name other criteria."""
    await tx.execute(
        "update saved_searches set updated = $2, filters = $3 where name = $1",
        name,
        rows.micros(now),
        rows.json(criteria),
    )


async def by_name(tx: Transaction, name: str) -> SavedSearch | None:
    """Return the search of a name."""
    return _search(await tx.fetchrow("select * from saved_searches where name = $1", name))


async def read(tx: Transaction, search_id: UUID) -> SavedSearch | None:
    """Return a search."""
    return _search(await tx.fetchrow("select * from saved_searches where id = $1", search_id))


async def page(tx: Transaction, limit: int, offset: int) -> list[SavedSearch]:
    """Return searches by name."""
    found = await tx.fetch("select * from saved_searches order by name limit $1 offset $2", limit, offset)
    return [search for row in found if (search := _search(row))]


async def delete(tx: Transaction, search_id: UUID) -> bool:
    """Forget a search; False when there is none."""
    return bool(await tx.execute("delete from saved_searches where id = $1", search_id))


def _search(row: Row | None) -> SavedSearch | None:
    if row is None:
        return None
    return SavedSearch(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        name=row["name"],
        filters=rows.loaded(row["filters"]),
    )
