"""Fill a database with runs by the million: a few statements that make their rows themselves.

Ids ascend, and indexes are built after the rows, so that a million rows take seconds; tables and indexes are
those that the server would have made row by row. Nobody else may use the database meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

from tests.server.crowd import let_it_count

from reeve.server.storage.store import Store, Transaction, open_store

STEP = 500_000  # rows of a transaction
TABLES = ["flow_runs", "flow_run_states", "attempts"]
LASTED = 500_000  # microseconds; one run begins each second
MAY_BE_DROPPED = {  # indexes that are no constraint's, and how each is made
    "sqlite": "select name, sql from sqlite_master where type = 'index' and sql is not null"
    " and tbl_name = any($1::text[])",
    "postgresql": "select indexname as name, indexdef as sql from pg_indexes"
    " where tablename = any($1::text[]) and indexname not in (select conname from pg_constraint)",
}

# $1, $2: the first number and the one behind the last; $3: when run 0 began, in microseconds.
NUMBERS = "with recursive n(i) as (select $1::bigint union all select i + 1 from n where i + 1 < $2::bigint)"
AT = "$3::bigint + n.i * 1000000"


def _id(kind: int, number: str = "n.i") -> str:
    """Return the SQL of an id: decimal digits are hexadecimal ones too, so both databases make it."""
    return f"('{kind}0000000-0000-4000-8000-' || (100000000000 + {number})::text)::uuid"


RUN, STATE, ATTEMPT, WAITING, WAITING_STATE = 1, 2, 3, 4, 5
RUNS = """
{numbers}
insert into flow_runs (
    id, state_id, state_type, state_name, run_count, start_time, end_time, next_scheduled_start_time,
    created, updated, state_timestamp, expected_start_time, name, flow_id, deployment_id, work_queue_id,
    parameters, context, empirical_policy, tags, total_run_time, auto_scheduled, crash_count, had_lease
)
select {values}, {at}, {at}, {at}, {at}, 'run-' || n.i::text, $4::uuid, $5::uuid, $6::uuid,
    '{{}}', '{{}}', '{{}}', '[]', 0, false, 0, false
from n
"""
ENDED_RUNS = RUNS.format(
    numbers=NUMBERS,
    at=AT,
    values=f"{_id(RUN)}, {_id(STATE)}, case when n.i % 20 = 0 then 'FAILED' else 'COMPLETED' end,"
    f" case when n.i % 20 = 0 then 'Failed' else 'Completed' end, 1, {AT}, {AT} + {LASTED}, null::bigint",
)
# Late already, so that the late marker has nothing to do with them.
WAITING_RUNS = RUNS.format(
    numbers=NUMBERS,
    at="$3::bigint + n.i",
    values=f"{_id(WAITING)}, {_id(WAITING_STATE)}, 'SCHEDULED', 'Late', 0, null::bigint, null::bigint,"
    " $3::bigint + n.i",
)
STATES = """
insert into flow_run_states (id, flow_run_id, type, name, timestamp, details)
select r.state_id, r.id, r.state_type, r.state_name, r.state_timestamp, '{{}}' from flow_runs r
where r.id >= {first} and r.id < {behind} order by r.id
"""
ENDED_STATES, WAITING_STATES = (
    STATES.format(first=_id(kind, "$1::bigint"), behind=_id(kind, "$2::bigint")) for kind in (RUN, WAITING)
)
ATTEMPTS = f"""
{NUMBERS}
insert into attempts (
    id, flow_run_id, number, kind, state, opened, launched, started, closed, exit_code, unreachable, last_seq
)
select {_id(ATTEMPT)}, {_id(RUN)}, 1, 'LEASED', 'EXITED', {AT}, {AT}, {AT}, {AT} + {LASTED}, 0, false, 2
from n
"""
DEPLOYMENT, SCHEDULE = 6, 7
DEPLOYMENTS = f"""
{NUMBERS}
insert into deployments (
    id, created, updated, flow_id, name, paused, job_variables, parameters, tags, work_queue_id,
    work_queue_name, enforce_parameter_schema, status
)
select {_id(DEPLOYMENT)}, $3::bigint, $3::bigint, $4::uuid, 'd-' || n.i::text, false, '{{}}', '{{}}', '[]',
    $5::uuid, 'default', false, 'NOT_READY' from n
"""
# By turns an interval of an hour and a cron line; the parentheses keep the digits of a minute whole.
SCHEDULES = f"""
{NUMBERS}
insert into deployment_schedules (id, created, updated, deployment_id, schedule, active, catchup)
select {_id(SCHEDULE)}, $3::bigint, $3::bigint, {_id(DEPLOYMENT)}, (case when n.i % 2 = 0
    then '{{"interval": 3600.0, "anchor_date": "2026-01-01T00:00:00+00:00", "timezone": "UTC"}}'
    else '{{"cron": "' || (n.i % 60)::text || ' * * * *", "timezone": "UTC", "day_or": true}}' end)::jsonb,
    true, false from n
"""


async def fill_deployments(url: str, count: int, *, flow: UUID, queue: UUID) -> None:
    """Add deployments of a flow, each with a schedule that is due each hour."""
    now = time.time_ns() // 1000
    store = await open_store(url)
    try:
        await _in_steps(store, count, DEPLOYMENTS, now, flow, queue)
        await _in_steps(store, count, SCHEDULES, now)
        await let_it_count(store)
    finally:
        await store.close()


async def forget_scheduled(url: str) -> None:
    """Delete the runs of all schedules, and have the scheduler make them again when it starts."""

    async def forget(tx: Transaction) -> None:
        await tx.execute("delete from flow_runs where auto_scheduled")
        await tx.execute("update deployments set look_again = 0")

    store = await open_store(url)
    try:
        await store.write(forget)
    finally:
        await store.close()


async def fill(url: str, *, waiting: int, ended: int, place: dict[str, UUID]) -> float:
    """Add runs that have ended, the last a minute ago, and runs that are due; return the seconds it took.

    ``place``: ``flow``, ``deployment``, ``queue`` of the waiting ones, and ``ended queue`` of the others.
    """
    began = time.monotonic()
    now = time.time_ns() // 1000
    store = await open_store(url)
    try:
        async with _without_indexes(store):
            start = now - (ended + 60) * 1_000_000
            of_ended = (start, place["flow"], place["deployment"], place["ended queue"])
            await _in_steps(store, ended, ENDED_RUNS, *of_ended)
            await _in_steps(store, ended, ENDED_STATES)
            await _in_steps(store, ended, ATTEMPTS, start)
            due = (now - 3_600_000_000, place["flow"], place["deployment"], place["queue"])
            await _in_steps(store, waiting, WAITING_RUNS, *due)
            await _in_steps(store, waiting, WAITING_STATES)
        await let_it_count(store)
    finally:
        await store.close()
    return time.monotonic() - began


async def _in_steps(store: Store, count: int, sql: str, *args: Any) -> None:
    for low in range(0, count, STEP):
        await store.write(partial(_run, sql=sql, args=(low, min(low + STEP, count), *args)))


async def _run(tx: Transaction, *, sql: str, args: tuple[Any, ...]) -> None:
    if "Postgres" in type(tx).__name__:  # it would look up each row that another one refers to
        await tx.execute("set local session_replication_role = replica")
    await tx.execute(sql, *args)


@asynccontextmanager
async def _without_indexes(store: Store) -> AsyncIterator[None]:
    """Drop the indexes of the tables, and make them again afterwards."""

    async def drop(tx: Transaction) -> list[str]:
        found = await tx.fetch(MAY_BE_DROPPED[store.name], TABLES)
        for row in found:
            await tx.execute(f"drop index {row['name']}")
        return [row["sql"] for row in found]

    made = await store.write(drop)
    yield
    for sql in made:
        await store.write(partial(_run, sql=sql, args=()))
