"""Variables: texts that operators and runs share. Each is addressed by its id or its name.

A run writes them while its attempt is open (docs/decisions/0018-kit.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from reeve.errors import NotFoundError
from reeve.ids import new_id
from reeve.server.services.context import Context, Principal
from reeve.server.services.scope import check_living
from reeve.server.storage import variables
from reeve.wire.codec import iso
from reeve.wire.responses import Variable

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import VariableCreate, VariableUpdate

MISSING = "Variable not found."


async def create(ctx: Context, principal: Principal, body: VariableCreate) -> Variable:
    """Make a variable; raises IntegrityError for a name that is taken, AttemptSupersededError."""

    async def insert(tx: Transaction) -> Variable:
        await check_living(tx, principal)
        now = iso(await tx.now())
        variable = Variable(
            id=new_id(), created=now, updated=now, name=body.name, value=body.value, tags=body.tags or []
        )
        await variables.insert(tx, variable)
        return variable

    return await ctx.store.write(insert)


async def read(ctx: Context, key: UUID | str) -> Variable:
    """Return a variable; raises NotFoundError."""
    variable = await ctx.store.read(lambda tx: variables.read(tx, key))
    if variable is None:
        raise NotFoundError(MISSING)
    return variable


async def update(ctx: Context, principal: Principal, key: UUID | str, body: VariableUpdate) -> None:
    """Change what was sent; null leaves name and value, and empties the tags.

    Raises NotFoundError, AttemptSupersededError, and IntegrityError for a name that is taken.
    """

    async def change(tx: Transaction) -> None:
        await check_living(tx, principal)
        variable = await variables.lock(tx, key)
        if variable is None:
            raise NotFoundError(MISSING)
        changed = replace(
            variable,
            updated=iso(await tx.now()),
            name=body.name if isinstance(body.name, str) else variable.name,
            value=body.value if isinstance(body.value, str) else variable.value,
            tags=variable.tags if body.tags is UNSET else body.tags or [],
        )
        await variables.update(tx, changed)

    await ctx.store.write(change)


async def delete(ctx: Context, key: UUID | str) -> None:
    """Delete a variable; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: variables.delete(tx, key)):
        raise NotFoundError(MISSING)
