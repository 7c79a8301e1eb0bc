"""Limits of 2.20's second kind: slots that a piece of code takes and gives back (api-contract §2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from reeve.errors import AttemptSupersededError, ConflictError, InvalidInputError, ReeveError
from reeve.server.services.context import Context, Principal
from reeve.server.storage import attempts, limits
from reeve.server.storage.limits import SlotLimit
from reeve.wire.responses import MinimalConcurrencyLimit

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import Slots

SECONDS_A_SLOT = 2.0  # how long a slot is thought to be held (api-contract §2)
RATE_LIMIT = "rate_limit"


class LimitFullError(ReeveError):
    """A limit is full. Ask again later."""

    code = "limit_full"

    def __init__(self, message: str | None = None, *, retry_after: float = SECONDS_A_SLOT) -> None:
        super().__init__(message)
        self.retry_after = retry_after


async def create(ctx: Context, name: str, size: int, *, active: bool = True, decay: float = 0.0) -> SlotLimit:
    """Make a limit of ``size`` slots; ``decay`` is how many leave by themselves in a second.

    Raises ConflictError when the name is taken.
    """

    async def insert(tx: Transaction) -> SlotLimit:
        limit = SlotLimit(id=uuid4(), name=name, size=size, active=active, decay=decay)
        if not await limits.insert(tx, [limit], await tx.now()):
            raise ConflictError(f"There is a limit {name!r} already.")
        return limit

    return await ctx.store.write(insert)


async def increment(ctx: Context, principal: Principal, body: Slots) -> list[MinimalConcurrencyLimit]:
    """Take slots of all the named limits, or of none; a limit that is not known is made, and never full.

    The slots belong to the caller's attempt and are freed with it (protocol §1). Raises LimitFullError,
    InvalidInputError for more slots than a limit has or a rate that a limit cannot count, and
    AttemptSupersededError for an attempt that is over.
    """

    async def take(tx: Transaction) -> list[MinimalConcurrencyLimit]:
        await _check_holder(tx, principal)
        now = await tx.now()
        await limits.insert(
            tx, [SlotLimit(id=uuid4(), name=name, size=1, active=False) for name in set(body.names)], now
        )
        wanted = await limits.lock(tx, body.names)
        active = [limit for limit in wanted if limit.active]
        _check(body, active)
        full = []
        for limit in active:
            await limits.free_decayed(tx, limit, now)
            if await limits.occupancy(tx, limit.id) + body.slots > limit.size:
                full.append(limit)
        if full:
            raise _full(body.slots, full)
        for limit in active:
            await limits.take(tx, limit, body.slots, principal.attempt_id, now)
        return _shown(wanted)

    return await ctx.store.write(take)


async def decrement(ctx: Context, principal: Principal, body: Slots) -> list[MinimalConcurrencyLimit]:
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


def _check(body: Slots, active: Sequence[SlotLimit]) -> None:
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
    seconds = max(1 / limit.decay if limit.decay > 0 else SECONDS_A_SLOT for limit in full) * slots
    names = ", ".join(repr(limit.name) for limit in full)
    return LimitFullError(f"No room for {slots} slots of {names}.", retry_after=round(seconds, 3))
