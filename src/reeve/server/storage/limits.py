"""Limits of 2.20's second kind; their slots are rows with a holder, never counters (protocol §1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


class SlotLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of ``size`` slots, of which ``decay`` in a second leave by themselves."""

    id: UUID
    name: str
    size: int
    active: bool = True
    decay: float = 0.0


async def insert(tx: Transaction, new: Sequence[SlotLimit], now: datetime) -> int:
    """Store limits whose names are free, and return how many these were."""
    inserted = 0
    for limit in sorted(new, key=lambda each: each.name):
        inserted += await tx.execute(
            "insert into slot_limits (id, created, updated, name, size, active, decay_per_second)"
            " values ($1, $2, $2, $3, $4, $5, $6) on conflict (name) do nothing",
            limit.id,
            rows.micros(now),
            limit.name,
            limit.size,
            limit.active,
            limit.decay,
        )
    return inserted


async def lock(tx: Transaction, names: list[str]) -> list[SlotLimit]:
    """Lock and return the limits of these names, in the order of their names; count in a later statement."""
    found = await tx.fetch(
        "select * from slot_limits where name = any($1::text[]) order by name for no key update", names
    )
    return [
        SlotLimit(
            id=rows.uuid(row["id"]),
            name=row["name"],
            size=row["size"],
            active=bool(row["active"]),
            decay=row["decay_per_second"],
        )
        for row in found
    ]


async def free_decayed(tx: Transaction, limit: SlotLimit, now: datetime) -> None:
    """Free the slots whose time is over."""
    if limit.decay > 0:
        await tx.execute(
            "delete from slots where slot_limit_id = $1 and until <= $2", limit.id, rows.micros(now)
        )


async def occupancy(tx: Transaction, limit_id: UUID) -> int:
    """Count the slots that are held."""
    count: int = await tx.fetchval("select count(*) from slots where slot_limit_id = $1", limit_id)
    return count


async def take(tx: Transaction, limit: SlotLimit, slots: int, attempt_id: UUID | None, now: datetime) -> None:
    """Have the attempt, or an unknown holder, hold slots of a limit.

    Slots that decay leave one after the other, whatever becomes of their holder.
    """
    until: list[datetime | None] = [None] * slots
    if limit.decay > 0:
        last = await tx.fetchval("select max(until) from slots where slot_limit_id = $1", limit.id)
        begin = max(now, rows.instant(last)) if last is not None else now
        until = [begin + timedelta(seconds=place / limit.decay) for place in range(1, slots + 1)]
        attempt_id = None
    await tx.executemany(
        "insert into slots (id, slot_limit_id, holder, attempt_id, taken, until)"
        " values ($1, $2, $3, $4, $5, $6)",
        [
            (
                uuid4(),
                limit.id,
                "unknown" if attempt_id is None else str(attempt_id),
                attempt_id,
                rows.micros(now),
                rows.micros_or_none(end),
            )
            for end in until
        ],
    )


async def release(tx: Transaction, limit_id: UUID, slots: int, attempt_id: UUID | None) -> None:
    """Free up to ``slots`` slots of a holder, the oldest first."""
    holder = "attempt_id is null" if attempt_id is None else "attempt_id = $3"
    await tx.execute(
        "delete from slots where id in"
        f" (select id from slots where slot_limit_id = $1 and {holder} order by taken, id limit $2)",
        limit_id,
        slots,
        *([] if attempt_id is None else [attempt_id]),
    )
