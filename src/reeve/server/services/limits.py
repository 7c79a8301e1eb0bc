"""Limits of 2.20's second kind: slots that a piece of code takes and gives back (api-contract §2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from msgspec.structs import asdict, replace

from reeve.core.names import check_name
from reeve.errors import AttemptSupersededError, InvalidInputError, NotFoundError, ReeveError
from reeve.ids import new_id
from reeve.server.services.context import Context, Principal
from reeve.server.storage import attempts, limits
from reeve.server.storage.dialects.base import IntegrityError
from reeve.server.storage.limits import SlotLimit
from reeve.wire import responses
from reeve.wire.responses import MinimalConcurrencyLimit, NewSlotLimit

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import GiveSlots, SlotLimitCreate, SlotLimitUpdate, TakeSlots

MISSING = "Concurrency Limit not found"
SECONDS_A_SLOT = 2.0  # how long a slot is thought to be held (api-contract §2)
RATE_LIMIT = "rate_limit"

T = TypeVar("T")


class LimitFullError(ReeveError):
    """A limit is full. Ask again later."""

    code = "limit_full"

    def __init__(self, message: str | None = None, *, retry_after: float = SECONDS_A_SLOT) -> None:
        super().__init__(message)
        self.retry_after = retry_after


async def create(ctx: Context, body: SlotLimitCreate) -> NewSlotLimit:
    """Make a limit, some of its slots held by nobody knows whom.

    Raises InvalidInputError for a name that is not allowed, IntegrityError for a taken one.
    """
    check_name("limit", body.name)

    async def insert(tx: Transaction) -> NewSlotLimit:
        now = await tx.now()
        limit = SlotLimit(
            id=new_id(),
            name=body.name,
            size=body.limit,
            active=body.active,
            decay=body.slot_decay_per_second,
        )
        if not await limits.insert(tx, [limit], now):
            raise IntegrityError
        await limits.occupy(tx, limit, body.active_slots, now)
        return NewSlotLimit(**asdict(_found(await limits.shown(tx, limit.id, now))))

    return await ctx.store.write(insert)


async def read(ctx: Context, id_or_name: str) -> responses.SlotLimit:
    """Return a limit; raises NotFoundError."""

    async def look(tx: Transaction) -> responses.SlotLimit:
        return _found(await limits.shown(tx, _key(id_or_name), await tx.now()))

    return await ctx.store.read(look)


async def listing(ctx: Context, limit: int, offset: int) -> list[responses.SlotLimit]:
    """Return limits by name."""

    async def look(tx: Transaction) -> list[responses.SlotLimit]:
        return await limits.page(tx, limit, offset, await tx.now())

    return await ctx.store.read(look)


async def update(ctx: Context, id_or_name: str, body: SlotLimitUpdate) -> None:
    """Change what was sent, null leaves it; ``active_slots`` adds or frees slots.

    Raises NotFoundError, InvalidInputError for a name that is not allowed, IntegrityError for a taken one.
    """
    if isinstance(body.name, str):
        check_name("limit", body.name)

    async def change(tx: Transaction) -> None:
        limit = _found(await limits.lock_one(tx, _key(id_or_name)))
        now = await tx.now()
        decay = body.slot_decay_per_second
        limit = replace(
            limit,
            name=body.name if isinstance(body.name, str) else limit.name,
            size=body.limit if isinstance(body.limit, int) else limit.size,
            active=body.active if isinstance(body.active, bool) else limit.active,
            decay=decay if isinstance(decay, float) else limit.decay,
        )
        await limits.update(tx, limit, now)
        if isinstance(body.active_slots, int):
            await limits.occupy(tx, limit, body.active_slots, now)

    await ctx.store.write(change)


async def delete(ctx: Context, id_or_name: str) -> None:
    """Delete a limit and its slots; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: limits.delete(tx, _key(id_or_name))):
        raise NotFoundError(MISSING)


async def increment(ctx: Context, principal: Principal, body: TakeSlots) -> list[MinimalConcurrencyLimit]:
    """Take slots of all the named limits, or of none; a limit that is not known is made, and never full.

    The slots belong to the caller's attempt and are freed with it (protocol §1). Raises LimitFullError,
    InvalidInputError for more slots than a limit has or a rate that a limit cannot count, and
    AttemptSupersededError for an attempt that is over.
    """

    async def take(tx: Transaction) -> list[MinimalConcurrencyLimit]:
        await _check_holder(tx, principal)
        now = await tx.now()
        await limits.insert(
            tx, [SlotLimit(id=new_id(), name=name, size=1, active=False) for name in set(body.names)], now
        )
        wanted = await limits.lock(tx, body.names)
        active = [limit for limit in wanted if limit.active]
        _check(body, active)
        full = []
        for limit in active:
            await limits.free_decayed(tx, limit, now)
            if await limits.occupancy(tx, limit.id, now) + body.slots > limit.size:
                full.append(limit)
        if full:
            raise _full(body.slots, full)
        for limit in active:
            await limits.take(tx, limit, body.slots, principal.attempt_id, now)
        return _shown(wanted)

    return await ctx.store.write(take)


async def decrement(ctx: Context, principal: Principal, body: GiveSlots) -> list[MinimalConcurrencyLimit]:
    """Give back slots that the caller holds of each limit; those of others stay."""

    async def give_back(tx: Transaction) -> list[MinimalConcurrencyLimit]:
        wanted = await limits.lock(tx, body.names)
        for limit in wanted:
            await limits.release(tx, limit.id, body.slots, principal.attempt_id)
        return _shown(wanted)

    return await ctx.store.write(give_back)


async def _check_holder(tx: Transaction, principal: Principal) -> None:
    """Raise AttemptSupersededError for an attempt that is over: nothing would free its slots."""
    if principal.attempt_id is not None:
        attempt = await attempts.lock(tx, principal.attempt_id)
        if attempt is None or not attempt.is_open:
            raise AttemptSupersededError


def _shown(found: Sequence[SlotLimit]) -> list[MinimalConcurrencyLimit]:
    return [MinimalConcurrencyLimit(id=limit.id, name=limit.name, limit=limit.size) for limit in found]


def _check(body: TakeSlots, active: Sequence[SlotLimit]) -> None:
    for limit in active:
        if body.slots > limit.size:
            raise InvalidInputError(
                f"{body.slots} slots were asked of the limit {limit.name!r}, which has {limit.size}. "
                "Ask for fewer, or make the limit larger."
            )
        if body.mode == RATE_LIMIT and limit.decay <= 0:
            raise InvalidInputError(
                f"The limit {limit.name!r} has no decay, so it cannot count a rate. "
                "Set its slot_decay_per_second."
            )


def _full(slots: int, full: Sequence[SlotLimit]) -> LimitFullError:
    seconds = (
        max(1 / limit.decay if limit.decay > 0 else SECONDS_A_SLOT / limit.size for limit in full) * slots
    )
    names = ", ".join(repr(limit.name) for limit in full)
    return LimitFullError(f"No room for {slots} slots of {names}.", retry_after=round(seconds, 3))


def _key(id_or_name: str) -> UUID | str:
    """Read what stands in the path: what looks like an id is one."""
    try:
        return UUID(id_or_name)
    except ValueError:
        return id_or_name


def _found(limit: T | None) -> T:
    if limit is None:
        raise NotFoundError(MISSING)
    return limit
