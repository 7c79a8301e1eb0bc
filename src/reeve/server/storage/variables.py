"""Variables: texts under names."""

from __future__ import annotations

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction
from reeve.wire.codec import iso, parse
from reeve.wire.responses import Variable


async def insert(tx: Transaction, variable: Variable) -> bool:
    """Store a new variable; False when its name is taken."""
    inserted = await tx.execute(
        "insert into variables (id, created, updated, name, value, tags) values ($1, $2, $3, $4, $5, $6)"
        " on conflict (name) do nothing",
        variable.id,
        rows.micros(parse(variable.created)),
        rows.micros(parse(variable.updated)),
        variable.name,
        variable.value,
        rows.json(variable.tags),
    )
    return bool(inserted)


async def by_name(tx: Transaction, name: str) -> Variable | None:
    """Return the variable of a name."""
    row = await tx.fetchrow("select * from variables where name = $1", name)
    if row is None:
        return None
    return Variable(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        name=row["name"],
        value=row["value"],
        tags=rows.loaded(row["tags"]),
    )
