"""Inputs of flow runs: left, looked for, taken away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from reeve.core.sealing import HIDDEN
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.server.services import runs as run_services
from reeve.server.services import sealing
from reeve.server.services.context import Context, Principal
from reeve.server.services.hub import run_topic
from reeve.server.services.scope import check_living, check_writes, may_write_run
from reeve.server.storage import inputs, runs
from reeve.wire import codec
from reeve.wire.queries import MAX_LIMIT

if TYPE_CHECKING:
    from reeve.core.runs import FlowRun
    from reeve.server.services.states import Decision
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import FlowRunInputCreate, FlowRunInputFilter, Resume
    from reeve.wire.responses import FlowRunInput


async def create(ctx: Context, principal: Principal, run_id: UUID, body: FlowRunInputCreate) -> None:
    """Leave a value for a run: any run may, for it is the receiver that looks for it (decision 0010).

    Raises ConflictError for a key that is taken, NotFoundError for no run, AttemptSupersededError, and
    InvalidInputError for what only looks sealed.
    """
    if inputs.is_sealed(body.value):
        raise InvalidInputError(
            "value: what is sealed is the server's; give the value in clear", field="value"
        )

    async def insert(tx: Transaction) -> None:
        await check_living(tx, principal)
        if await runs.read(tx, run_id) is None:
            raise NotFoundError("Flow run not found")
        if not await inputs.insert(tx, run_id, body.key, body.value, body.sender, await tx.now()):
            raise ConflictError("A flow run input with this key already exists.")
        tx.wake(run_topic(run_id))

    await ctx.store.write(insert)


async def resume(ctx: Context, principal: Principal, run_id: UUID, body: Resume) -> Decision[FlowRun]:
    """Let a paused run go on; where its pause asks for a secret, what is given is stored sealed.

    Raises InvalidInputError for what only looks sealed.
    """
    given = body.run_input
    if given is not None:
        body = replace(body, run_input=await ctx.store.read(lambda tx: _sealed(ctx, tx, run_id, given)))
    return await run_services.resume(ctx, principal, run_id, body)


async def _sealed(ctx: Context, tx: Transaction, run_id: UUID, given: dict[str, Any]) -> dict[str, Any]:
    run = await runs.read(tx, run_id)
    keyset = (run.state.details.run_input_keyset if run and run.state else None) or {}
    text = await inputs.read(tx, run_id, keyset.get("schema", ""))
    try:
        schema = codec.decode(text or "null", Any)
    except msgspec.DecodeError:  # it is the client's affair
        schema = None
    return sealing.answer(ctx.keyring, run_id, keyset.get("response", ""), schema, given)


async def listing(
    ctx: Context, principal: Principal, run_id: UUID, body: FlowRunInputFilter
) -> list[FlowRunInput]:
    """Return the oldest inputs that fit; the next ones are found by excluding these."""
    limit = min(max(body.limit, 0), MAX_LIMIT)

    async def find(tx: Transaction) -> list[FlowRunInput]:
        found = await inputs.beginning_with(tx, run_id, body.prefix, body.exclude_keys, limit)
        show = partial(_shown, ctx, tx, principal, run_id)
        return [replace(one, value=await show(one.key, one.value)) for one in found]

    return await ctx.store.read(find)


async def read(ctx: Context, principal: Principal, run_id: UUID, key: str) -> bytes:
    """Return the value under a key; raises NotFoundError."""

    async def find(tx: Transaction) -> str:
        value = await inputs.read(tx, run_id, key)
        if value is None:
            raise NotFoundError("Flow run input not found")
        return await _shown(ctx, tx, principal, run_id, key, value)

    return (await ctx.store.read(find)).encode()


async def _shown(
    ctx: Context, tx: Transaction, principal: Principal, run_id: UUID, key: str, value: str
) -> str:
    """Return a value as its reader may have it: what is sealed in clear for the run's own process alone."""
    if not inputs.is_sealed(value):
        return value
    if principal.attempt_id is None or not await may_write_run(tx, principal, run_id):
        return codec.encode(HIDDEN).decode()
    opened = sealing.opened_answer(ctx.keyring, run_id, key, codec.decode(value, dict[str, Any]))
    return codec.encode(opened).decode()


async def delete(ctx: Context, principal: Principal, run_id: UUID, key: str) -> None:
    """Take an input away; raises NotFoundError."""

    async def remove(tx: Transaction) -> None:
        await check_writes(tx, principal, [run_id], [])
        if not await inputs.delete(tx, run_id, key):
            raise NotFoundError("Flow run input not found")

    await ctx.store.write(remove)
