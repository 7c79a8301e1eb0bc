"""Figures over many runs: counts, histories, lateness."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from reeve.core.history import dashboard_window, intervals
from reeve.errors import InvalidInputError
from reeve.server.services.context import Context
from reeve.server.storage import figures
from reeve.wire import queries
from reeve.wire.codec import iso
from reeve.wire.responses import CountByState, HistoryInterval, HistoryState, SimpleFlowRun, TaskRunCount

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import FlowRunHistory, TaskRunDashboard, TaskRunHistory


async def flows(ctx: Context, query: queries.FlowFilters) -> int:
    """Count the flows that match."""
    return await ctx.store.read(lambda tx: figures.count_flows(tx, query))


async def deployments(ctx: Context, query: queries.FlowRunFilters) -> int:
    """Count the deployments that match."""
    return await ctx.store.read(lambda tx: figures.count_deployments(tx, query))


async def flow_runs(ctx: Context, query: queries.FlowRunFilters) -> int:
    """Count the flow runs that match."""
    return await ctx.store.read(lambda tx: figures.count_flow_runs(tx, query))


async def task_runs(ctx: Context, query: queries.TaskRunFilters) -> int:
    """Count the task runs that match."""
    return await ctx.store.read(lambda tx: figures.count_task_runs(tx, query))


async def task_runs_by_state(ctx: Context, query: queries.TaskRunFilters) -> CountByState:
    """Count the task runs that match, by the type of their state."""
    counts = await ctx.store.read(lambda tx: figures.task_runs_by_state(tx, query))
    return CountByState(**{type_.value: count for type_, count in counts.items()})


async def flow_run_history(ctx: Context, body: FlowRunHistory) -> list[HistoryInterval]:
    """Count the flow runs that match by interval and state; raises InvalidInputError."""
    cut = intervals(body.history_start, body.history_end, body.history_interval_seconds)

    async def look(tx: Transaction) -> list[list[HistoryState]]:
        return await figures.flow_run_history(tx, body.query, cut, await tx.now())

    return _history(cut, await ctx.store.read(look))


async def task_run_history(ctx: Context, body: TaskRunHistory) -> list[HistoryInterval]:
    """Count the task runs that match by interval and state; raises InvalidInputError."""
    cut = intervals(body.history_start, body.history_end, body.history_interval_seconds)

    async def look(tx: Transaction) -> list[list[HistoryState]]:
        return await figures.task_run_history(tx, body, cut, await tx.now())

    return _history(cut, await ctx.store.read(look))


async def average_lateness(ctx: Context, query: queries.FlowRunFilters) -> float | None:
    """Return the average lateness of the flow runs that match, in seconds; None without any."""

    async def look(tx: Transaction) -> float | None:
        return await figures.average_lateness(tx, query, await tx.now())

    return await ctx.store.read(look)


async def simple_flow_runs(
    ctx: Context, query: queries.FlowRunQuery, limit: int, offset: int
) -> list[SimpleFlowRun]:
    """Return the flow runs that match, as dots of a history."""

    async def look(tx: Transaction) -> list[SimpleFlowRun]:
        return await figures.simple_flow_runs(tx, query, limit, offset, await tx.now())

    return await ctx.store.read(look)


async def dashboard(ctx: Context, body: TaskRunDashboard) -> list[TaskRunCount]:
    """Count the task runs that ended well and badly, from ``start_time.after_`` until its end or now.

    Raises InvalidInputError.
    """
    started = body.task_runs.start_time
    if started is None or started.after_ is None:
        raise InvalidInputError("task_runs.start_time.after_ is required")
    after, before = started.after_, started.before_
    query = queries.TaskRunFilters(
        flows=body.flows, flow_runs=body.flow_runs, task_runs=body.task_runs, deployments=body.deployments
    )
    place = queries.FlowRunFilters(work_pools=body.work_pools, work_pool_queues=body.work_queues)

    async def look(tx: Transaction) -> list[TaskRunCount]:
        window = dashboard_window(after, before or await tx.now())
        return await figures.dashboard(tx, query, place, window)

    return await ctx.store.read(look)


def _history(cut: list[tuple[datetime, datetime]], states: list[list[HistoryState]]) -> list[HistoryInterval]:
    return [
        HistoryInterval(interval_start=iso(start), interval_end=iso(end), states=found)
        for (start, end), found in zip(cut, states, strict=True)
    ]
