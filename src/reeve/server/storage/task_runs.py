"""Task runs, their states, their cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from reeve.core.runs import TaskRun
from reeve.core.states import State
from reeve.server.storage import rows
from reeve.server.storage.rows import TASK_RUN
from reeve.server.storage.runs import state_columns, state_values
from reeve.server.storage.store import Row, Transaction

FINAL = ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]

INSERT = """
insert into task_runs (
    id, created, updated, name, flow_run_id, task_key, dynamic_key, cache_key, cache_expiration, task_version,
    empirical_policy, tags, task_inputs, state_id, state_type, state_name, state_timestamp, run_count,
    flow_run_run_count, expected_start_time, next_scheduled_start_time, start_time, end_time, total_run_time
) values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24
) on conflict do nothing
"""

ENTER = """
update task_runs set
    updated = $2, state_id = $3, state_type = $4, state_name = $5, state_timestamp = $6, run_count = $7,
    flow_run_run_count = $8, expected_start_time = $9, next_scheduled_start_time = $10, start_time = $11,
    end_time = $12, total_run_time = $13
where id = $1
"""

INSERT_STATE = """
insert into task_run_states (id, task_run_id, type, name, timestamp, message, data, details)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""


async def read(tx: Transaction, task_run_id: UUID) -> TaskRun | None:
    """Return a task run with its state."""
    row = await tx.fetchrow(f"{TASK_RUN} where r.id = $1", task_run_id)
    return None if row is None else rows.task_run(row)


async def lock(tx: Transaction, task_run_id: UUID) -> TaskRun | None:
    """Return a task run that nobody else changes until this transaction ends; read as in ``runs.lock``."""
    await tx.execute("select id from task_runs where id = $1 for no key update", task_run_id)
    return await read(tx, task_run_id)


async def by_key(
    tx: Transaction, flow_run_id: UUID | None, task_key: str, dynamic_key: str
) -> TaskRun | None:
    """Return the task run of this key in a flow run, or outside of any."""
    if flow_run_id is None:
        row = await tx.fetchrow(
            f"{TASK_RUN} where r.flow_run_id is null and r.task_key = $1 and r.dynamic_key = $2",
            task_key,
            dynamic_key,
        )
    else:
        row = await tx.fetchrow(
            f"{TASK_RUN} where r.flow_run_id = $1 and r.task_key = $2 and r.dynamic_key = $3",
            flow_run_id,
            task_key,
            dynamic_key,
        )
    return None if row is None else rows.task_run(row)


async def waiting(tx: Transaction, keys: Sequence[str], excluded: Sequence[UUID]) -> TaskRun | None:
    """Return the task run that has waited longest, outside of flows and with one of these keys."""
    row = await tx.fetchrow(
        f"{TASK_RUN} where r.flow_run_id is null and r.state_type = 'SCHEDULED'"
        " and r.task_key = any($1::text[]) and r.id <> all($2::uuid[])"
        " order by r.state_timestamp, r.id limit 1",
        list(keys),
        list(excluded),
    )
    return None if row is None else rows.task_run(row)


async def insert(tx: Transaction, run: TaskRun) -> bool:
    """Store a new task run and its state; False when its key, or its id, is taken."""
    inserted = await tx.execute(INSERT, *_inserted(run))
    if inserted and run.state is not None:
        await tx.execute(INSERT_STATE, *state_values(run.id, run.state))
    return bool(inserted)


async def enter(tx: Transaction, runs: Sequence[TaskRun]) -> None:
    """Store task runs that have entered their (new) states."""
    await tx.executemany(INSERT_STATE, [state_values(run.id, run.state) for run in runs if run.state])
    await tx.executemany(ENTER, [_entered(run) for run in runs])


async def tell(
    tx: Transaction, new: Sequence[TaskRun], known: Sequence[TaskRun], states: Sequence[State]
) -> None:
    """Store task runs that have entered several states: the new ones, those that changed, all their states.

    Raises IntegrityError for a new one whose key in its flow run is taken.
    """
    await tx.executemany(INSERT, [tuple(_inserted(run)) for run in new])
    await tx.executemany(INSERT_STATE, [state_values(_task_run_id(state), state) for state in states])
    await tx.executemany(ENTER, [_entered(run) for run in known])


async def known_states(tx: Transaction, ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these states are stored."""
    found = await tx.fetch("select id from task_run_states where id = any($1::uuid[])", list(ids))
    return {rows.uuid(row["id"]) for row in found}


async def by_ids(tx: Transaction, ids: Sequence[UUID]) -> list[TaskRun]:
    """Return these task runs, in any order."""
    found = await tx.fetch(f"{TASK_RUN} where r.id = any($1::uuid[])", list(ids))
    return [rows.task_run(row) for row in found]


async def rename(tx: Transaction, task_run_id: UUID, name: str, now: datetime) -> None:
    """Give a task run another name."""
    await tx.execute(
        "update task_runs set name = $2, updated = $3 where id = $1", task_run_id, name, rows.micros(now)
    )


async def states(tx: Transaction, task_run_id: UUID) -> list[State]:
    """Return all states of a task run, oldest first."""
    found = await tx.fetch(
        "select * from task_run_states where task_run_id = $1 order by timestamp, cursor", task_run_id
    )
    return [rows.state(row) for row in found]


async def state(tx: Transaction, state_id: UUID) -> State | None:
    """Return a state of any task run."""
    row = await tx.fetchrow("select * from task_run_states where id = $1", state_id)
    return None if row is None else rows.state(row)


async def delete(tx: Transaction, task_run_id: UUID) -> bool:
    """Delete a task run with its states; False if there is none."""
    return bool(await tx.execute("delete from task_runs where id = $1", task_run_id))


async def unfinished(tx: Transaction, flow_run_id: UUID, limit: int) -> list[TaskRun]:
    """Lock and return task runs of a flow run that have not ended."""
    locked = await tx.fetch(
        "select id from task_runs where flow_run_id = $1 and coalesce(state_type, '') <> all($2::text[])"
        " limit $3 for no key update",
        flow_run_id,
        FINAL,
        limit,
    )
    return await _by_ids(tx, locked)


async def parents(tx: Transaction, flow_run_ids: list[UUID]) -> set[UUID]:
    """Return which of these flow runs have task runs that have not ended, or subflows."""
    found = await tx.fetch(
        "select distinct t.flow_run_id from task_runs t where t.flow_run_id = any($1::uuid[])"
        " and (coalesce(t.state_type, '') <> all($2::text[])"
        " or exists (select 1 from flow_runs c where c.parent_task_run_id = t.id))",
        flow_run_ids,
        FINAL,
    )
    return {rows.uuid(row["flow_run_id"]) for row in found}


async def failed(tx: Transaction, flow_run_id: UUID) -> list[TaskRun]:
    """Lock and return the failed task runs of a flow run."""
    locked = await tx.fetch(
        "select id from task_runs where flow_run_id = $1 and state_type = 'FAILED' for no key update",
        flow_run_id,
    )
    return await _by_ids(tx, locked)


async def _by_ids(tx: Transaction, locked: list[Row]) -> list[TaskRun]:
    return await by_ids(tx, [rows.uuid(row["id"]) for row in locked])


def _task_run_id(state: State) -> UUID:
    assert state.details.task_run_id is not None, "an entered state knows its run"
    return state.details.task_run_id


async def cached_state(tx: Transaction, cache_key: str, now: datetime) -> State | None:
    """Return the newest unexpired state under a cache key."""
    row = await tx.fetchrow(
        "select s.* from task_run_cache c join task_run_states s on s.id = c.task_run_state_id"
        " where c.cache_key = $1 and (c.expiration is null or c.expiration > $2)"
        " order by c.created desc limit 1",
        cache_key,
        rows.micros(now),
    )
    return None if row is None else rows.state(row)


async def store_cache(tx: Transaction, state: State) -> None:
    """Have ``state`` found under its cache key from now on."""
    await tx.execute(
        "insert into task_run_cache (cache_key, expiration, task_run_state_id, created)"
        " values ($1, $2, $3, $4)",
        state.details.cache_key,
        rows.micros_or_none(state.details.cache_expiration),
        state.id,
        rows.micros(state.timestamp),
    )


def _inserted(run: TaskRun) -> list[object]:
    return [
        run.id,
        rows.micros(run.created),
        rows.micros(run.updated),
        run.name,
        run.flow_run_id,
        run.task_key,
        run.dynamic_key,
        run.cache_key,
        rows.micros_or_none(run.cache_expiration),
        run.task_version,
        rows.json(run.empirical_policy),
        rows.json(run.tags),
        rows.json(run.task_inputs),
        *state_columns(run.state),
        run.run_count,
        run.flow_run_run_count,
        rows.micros_or_none(run.expected_start_time),
        rows.micros_or_none(run.next_scheduled_start_time),
        rows.micros_or_none(run.start_time),
        rows.micros_or_none(run.end_time),
        run.total_run_time.total_seconds(),
    ]


def _entered(run: TaskRun) -> tuple[object, ...]:
    return (
        run.id,
        rows.micros(run.updated),
        *state_columns(run.state),
        run.run_count,
        run.flow_run_run_count,
        rows.micros_or_none(run.expected_start_time),
        rows.micros_or_none(run.next_scheduled_start_time),
        rows.micros_or_none(run.start_time),
        rows.micros_or_none(run.end_time),
        run.total_run_time.total_seconds(),
    )
