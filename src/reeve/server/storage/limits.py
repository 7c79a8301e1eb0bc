"""Limits of 2.20's second kind; their slots are rows with a holder, never counters (protocol §1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire import responses
from reeve.wire.codec import iso

# A limit with its slots that are held at $1.
SHOWN = """
select l.*, (
    select count(*) from slots s where s.slot_limit_id = l.id and (s.until is null or s.until > $1)
) as taken
from slot_limits l
"""


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
    return [_limit(row) for row in found]


async def lock_one(tx: Transaction, key: UUID | str) -> SlotLimit | None:
    """Lock and return the limit of an id or a name."""
    row = await tx.fetchrow(f"select * from slot_limits where {_column(key)} = $1 for no key update", key)
    return None if row is None else _limit(row)


async def shown(tx: Transaction, key: UUID | str, now: datetime) -> responses.SlotLimit | None:
    """Return the limit of an id or a name as 2.20 shows it."""
    row = await tx.fetchrow(f"{SHOWN} where l.{_column(key)} = $2", rows.micros(now), key)
    return None if row is None else _shown(row)


async def page(tx: Transaction, limit: int, offset: int, now: datetime) -> list[responses.SlotLimit]:
    """Return limits as 2.20 shows them, by name."""
    found = await tx.fetch(f"{SHOWN} order by l.name limit $2 offset $3", rows.micros(now), limit, offset)
    return [_shown(row) for row in found]


async def update(tx: Transaction, limit: SlotLimit, now: datetime) -> None:
    """Store a limit that was changed; raises IntegrityError when its new name is taken."""
    await tx.execute(
        "update slot_limits set updated = $2, name = $3, size = $4, active = $5, decay_per_second = $6"
        " where id = $1",
        limit.id,
        rows.micros(now),
        limit.name,
        limit.size,
        limit.active,
        limit.decay,
    )


async def delete(tx: Transaction, key: UUID | str) -> bool:
    """Delete the limit of an id or a name with its slots; False when there is none."""
    return bool(await tx.execute(f"delete from slot_limits where {_column(key)} = $1", key))


async def free_decayed(tx: Transaction, limit: SlotLimit, now: datetime) -> None:
    """Free the slots whose time is over."""
    if limit.decay > 0:
        await tx.execute(
            "delete from slots where slot_limit_id = $1 and until <= $2", limit.id, rows.micros(now)
        )


async def occupancy(tx: Transaction, limit_id: UUID, now: datetime) -> int:
    """Count the slots that are held."""
    count: int = await tx.fetchval(
        "select count(*) from slots where slot_limit_id = $1 and (until is null or until > $2)",
        limit_id,
        rows.micros(now),
    )
    return count


async def occupy(tx: Transaction, limit: SlotLimit, slots: int, now: datetime) -> None:
    """Have exactly ``slots`` be held, because an operator says so.

    Slots that are added have an unknown holder; of those freed, such ones go first.
    """
    surplus = await occupancy(tx, limit.id, now) - slots
    if surplus < 0:
        await take(tx, limit, -surplus, None, now)
    await tx.execute(
        "delete from slots where id in (select id from slots where slot_limit_id = $1"
        " and (until is null or until > $2) order by attempt_id is not null, taken, id limit $3)",
        limit.id,
        rows.micros(now),
        max(surplus, 0),
    )


async def take(tx: Transaction, limit: SlotLimit, slots: int, attempt_id: UUID | None, now: datetime) -> None:
    """Have the attempt, or an unknown holder, hold slots of a limit.

    Slots that decay leave one after the other, whatever becomes of their holder.
    """
    until: list[datetime | None] = [None] * slots
    if limit.decay > 0:
        last = await tx.fetchval("select max(until) from slots where slot_limit_id = $1", limit.id)
        begin = max(now, rows.instant(last)) if last is not None else now
        until = [_after(begin, place / limit.decay) for place in range(1, slots + 1)]
        attempt_id = None
    await tx.executemany(
        "insert into slots (id, slot_limit_id, holder, attempt_id, taken, until)"
        " values ($1, $2, $3, $4, $5, $6)",
        [
            (
                new_id(),
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


def _after(begin: datetime, seconds: float) -> datetime:
    """Return an instant later, at the latest the calendar's last: a decay may be as slow as it likes."""
    try:
        return begin + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _limit(row: Row) -> SlotLimit:
    return SlotLimit(
        id=rows.uuid(row["id"]),
        name=row["name"],
        size=row["size"],
        active=bool(row["active"]),
        decay=row["decay_per_second"],
    )


def _shown(row: Row) -> responses.SlotLimit:
    return responses.SlotLimit(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        active=bool(row["active"]),
        name=row["name"],
        limit=row["size"],
        active_slots=row["taken"],
        slot_decay_per_second=row["decay_per_second"],
    )


def _column(key: UUID | str) -> str:
    return "id" if isinstance(key, UUID) else "name"
