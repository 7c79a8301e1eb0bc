"""Figures over many runs: counts, histories, lateness."""

from __future__ import annotations

from datetime import datetime, timedelta

from reeve.core.history import DASHBOARD_BUCKETS
from reeve.core.states import StateType
from reeve.server.storage import rows
from reeve.server.storage.filters import Where
from reeve.server.storage.find import FLOW_RUN_ORDERS
from reeve.server.storage.store import Row, Transaction
from reeve.wire import queries
from reeve.wire.codec import iso
from reeve.wire.queries import FlowRunSort
from reeve.wire.responses import HistoryState, SimpleFlowRun, TaskRunCount

MICROS = 1_000_000

# What core.bookkeeping says of one run's time and lateness, for all runs of a statement; "{now}" is in it.
RUN_TIME = (
    "r.total_run_time + case when r.state_type = 'RUNNING' and {now} > r.state_timestamp"
    " then ({now} - r.state_timestamp) / 1000000.0 else 0.0 end"
)
LATENESS = (
    "case when r.start_time is not null then case when r.start_time > r.expected_start_time"
    " then r.start_time - r.expected_start_time else 0 end"
    " when r.state_type in ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED') then 0"
    " when {now} > r.expected_start_time then {now} - r.expected_start_time else 0 end"
)


async def count_flows(tx: Transaction, query: queries.FlowFilters) -> int:
    """Count flows."""
    where = Where()
    return await _count(tx, "flows f", where, where.of_flows(query, "f"))


async def count_deployments(tx: Transaction, query: queries.FlowRunFilters) -> int:
    """Count deployments."""
    where = Where()
    return await _count(tx, "deployments d", where, where.of_deployments(query, "d"))


async def count_flow_runs(tx: Transaction, query: queries.FlowRunFilters) -> int:
    """Count flow runs."""
    where = Where()
    return await _count(tx, "flow_runs r", where, where.of_flow_runs(query, "r"))


async def count_task_runs(tx: Transaction, query: queries.TaskRunFilters) -> int:
    """Count task runs."""
    where = Where()
    return await _count(tx, "task_runs r", where, where.of_task_runs(query, "r"))


async def task_runs_by_state(tx: Transaction, query: queries.TaskRunFilters) -> dict[StateType, int]:
    """Count task runs by the type of their state."""
    where = Where()
    condition = where.of_task_runs(query, "r")
    found = await tx.fetch(
        f"select r.state_type as type, count(*) as many from task_runs r"
        f" where {condition} and r.state_type is not null group by r.state_type",
        *where.values,
    )
    return {StateType(row["type"]): row["many"] for row in found}


async def flow_run_history(
    tx: Transaction, query: queries.FlowRunFilters, intervals: list[tuple[datetime, datetime]], now: datetime
) -> list[list[HistoryState]]:
    """Count flow runs by state, for each interval those that were to start in it."""
    where = Where()
    return await _history(tx, "flow_runs", where, where.of_flow_runs(query, "r"), intervals, now)


async def task_run_history(
    tx: Transaction, query: queries.TaskRunFilters, intervals: list[tuple[datetime, datetime]], now: datetime
) -> list[list[HistoryState]]:
    """Count task runs by state, for each interval those that were to start in it."""
    where = Where()
    return await _history(tx, "task_runs", where, where.of_task_runs(query, "r"), intervals, now)


async def average_lateness(tx: Transaction, query: queries.FlowRunFilters, now: datetime) -> float | None:
    """Return how late flow runs started, or are by now, on average: in seconds, None without any run."""
    where = Where()
    lateness = LATENESS.format(now=_now(where, now))
    condition = where.of_flow_runs(query, "r")
    average = await tx.fetchval(f"select avg({lateness}) from flow_runs r where {condition}", *where.values)
    return None if average is None else float(average) / MICROS


async def simple_flow_runs(
    tx: Transaction, query: queries.FlowRunQuery, limit: int, offset: int, now: datetime
) -> list[SimpleFlowRun]:
    """Return flow runs with their start, duration and lateness, the last ones first unless told otherwise."""
    where = Where()
    at = _now(where, now)
    condition = where.of_flow_runs(query, "r")
    order = FLOW_RUN_ORDERS[query.sort or FlowRunSort.EXPECTED_START_TIME_DESC]
    found = await tx.fetch(
        "select r.id, r.state_type, coalesce(r.start_time, r.expected_start_time) as at,"
        f" {RUN_TIME.format(now=at)} as duration, {LATENESS.format(now=at)} as lateness from flow_runs r"
        f" where {condition} and r.state_type is not null and r.expected_start_time is not null"
        f" order by {order} limit {where.value(limit)} offset {where.value(offset)}",
        *where.values,
    )
    return [
        SimpleFlowRun(
            id=rows.uuid(row["id"]),
            state_type=StateType(row["state_type"]),
            timestamp=iso(rows.instant(row["at"])),
            duration=float(row["duration"]),
            lateness=row["lateness"] / MICROS,
        )
        for row in found
    ]


async def dashboard(
    tx: Transaction,
    query: queries.TaskRunFilters,
    place: queries.FlowRunFilters,
    window: tuple[datetime, datetime],
) -> list[TaskRunCount]:
    """Count ended task runs, whose flow runs match ``place``, in equal parts of a window by their start."""
    start, end = window
    counts = [TaskRunCount(completed=0, failed=0) for _ in range(DASHBOARD_BUCKETS)]
    if end <= start:
        return counts
    where = Where()
    condition = where.of_task_runs(query, "r")
    if place.work_pools is not None or place.work_pool_queues is not None:
        placed = where.of_flow_runs(place, "own")
        condition += f" and exists (select 1 from flow_runs own where own.id = r.flow_run_id and {placed})"
    first, last = where.value(rows.micros(start)), where.value(rows.micros(end))
    width = where.value((end - start) // timedelta(microseconds=1))
    found = await tx.fetch(
        f"select (r.start_time - {first}) * {DASHBOARD_BUCKETS} / {width} as bucket,"
        " sum(case when r.state_type = 'COMPLETED' then 1 else 0 end) as completed,"
        " sum(case when r.state_type in ('FAILED', 'CRASHED') then 1 else 0 end) as failed from task_runs r"
        f" where {condition} and r.start_time >= {first} and r.start_time < {last} group by 1",
        *where.values,
    )
    for row in found:
        counts[row["bucket"]] = TaskRunCount(completed=row["completed"], failed=row["failed"])
    return counts


async def _history(
    tx: Transaction,
    table: str,
    where: Where,
    condition: str,
    intervals: list[tuple[datetime, datetime]],
    now: datetime,
) -> list[list[HistoryState]]:
    (start, first_end), (_, end) = intervals[0], intervals[-1]
    at, first, last = _now(where, now), where.value(rows.micros(start)), where.value(rows.micros(end))
    width = where.value((first_end - start) // timedelta(microseconds=1))
    found = await tx.fetch(
        f"select (r.expected_start_time - {first}) / {width} as place, r.state_type, r.state_name,"
        f" count(*) as many, sum({RUN_TIME.format(now=at)}) as run_time,"
        f" sum({LATENESS.format(now=at)}) as lateness from {table} r"
        f" where {condition} and r.state_type is not null"
        f" and r.expected_start_time >= {first} and r.expected_start_time < {last}"
        " group by 1, r.state_type, r.state_name order by r.state_type, r.state_name",
        *where.values,
    )
    states: list[list[HistoryState]] = [[] for _ in intervals]
    for row in found:
        states[row["place"]].append(_history_state(row))
    return states


def _history_state(row: Row) -> HistoryState:
    return HistoryState(
        state_type=StateType(row["state_type"]),
        state_name=row["state_name"],
        count_runs=row["many"],
        sum_estimated_run_time=float(row["run_time"]),
        sum_estimated_lateness=float(row["lateness"]) / MICROS,
    )


def _now(where: Where, now: datetime) -> str:
    """Name the instant in a statement; the cast tells PostgreSQL its type where nothing else does."""
    return f"{where.value(rows.micros(now))}::bigint"


async def _count(tx: Transaction, table: str, where: Where, condition: str) -> int:
    count: int = await tx.fetchval(f"select count(*) from {table} where {condition}", *where.values)
    return count
