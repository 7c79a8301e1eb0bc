"""Values of a form, checked before a run is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reeve.core import forms
from reeve.server.services.context import Context
from reeve.server.storage import variables
from reeve.wire.responses import ValuesVerdict

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import ValuesCheck


async def check(ctx: Context, body: ValuesCheck) -> ValuesVerdict:
    """Say what is wrong with values; raises InvalidInputError for a schema that cannot be used."""
    named = forms.variable_names(body.values)

    async def look(tx: Transaction) -> dict[str, str]:
        found = [await variables.read(tx, name) for name in sorted(named)]
        return {variable.name: variable.value for variable in found if variable is not None}

    errors = forms.errors(body.schema, body.values, await ctx.store.read(look) if named else {})
    return ValuesVerdict(errors=errors, valid=not errors)
