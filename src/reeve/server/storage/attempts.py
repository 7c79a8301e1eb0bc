"""Attempts: open ones hold their run and its slots; none is ever changed after it was closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, cast
from uuid import UUID

import msgspec

from reeve.core.attempts import Attempt, LeaseTerms
from reeve.core.crashes import CrashReason
from reeve.core.runs import FlowRun
from reeve.core.states import StateType
from reeve.core.time_limits import NO_LIMITS
from reeve.server.storage import notifications, rows, runs, waiting
from reeve.server.storage.changes import Changes, as_it_is
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
from reeve.wire.responses import HeldRun

INSERT = """
insert into attempts (
    id, flow_run_id, number, kind, state, opened, agent_id, epoch, grant_number, work_pool_id, work_queue_id,
    lease_until, unreachable, launched, started, closed, last_seq, handle, exit_code, signal, cpu_seconds,
    max_rss_kib, cause, output_tail, crash_reason, stop_failed, expires, limits, on_lost, deployment_id,
    code_version
) values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24, $25, $26, $27, $28, $29, $30, $31
)
"""

# What may become of an open attempt. Its lease is renewed without a lock, so it is not in here.
BECAME: Changes[Attempt] = Changes(
    "attempts",
    {
        "state": {"state": as_it_is},
        "unreachable": {"unreachable": as_it_is},
        "launched": {"launched": rows.micros_or_none},
        "started": {"started": rows.micros_or_none},
        "closed": {"closed": rows.micros_or_none},
        "last_seq": {"last_seq": as_it_is},
        "handle": {"handle": rows.json_or_none},
        "exit_code": {"exit_code": as_it_is},
        "signal": {"signal": as_it_is},
        "cpu_seconds": {"cpu_seconds": as_it_is},
        "max_rss_kib": {"max_rss_kib": as_it_is},
        "cause": {"cause": as_it_is},
        "output_tail": {"output_tail": as_it_is},
        "crash_reason": {"crash_reason": as_it_is},
        "stop_failed": {"stop_failed": rows.micros_or_none},
        "expires": {"expires": rows.micros_or_none},
    },
    where="id = $1 and closed is null",
)

HOLDERS_SHOWN = 5  # names of runs that fill a limit
Holding = Literal["work_pool_id", "work_queue_id", "deployment_id", "agent_id"]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An open attempt of an agent, with what the agent must be told of its run."""

    id: UUID
    flow_run_id: UUID
    grant: int
    launched: bool
    run_state_type: str | None
    expires: datetime | None


async def insert(tx: Transaction, attempts: Sequence[Attempt]) -> None:
    """Store new attempts; raises IntegrityError if one of the runs has an open one already."""
    await tx.executemany(INSERT, [_inserted(attempt) for attempt in attempts])
    tx.known.update((attempt.id, attempt) for attempt in attempts)


def grant(tx: Transaction, attempts: Sequence[Attempt]) -> None:
    """Store new attempts on runs that this transaction has locked, and that had no open one."""
    for attempt in attempts:
        tx.later(INSERT, *_inserted(attempt))
        tx.known[attempt.id] = attempt


async def update(tx: Transaction, attempt: Attempt) -> None:
    """Store what became of an open attempt."""
    BECAME.store(tx, attempt)


async def set_code_version(tx: Transaction, attempt_id: UUID, version: str) -> bool:
    """Note which code an open attempt runs; False if there is no such attempt."""
    return bool(
        await tx.execute(
            "update attempts set code_version = $2 where id = $1 and closed is null", attempt_id, version
        )
    )


async def read(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    """Return an attempt."""
    if (known := tx.known.get(attempt_id)) is not None:
        return cast("Attempt", known)
    row = await tx.fetchrow("select * from attempts where id = $1", attempt_id)
    return None if row is None else rows.attempt(row)


async def with_runs(tx: Transaction, held: Sequence[Held]) -> list[tuple[Attempt, FlowRun]]:
    """Return these attempts and their runs, in their order."""
    found = {
        each.id: (tx.known[each.id], tx.known[each.flow_run_id])
        for each in held
        if each.id in tx.known and each.flow_run_id in tx.known
    }
    if other := [each.id for each in held if each.id not in found]:
        for row in await tx.aside(BOTH, other):
            attempt = rows.attempt_beside(row)
            found[attempt.id] = (attempt, rows.flow_run(row))
    return [found[each.id] for each in held]


_COLUMNS = f"{rows.RUN_COLUMNS}, {rows.columns(rows.ATTEMPT_COLUMNS, 't')}"
BOTH = (
    f"select {_COLUMNS} from attempts t join flow_runs r on r.id = t.flow_run_id {rows.RUN_JOINS}"
    " where t.id = any($1::uuid[])"
)
# Attempts with their runs. Both are locked, a run before its attempt and the runs in the order of their ids:
# else who tells of many and who is told of one wait for one another. A renewal, which locks no runs, keeps to
# that order as well.
WITH_RUN = f"""
select {_COLUMNS}, {notifications.IS_SILENT} as is_silent, {waiting.ANY_LIMITED} as any_limited
from flow_runs r join attempts t on {{which}} {rows.RUN_JOINS}
where {{where}} order by r.id for no key update of r, t
"""
OF_RUN = WITH_RUN.format(which="t.id = r.attempt_id", where="r.id = $1")
OF_RUNS = WITH_RUN.format(which="t.id = r.attempt_id", where="r.id = any($1::uuid[])")
ONE = WITH_RUN.format(which="r.id = t.flow_run_id", where="t.id = $1")
THESE = WITH_RUN.format(which="r.id = t.flow_run_id", where="t.id = any($1::uuid[])")


async def lock(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    """Return an attempt that nobody else changes until this transaction ends, and neither its run."""
    if attempt_id not in tx.known:
        await _lock(tx, ONE, attempt_id)
    return cast("Attempt | None", tx.known.get(attempt_id))


async def lock_all(tx: Transaction, attempt_ids: list[UUID]) -> list[Attempt]:
    """Lock these attempts and their runs; return those that are there, in any order."""
    if any(each not in tx.known for each in attempt_ids):
        await _lock(tx, THESE, attempt_ids)
    return [tx.known[each] for each in attempt_ids if each in tx.known]


async def lock_of_run(tx: Transaction, run_id: UUID) -> FlowRun | None:
    """Return a run that nobody else changes until this transaction ends, and neither its open attempt."""
    if run_id not in tx.known:
        await _lock(tx, OF_RUN, run_id)
    return await runs.lock(tx, run_id)  # it may have no attempt, or another one than a moment ago


async def lock_of_runs(tx: Transaction, run_ids: list[UUID]) -> list[FlowRun]:
    """Lock and return these runs, and their open attempts."""
    await _lock(tx, OF_RUNS, run_ids)
    found = await runs.lock_all(tx, run_ids)
    held = [run.attempt_id for run in found if run.attempt_id and run.attempt_id not in tx.known]
    if held:
        await read_of_all_locked(tx, held)
    return found


async def _lock(tx: Transaction, sql: str, ids: UUID | list[UUID]) -> None:
    """Lock attempts and their runs, and know both."""
    found = await tx.locked(sql, ids)
    await runs.known(tx, found)
    for row in found:
        attempt = rows.attempt_beside(row)
        tx.known[attempt.id] = attempt
        notifications.note(tx, is_silent=bool(row["is_silent"]))
        tx.memo.setdefault(waiting.IS_LIMITED, bool(row["any_limited"]))


async def read_of_locked(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    """Return an attempt whose run this transaction has locked: nobody else changes it, but for its lease."""
    if (known := tx.known.get(attempt_id)) is not None:
        return cast("Attempt", known)
    row = await tx.fetchrow("select * from attempts where id = $1", attempt_id)
    return None if row is None else _known(tx, row)


async def read_of_all_locked(tx: Transaction, attempt_ids: list[UUID]) -> list[Attempt]:
    """Return attempts whose runs this transaction has locked, in any order.

    They are locked too, in the order of these: a renewal, which locks no runs, changes many of them as well.
    """
    if any(each not in tx.known for each in attempt_ids):
        for row in await tx.locked(
            "select * from attempts where id = any($1::uuid[]) order by flow_run_id for no key update",
            attempt_ids,
        ):
            _known(tx, row)
    return [tx.known[each] for each in attempt_ids if each in tx.known]


async def run_ids(tx: Transaction, attempt_ids: list[UUID]) -> list[UUID]:
    """Lock these attempts and their runs; return the ids of these, in any order."""
    return [*{attempt.flow_run_id for attempt in await lock_all(tx, attempt_ids)}]


def _known(tx: Transaction, row: Row) -> Attempt:
    attempt = tx.known[rows.uuid(row["id"])] = rows.attempt(row)
    return attempt


async def of_run(tx: Transaction, run_id: UUID) -> list[tuple[Attempt, str | None]]:
    """Return all attempts of a run in order, each with its agent's name."""
    found = await tx.fetch(
        "select t.*, a.name as agent_name from attempts t left join agents a on a.id = t.agent_id"
        " where t.flow_run_id = $1 order by t.number",
        run_id,
    )
    return [(rows.attempt(row), row["agent_name"]) for row in found]


LAST_NUMBERS = (
    "select flow_run_id, max(number) as number from attempts where flow_run_id = any($1::uuid[])"
    " group by flow_run_id"
)


async def last_numbers(tx: Transaction, run_ids: list[UUID]) -> dict[UUID, int]:
    """Return the number of the latest attempt of each of these runs that has one."""
    return numbers(await tx.fetch(LAST_NUMBERS, run_ids))


def numbers(found: Sequence[Row]) -> dict[UUID, int]:
    """Read what ``LAST_NUMBERS`` has found."""
    return {rows.uuid(row["flow_run_id"]): row["number"] for row in found}


async def returns(tx: Transaction, run_id: UUID) -> int:
    """Count the claims of a run since its last launch that ended without one."""
    count: int = await tx.fetchval(
        "select count(*) from attempts where flow_run_id = $1 and state = 'RETURNED' and number >"
        " (select coalesce(max(number), 0) from attempts where flow_run_id = $1 and launched is not null)",
        run_id,
    )
    return count


def just_opened(attempt: Attempt) -> Held:
    """Return what ``held_by`` will say of an attempt that this transaction has opened for an agent."""
    assert attempt.grant is not None
    return Held(
        id=attempt.id,
        flow_run_id=attempt.flow_run_id,
        grant=attempt.grant,
        launched=False,
        run_state_type=StateType.PENDING,
        expires=attempt.expires,
    )


HELD = """
select t.id, t.flow_run_id, t.grant_number, t.launched, t.expires, r.state_type
from attempts t join flow_runs r on r.id = t.flow_run_id
where t.agent_id = $1 and t.closed is null order by t.grant_number
"""


async def held_by(tx: Transaction, agent_id: UUID) -> list[Held]:
    """Return the open attempts of an agent by grant number."""
    return [held(row) for row in await tx.fetch(HELD, agent_id)]


def held(row: Row) -> Held:
    """Read a row of ``HELD``."""
    return Held(
        id=rows.uuid(row["id"]),
        flow_run_id=rows.uuid(row["flow_run_id"]),
        grant=row["grant_number"],
        launched=row["launched"] is not None,
        run_state_type=row["state_type"],
        expires=rows.instant_or_none(row["expires"]),
    )


async def held_in_pool(tx: Transaction, pool_id: UUID) -> int:
    """Count the open attempts of the agents of a pool."""
    count: int = await tx.fetchval(
        "select count(*) from attempts t join agents a on a.id = t.agent_id"
        " where a.work_pool_id = $1 and t.closed is null",
        pool_id,
    )
    return count


async def held_count(tx: Transaction, agent_id: UUID) -> int:
    """Count the open attempts of an agent."""
    count: int = await tx.fetchval(
        "select count(*) from attempts where agent_id = $1 and closed is null", agent_id
    )
    return count


async def held_runs(tx: Transaction, agent_id: UUID) -> list[HeldRun]:
    """Return the runs that an agent holds, the longest held first; of more than 1000 the first."""
    found = await tx.fetch(
        "select t.id, t.flow_run_id, t.opened, t.unreachable, r.name, r.state_name from attempts t"
        " join flow_runs r on r.id = t.flow_run_id"
        " where t.agent_id = $1 and t.closed is null order by t.opened, t.grant_number limit 1000",
        agent_id,
    )
    return [
        HeldRun(
            attempt_id=rows.uuid(row["id"]),
            flow_run_id=rows.uuid(row["flow_run_id"]),
            name=row["name"],
            state_name=row["state_name"],
            opened=iso(rows.instant(row["opened"])),
            unreachable=bool(row["unreachable"]),
        )
        for row in found
    ]


async def holders(tx: Transaction, column: Holding, key: UUID) -> list[str]:
    """Return the names of the first few runs that hold slots of a pool, a queue, a deployment or an agent."""
    found = await tx.fetch(
        "select r.name from attempts t join flow_runs r on r.id = t.flow_run_id"
        f" where t.{column} = $1 and t.closed is null order by t.opened limit {HOLDERS_SHOWN}",
        key,
    )
    return [row["name"] for row in found]


async def rebind(tx: Transaction, agent_id: UUID, epoch: int, lease_until: datetime) -> None:
    """Give the open attempts of an agent to its new epoch, with fresh leases."""
    await tx.execute(
        "update attempts set epoch = $2, lease_until = $3 where agent_id = $1 and closed is null",
        agent_id,
        epoch,
        rows.micros(lease_until),
    )
    tx.known.clear()  # some of it is out of date


async def renew(tx: Transaction, attempt_ids: list[UUID], lease_until: datetime) -> dict[UUID, bool]:
    """Extend the leases of those that are still open; return them, and whether each was unreachable.

    They are locked in the order of their runs, as by whoever writes what was reported on several of them.
    """
    await tx.lock(
        "select id from attempts where id = any($1::uuid[]) and closed is null order by flow_run_id"
        " for no key update",
        attempt_ids,
    )
    found = await tx.fetch(
        "update attempts set lease_until = $2 where id = any($1::uuid[]) and closed is null"
        " returning id, unreachable",
        attempt_ids,
        rows.micros(lease_until),
    )
    return {rows.uuid(row["id"]): bool(row["unreachable"]) for row in found}


async def to_stop(tx: Transaction, attempt_ids: list[UUID], now: datetime) -> list[UUID]:
    """Return those open attempts whose run is to be cancelled, or whose time limit is over."""
    found = await tx.fetch(
        "select t.id from attempts t join flow_runs r on r.id = t.flow_run_id"
        " where t.id = any($1::uuid[]) and t.closed is null"
        " and (r.state_type = 'CANCELLING' or t.expires <= $2)",
        attempt_ids,
        rows.micros(now),
    )
    return [rows.uuid(row["id"]) for row in found]


async def losses(tx: Transaction, run_id: UUID) -> int:
    """Count the attempts of a run that were lost with their agent."""
    count: int = await tx.fetchval(
        "select count(*) from attempts where flow_run_id = $1 and crash_reason = $2",
        run_id,
        CrashReason.AGENT_LOST,
    )
    return count


async def holders_of_expired(tx: Transaction, now: datetime) -> list[UUID]:
    """Return the agents that hold attempts whose time limit is over."""
    found = await tx.fetch(
        "select distinct agent_id from attempts"
        " where closed is null and expires is not null and expires <= $1 and agent_id is not null",
        rows.micros(now),
    )
    return [rows.uuid(row["agent_id"]) for row in found]


_OPEN = "select id from attempts where closed is null and"
_LEASED = f"{_OPEN} lease_until is not null and lease_until <="
# Each kind by itself, so that those whose time has not come leave room for those whose has.
IN_DOUBT = f"""
select * from ({_LEASED} $1 and not unreachable order by lease_until limit $4) a union
select * from ({_LEASED} $2 and unreachable and on_lost = 'replace' order by lease_until limit $4) b union
select * from ({_LEASED} $3 and unreachable order by lease_until limit $4) c union
select * from ({_OPEN} stop_failed is not null and stop_failed <= $5 order by stop_failed limit $4) d
"""


async def in_doubt(tx: Transaction, terms: LeaseTerms, now: datetime, limit: int) -> list[UUID]:
    """Return open attempts that are not to be kept as they are, gaps left out: up to ``limit`` of a kind."""

    def ago(seconds: float) -> int:
        return rows.micros(now - timedelta(seconds=seconds))

    found = await tx.fetch(
        IN_DOUBT,
        ago(terms.grace),
        ago(terms.grace + terms.margin),
        ago(max(terms.grace, terms.lost_after)),
        limit,
        ago(terms.lost_after),
    )
    return [rows.uuid(row["id"]) for row in found]


async def occupancy(tx: Transaction, *, pool_id: UUID | None = None, queue_id: UUID | None = None) -> int:
    """Count the open attempts of a pool or of a queue: that is what fills a limit (protocol §1)."""
    column, key = ("work_queue_id", queue_id) if queue_id else ("work_pool_id", pool_id)
    count: int = await tx.fetchval(
        f"select count(*) from attempts where {column} = $1 and closed is null", key
    )
    return count


async def lock_output(tx: Transaction, attempt_id: UUID, stream: str) -> int:
    """Return the first byte of a stream that is not stored; until this transaction ends nobody stores any.

    The row is made first: what is not there cannot be locked, and one that was waited for is read anew.
    """
    await tx.execute(
        "insert into output_offsets (attempt_id, stream, next_offset) values ($1, $2, 0)"
        " on conflict do nothing",
        attempt_id,
        stream,
    )
    stored: int = await tx.fetchval(
        "select next_offset from output_offsets where attempt_id = $1 and stream = $2 for update",
        attempt_id,
        stream,
    )
    return stored


async def set_output_offset(tx: Transaction, attempt_id: UUID, stream: str, offset: int) -> None:
    """Remember how far a stream is stored."""
    await tx.execute(
        "update output_offsets set next_offset = $3 where attempt_id = $1 and stream = $2",
        attempt_id,
        stream,
        offset,
    )


def _inserted(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.id,
        attempt.flow_run_id,
        attempt.number,
        attempt.kind,
        attempt.state,
        rows.micros(attempt.opened),
        attempt.agent_id,
        attempt.epoch,
        attempt.grant,
        attempt.work_pool_id,
        attempt.work_queue_id,
        rows.micros_or_none(attempt.lease_until),
        attempt.unreachable,
        rows.micros_or_none(attempt.launched),
        rows.micros_or_none(attempt.started),
        rows.micros_or_none(attempt.closed),
        attempt.last_seq,
        rows.json_or_none(attempt.handle),
        attempt.exit_code,
        attempt.signal,
        attempt.cpu_seconds,
        attempt.max_rss_kib,
        attempt.cause,
        attempt.output_tail,
        attempt.crash_reason,
        rows.micros_or_none(attempt.stop_failed),
        rows.micros_or_none(attempt.expires),
        None if attempt.limits == NO_LIMITS else rows.json(attempt.limits),
        attempt.on_lost,
        attempt.deployment_id,
        attempt.code_version,
    )
