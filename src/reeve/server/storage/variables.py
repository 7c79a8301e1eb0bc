"""Variables: texts under names."""

from __future__ import annotations

from uuid import UUID

from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso, parse
from reeve.wire.responses import Variable


async def insert(tx: Transaction, variable: Variable) -> None:
    """Store a new variable; raises IntegrityError when its name is taken."""
    await tx.execute(
        "insert into variables (id, created, updated, name, value, tags) values ($1, $2, $3, $4, $5, $6)",
        variable.id,
        rows.micros(parse(variable.created)),
        rows.micros(parse(variable.updated)),
        variable.name,
        variable.value,
        rows.json(variable.tags),
    )


async def lock(tx: Transaction, key: UUID | str) -> Variable | None:
    """Return the variable of an id or a name, which nobody else changes until this transaction ends."""
    row = await tx.fetchrow(f"select * from variables where {_column(key)} = $1 for no key update", key)
    return None if row is None else variable(row)


async def read(tx: Transaction, key: UUID | str) -> Variable | None:
    """Return the variable of an id or a name."""
    row = await tx.fetchrow(f"select * from variables where {_column(key)} = $1", key)
    return None if row is None else variable(row)


async def update(tx: Transaction, variable: Variable) -> None:
    """Store what may change of a variable; raises IntegrityError when its new name is taken."""
    await tx.execute(
        "update variables set updated = $2, name = $3, value = $4, tags = $5 where id = $1",
        variable.id,
        rows.micros(parse(variable.updated)),
        variable.name,
        variable.value,
        rows.json(variable.tags),
    )


async def delete(tx: Transaction, key: UUID | str) -> bool:
    """Delete the variable of an id or a name; False when there is none."""
    return bool(await tx.execute(f"delete from variables where {_column(key)} = $1", key))


def variable(row: Row) -> Variable:
    """Read a variable."""
    return Variable(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        name=row["name"],
        value=row["value"],
        tags=rows.loaded(row["tags"]),
    )


def _column(key: UUID | str) -> str:
    return "id" if isinstance(key, UUID) else "name"
