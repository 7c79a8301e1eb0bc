"""Flow runs and their states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import msgspec

from reeve.core.runs import FlowRun
from reeve.core.states import State
from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.changes import Changes, as_it_is
from reeve.server.storage.rows import FLOW_RUN
from reeve.server.storage.store import Row, Transaction

INSERT = """
insert into flow_runs (
    id, created, updated, name, flow_id, deployment_id, deployment_version, work_queue_id, work_queue_name,
    flow_version, parameters, idempotency_key, context, empirical_policy, retry_type, tags,
    parent_task_run_id, state_id, state_type, state_name, state_timestamp, run_count,
    expected_start_time, next_scheduled_start_time, start_time, end_time, total_run_time, auto_scheduled,
    infrastructure_document_id, infrastructure_pid, created_by, job_variables, attempt_id, crash_count,
    had_lease
) values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35
) on conflict (flow_id, idempotency_key) do nothing
"""

# What entering a state changes; everything else of a run is changed by its own request.
ENTERED: Changes[FlowRun] = Changes(
    "flow_runs",
    {
        "updated": {"updated": rows.micros},
        "empirical_policy": {"empirical_policy": rows.json, "retry_type": lambda policy: policy.retry_type},
        "state": {
            "state_id": lambda state: state and state.id,
            "state_type": lambda state: state and state.type,
            "state_name": lambda state: state and state.name,
            "state_timestamp": lambda state: state and rows.micros(state.timestamp),
        },
        "run_count": {"run_count": as_it_is},
        "expected_start_time": {"expected_start_time": rows.micros_or_none},
        "next_scheduled_start_time": {"next_scheduled_start_time": rows.micros_or_none},
        "start_time": {"start_time": rows.micros_or_none},
        "end_time": {"end_time": rows.micros_or_none},
        "total_run_time": {"total_run_time": timedelta.total_seconds},
        "attempt_id": {"attempt_id": as_it_is},
        "crash_count": {"crash_count": as_it_is},
        "had_lease": {"had_lease": as_it_is},
        "infrastructure_pid": {"infrastructure_pid": as_it_is},
    },
)

INSERT_STATE = """
insert into flow_run_states (id, flow_run_id, type, name, timestamp, message, data, details)
values ($1, $2, $3, $4, $5, $6, $7, $8)
"""

UPDATE = """
update flow_runs set
    updated = $2, name = $3, flow_version = $4, parameters = $5, empirical_policy = $6, retry_type = $7,
    tags = $8, infrastructure_pid = $9, job_variables = $10
where id = $1
"""

OPEN = "coalesce({0}.state_type, '') not in ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
# A subflow that has a process of its own ends by itself once it is told.
GOES_ON = f"{OPEN} and not ({{0}}.state_type = 'CANCELLING' and {{0}}.deployment_id is not null)"


async def read(tx: Transaction, run_id: UUID) -> FlowRun | None:
    """Return a run with its state."""
    row = await tx.fetchrow(f"{FLOW_RUN} where r.id = $1", run_id)
    return None if row is None else rows.flow_run(row)


async def lock(tx: Transaction, run_id: UUID) -> FlowRun | None:
    """Return a run that nobody else changes until this transaction ends."""
    if (run := tx.known.get(run_id)) is None:
        run = next(iter(await locked(tx, f"{FLOW_RUN} where r.id = $1 for no key update of r", run_id)), None)
    return cast("FlowRun | None", run)


async def lock_all(tx: Transaction, run_ids: list[UUID]) -> list[FlowRun]:
    """Lock and return these runs, in the order of their ids."""
    if all(run_id in tx.known for run_id in run_ids):
        return [tx.known[run_id] for run_id in sorted(run_ids)]
    return await locked(
        tx, f"{FLOW_RUN} where r.id = any($1::uuid[]) order by r.id for no key update of r", run_ids
    )


async def locked(tx: Transaction, sql: str, *ids: UUID | list[UUID]) -> list[FlowRun]:
    """Return the runs of rows that a statement locks, with the states that they have now; see ``known``."""
    return await known(tx, await tx.locked(sql, *ids))


async def known(tx: Transaction, found: Sequence[Row]) -> list[FlowRun]:
    """Return runs that were just locked, with the states that they have now; the transaction knows them.

    A statement that has waited for a lock gives the run's new row beside an old snapshot of all else, where
    its new state is missing, or its new queue: such a run is read again.
    """
    old = [
        rows.uuid(row["id"])
        for row in found
        if row["s_id"] != row["state_id"] or (row["pool_id"] is None) != (row["work_queue_id"] is None)
    ]
    all_ = [rows.flow_run(row) for row in found]
    if old:
        anew = {run.id: run for run in await by_ids(tx, old)}
        all_ = [anew.get(run.id, run) for run in all_]
    tx.known.update((run.id, run) for run in all_)
    return all_


async def by_ids(tx: Transaction, run_ids: list[UUID]) -> list[FlowRun]:
    """Return these runs, in any order."""
    known = [tx.known[run_id] for run_id in run_ids if run_id in tx.known]
    if len(known) == len(run_ids):
        return known
    found = await tx.fetch(f"{FLOW_RUN} where r.id = any($1::uuid[])", run_ids)
    return [rows.flow_run(row) for row in found]


async def by_idempotency_key(tx: Transaction, flow_id: UUID, key: str) -> FlowRun | None:
    """Return the run that an earlier request with this key made."""
    row = await tx.fetchrow(f"{FLOW_RUN} where r.flow_id = $1 and r.idempotency_key = $2", flow_id, key)
    return None if row is None else rows.flow_run(row)


async def insert(tx: Transaction, run: FlowRun) -> bool:
    """Store a new run and its state, if it has one; False when its idempotency key is taken."""
    inserted = await tx.execute(INSERT, *_inserted(run))
    if inserted:
        tx.known[run.id] = run
        _insert_state(tx, run)
    return bool(inserted)


async def enter(tx: Transaction, runs: Sequence[FlowRun]) -> None:
    """Store runs that have entered their (new) states."""
    for run in runs:
        _insert_state(tx, run)
        ENTERED.store(tx, run)


async def amend(tx: Transaction, run: FlowRun) -> None:
    """Store what rules or attempts changed of a run that keeps its state."""
    ENTERED.store(tx, run)


async def update(tx: Transaction, run: FlowRun) -> None:
    """Store what a client may change of a run."""
    tx.known[run.id] = run
    await tx.execute(
        UPDATE,
        run.id,
        rows.micros(run.updated),
        run.name,
        run.flow_version,
        rows.json(run.parameters),
        rows.json(run.empirical_policy),
        run.empirical_policy.retry_type,
        rows.json(run.tags),
        run.infrastructure_pid,
        rows.json_or_none(run.job_variables),
    )


async def delete(tx: Transaction, run_id: UUID) -> bool:
    """Delete a run with all that belongs to it; False if there is none."""
    tx.known.pop(run_id, None)
    await tx.execute("delete from logs where flow_run_id = $1", run_id)
    await tx.execute("delete from events where flow_run_id = $1", run_id)
    # Results, which nobody named; what has a key is kept to be looked at.
    await tx.execute("delete from artifacts where flow_run_id = $1 and key is null", run_id)
    return bool(await tx.execute("delete from flow_runs where id = $1", run_id))


async def insert_new(tx: Transaction, made: Sequence[FlowRun]) -> None:
    """Store many runs, whose idempotency keys are free, and their states."""
    await tx.executemany(INSERT, [tuple(_inserted(run)) for run in made])
    await tx.executemany(INSERT_STATE, [state_values(run.id, run.state) for run in made if run.state])


async def states(tx: Transaction, run_id: UUID) -> list[State]:
    """Return all states of a run, oldest first."""
    found = await tx.fetch(
        "select * from flow_run_states where flow_run_id = $1 order by timestamp, cursor", run_id
    )
    return [rows.state(row) for row in found]


async def state(tx: Transaction, state_id: UUID) -> State | None:
    """Return a state of any run."""
    row = await tx.fetchrow("select * from flow_run_states where id = $1", state_id)
    return None if row is None else rows.state(row)


async def of_flow(tx: Transaction, flow_id: UUID, limit: int) -> list[UUID]:
    """Return some runs of a flow."""
    found = await tx.fetch("select id from flow_runs where flow_id = $1 limit $2", flow_id, limit)
    return [rows.uuid(row["id"]) for row in found]


async def states_after(tx: Transaction, run_id: UUID, cursor: int, limit: int) -> list[tuple[int, State]]:
    """Return states of a run behind a cursor, oldest first, each with its own cursor."""
    found = await tx.fetch(
        "select * from flow_run_states where flow_run_id = $1 and cursor > $2 order by cursor limit $3",
        run_id,
        cursor,
        limit,
    )
    return [(row["cursor"], rows.state(row)) for row in found]


async def children(tx: Transaction, run_id: UUID) -> list[FlowRun]:
    """Return the runs started by the tasks of a run: its subflows."""
    found = await tx.fetch(
        f"{FLOW_RUN} where r.parent_task_run_id in (select id from task_runs where flow_run_id = $1)", run_id
    )
    return [rows.flow_run(row) for row in found]


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """The flow run that a task run belongs to, as far as its holder is concerned."""

    id: UUID
    parent_task_run_id: UUID | None
    attempt_id: UUID | None
    has_deployment: bool


async def parent_of(tx: Transaction, task_run_id: UUID) -> Parent | None:
    """Return the flow run that a task run belongs to."""
    row = await tx.fetchrow(
        "select r.id, r.parent_task_run_id, r.attempt_id, r.deployment_id from flow_runs r"
        " join task_runs t on t.flow_run_id = r.id where t.id = $1",
        task_run_id,
    )
    if row is None:
        return None
    return Parent(
        id=rows.uuid(row["id"]),
        parent_task_run_id=rows.uuid_or_none(row["parent_task_run_id"]),
        attempt_id=rows.uuid_or_none(row["attempt_id"]),
        has_deployment=row["deployment_id"] is not None,
    )


async def left_running(tx: Transaction, run_id: UUID) -> list[FlowRun]:
    """Return the subflows of a cancelled run that go on, and were not told to end."""
    found = await tx.fetch(
        f"{FLOW_RUN} where r.parent_task_run_id in (select id from task_runs where flow_run_id = $1)"
        f" and {GOES_ON.format('r')}",
        run_id,
    )
    return [rows.flow_run(row) for row in found]


async def paused(tx: Transaction, after: UUID | None, limit: int) -> list[FlowRun]:
    """Return paused runs, by id."""
    found = await tx.fetch(
        f"{FLOW_RUN} where r.state_type = 'PAUSED' and r.id > $1 order by r.id limit $2",
        after or UUID(int=0),
        limit,
    )
    return [rows.flow_run(row) for row in found]


async def cancelled_with_children(
    tx: Transaction, after: tuple[datetime, UUID], limit: int
) -> list[tuple[datetime, UUID]]:
    """Return cancelled runs that left task runs or subflows running: when each ended, and its id, in order.

    They come after the one that ``after`` names in that way.
    """
    ended, run_id = after
    found = await tx.fetch(
        "select r.end_time, r.id from flow_runs r"
        " where r.state_type = 'CANCELLED' and (r.end_time, r.id) > ($1, $2)"
        " and exists (select 1 from task_runs t left join flow_runs c on c.parent_task_run_id = t.id"
        " where t.flow_run_id = r.id"
        f" and ({OPEN.format('t')} or (c.id is not null and {GOES_ON.format('c')})))"
        " order by r.end_time, r.id limit $3",
        rows.micros(ended),
        run_id,
        limit,
    )
    return [(rows.instant(row["end_time"]), rows.uuid(row["id"])) for row in found]


async def to_mark_late(tx: Transaction, before: datetime, limit: int) -> list[FlowRun]:
    """Lock and return scheduled runs that were due before ``before`` and are not called late yet."""
    found = await tx.fetch(
        "select id from flow_runs where state_type = 'SCHEDULED' and state_name = 'Scheduled'"
        " and next_scheduled_start_time <= $1 order by next_scheduled_start_time limit $2"
        " for no key update skip locked",
        rows.micros(before),
        limit,
    )
    return await by_ids(tx, [rows.uuid(row["id"]) for row in found])


async def not_started_in_time(tx: Transaction, now: datetime, limit: int) -> list[UUID]:
    """Return waiting runs that never started, and by now should have, as their deployment wants it."""
    found = await tx.fetch(
        "select r.id from deployment_options o join flow_runs r on r.deployment_id = o.deployment_id"
        " and r.state_type = 'SCHEDULED' and r.next_scheduled_start_time <= $1"
        " where o.must_start_by is not null and r.attempt_id is null and r.start_time is null"
        " and r.expected_start_time + cast(o.must_start_by * 1000000 as bigint) <= $1 limit $2",
        rows.micros(now),
        limit,
    )
    return [rows.uuid(row["id"]) for row in found]


async def ended_before(tx: Transaction, before: datetime, limit: int) -> list[UUID]:
    """Return final runs without an open attempt that ended, or were last touched, before ``before``."""
    found = await tx.fetch(
        "select id from flow_runs where state_type in ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
        " and attempt_id is null and coalesce(end_time, state_timestamp) < $1 limit $2",
        rows.micros(before),
        limit,
    )
    return [rows.uuid(row["id"]) for row in found]


def _inserted(run: FlowRun) -> list[object]:
    return [
        run.id,
        rows.micros(run.created),
        rows.micros(run.updated),
        run.name,
        run.flow_id,
        run.deployment_id,
        run.deployment_version,
        run.work_queue_id,
        run.work_queue_name,
        run.flow_version,
        rows.json(run.parameters),
        run.idempotency_key,
        rows.json(run.context),
        rows.json(run.empirical_policy),
        run.empirical_policy.retry_type,
        rows.json(run.tags),
        run.parent_task_run_id,
        *state_columns(run.state),
        run.run_count,
        rows.micros_or_none(run.expected_start_time),
        rows.micros_or_none(run.next_scheduled_start_time),
        rows.micros_or_none(run.start_time),
        rows.micros_or_none(run.end_time),
        run.total_run_time.total_seconds(),
        run.auto_scheduled,
        run.infrastructure_document_id,
        run.infrastructure_pid,
        rows.json_or_none(run.created_by),
        rows.json_or_none(run.job_variables),
        run.attempt_id,
        run.crash_count,
        run.had_lease,
    ]


def _insert_state(tx: Transaction, run: FlowRun) -> None:
    if run.state is not None:
        tx.later(INSERT_STATE, *state_values(run.id, run.state))


def state_values(run_id: UUID, state: State) -> tuple[object, ...]:
    """Return a state as it is stored; states of task runs lie in columns of the same order."""
    return (
        state.id,
        run_id,
        state.type,
        state.name,
        rows.micros(state.timestamp),
        state.message,
        rows.json_or_none(state.data),
        rows.json(state.details),
    )


def state_columns(state: State | None) -> tuple[object, ...]:
    """Return what a run's own row repeats of its state: id, type, name, timestamp."""
    if state is None:
        return (None, None, None, None)
    return (state.id, state.type, state.name, rows.micros(state.timestamp))


async def put_input(tx: Transaction, run_id: UUID, key: str, value: object, now: datetime) -> None:
    """Store an input of a run under ``key``, in place of an earlier one."""
    at = rows.micros(now)
    await tx.execute(
        "insert into flow_run_inputs (id, created, updated, flow_run_id, key, value)"
        " values ($1, $2, $2, $3, $4, $5)"
        " on conflict (flow_run_id, key) do update set value = excluded.value, updated = excluded.updated",
        new_id(),
        at,
        run_id,
        key,
        rows.json(value),
    )
