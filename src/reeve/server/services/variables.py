"""Variables: made by operators, read by flows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import variables
from reeve.wire.codec import iso
from reeve.wire.responses import Variable

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction

# api-contract §1
LONGEST_NAME = 255
LONGEST_VALUE = 5000
_NAME = re.compile(r"[a-z0-9_]+")


async def create(ctx: Context, name: str, value: str, tags: list[str]) -> Variable:
    """Make a variable; raises InvalidInputError for its name or value, ConflictError for a taken name."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InvalidInputError(
            f"The variable's name {name[:40]!r} must be lower-case letters, digits and underscores, "
            f"at most {LONGEST_NAME}.",
            field="name",
        )
    if len(value) > LONGEST_VALUE:
        raise InvalidInputError(
            f"The variable's value has {len(value)} characters; at most {LONGEST_VALUE} are kept.",
            field="value",
        )

    async def insert(tx: Transaction) -> Variable:
        now = iso(await tx.now())
        variable = Variable(id=uuid4(), created=now, updated=now, name=name, value=value, tags=tags)
        if not await variables.insert(tx, variable):
            raise ConflictError(f"There is a variable {name!r} already.")
        return variable

    return await ctx.store.write(insert)


async def read_by_name(ctx: Context, name: str) -> Variable:
    """Return the variable of a name; raises NotFoundError."""
    variable = await ctx.store.read(lambda tx: variables.by_name(tx, name))
    if variable is None:
        raise NotFoundError("Variable not found")
    return variable
