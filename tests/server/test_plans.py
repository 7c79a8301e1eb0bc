"""No poll and no page reads a whole table: the plan of each statement that the server itself sends."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import uuid4

import pytest
from tests.server import crowd
from tests.server.office import Desk, Office
from tests.server.overheard import Overheard

from reeve.core.states import StateType, propose
from reeve.server.loops.cancellations import CancellationCleaner
from reeve.server.loops.late import LateMarker
from reeve.server.loops.pauses import PauseExpirer
from reeve.server.loops.pruner import Pruner
from reeve.server.loops.reaper import Reaper
from reeve.server.services import attempts, figures, find, runs, waiting, work
from reeve.server.services.context import Context, Principal
from reeve.server.services.proposals import Asked
from reeve.server.services.states import Decision
from reeve.server.storage.store import Row, Store, Transaction, open_store
from reeve.wire import queries, requests, responses
from reeve.wire.filters import (
    ArtifactFilter,
    DeploymentFilter,
    FlowRunFilter,
    Ids,
    Instants,
    LogFilter,
    NullableIds,
    NullableInstants,
    RunIds,
    StateCriterion,
    StateTypes,
    TaskRunFilter,
)
from reeve.wire.queries import (
    ArtifactQuery,
    ArtifactSort,
    FlowRunFilters,
    FlowRunQuery,
    FlowRunSort,
    LogQuery,
    LogSort,
    TaskRunQuery,
    TaskRunSort,
)

RUNS = 8_000
PAGE = 5  # a small part of the crowd, as 200 are of a real one: else PostgreSQL rightly reads all
LARGE = [
    "flow_runs",
    "flow_run_states",
    "task_runs",
    "task_run_states",
    "logs",
    "events",
    "attempts",
    "artifacts",
]
# Orders of all there is that nobody asks for: an index would cost each write more than it ever saves
# (docs/decisions/0009-indexes.md).
UNSERVED = {
    FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
    TaskRunSort.NAME_ASC,
    TaskRunSort.NAME_DESC,
    TaskRunSort.NEXT_SCHEDULED_START_TIME_ASC,
    TaskRunSort.END_TIME_DESC,
    ArtifactSort.UPDATED_DESC,
    ArtifactSort.KEY_DESC,
}


class Explained:
    """Asks for the plan of each statement before it is run, and keeps the bad ones."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.asked = 0
        self.faults: list[str] = []

    async def hear(self, tx: Transaction, sql: str, args: tuple[Any, ...]) -> None:
        if sql.lstrip().startswith("insert"):  # it looks at its constraints, which have their indexes
            return
        word = "explain query plan" if self.dialect == "sqlite" else "explain"
        self._judge(sql, await tx.fetch(f"{word} {sql}", *args))

    def _judge(self, sql: str, plan: list[Row]) -> None:
        self.asked += 1
        faults = _sqlite_faults(sql, plan) if self.dialect == "sqlite" else _postgres_faults(plan)
        if faults:
            lines = [str(row["detail" if self.dialect == "sqlite" else "QUERY PLAN"]) for row in plan]
            self.faults.append("\n  ".join([sql, *faults, "in the plan:", *lines]))


def _sqlite_faults(sql: str, plan: list[Row]) -> list[str]:
    """SCAN without an index reads a table; with one it reads in order, until the page is full.

    It reads all of it if there is no page, or if what it finds is sorted: a line that stands beside it.
    """
    aliases = dict(re.findall(r"(?:from|join|update|into) (\w+)(?: (\w+))?", sql))
    tables = {alias: table for table, alias in aliases.items()} | {table: table for table in aliases}
    sorted_whole = {row["parent"] for row in plan if row["detail"] == "USE TEMP B-TREE FOR ORDER BY"}
    unbounded = " limit " not in sql and "min(" not in sql
    return [
        row["detail"]
        for row in plan
        if (found := re.match(r"SCAN (\w+)", row["detail"]))
        and tables.get(found[1], found[1]) in LARGE
        and (" USING " not in row["detail"] or row["parent"] in sorted_whole or unbounded)
    ]


def _postgres_faults(plan: list[Row]) -> list[str]:
    lines = [row["QUERY PLAN"].strip() for row in plan]
    return [line for line in lines if (found := re.search(r"Seq Scan on (\w+)", line)) and found[1] in LARGE]


@pytest.fixture
async def house(database_url: str) -> Any:
    """An office with a crowd of runs, whose statements are explained."""
    store = await open_store(database_url)
    office = await Office(store).furnish()
    place = {"deployment_id": office.deployment_id, "work_queue_id": office.queue_id}
    await crowd.gather(store, 0, RUNS, flow_id=office.flow_id, **place)
    await crowd.let_it_count(store)
    explained = Explained(store.name)
    overheard = Overheard(store, explained.hear)
    office.ctx = dataclasses.replace(office.ctx, store=cast("Store", overheard))
    yield office, explained
    await store.close()


async def test_no_statement_reads_a_whole_table(house: tuple[Office, Explained]) -> None:
    office, explained = house
    await _poll(office)
    await _ask_for_pages(office)
    await _run_loops(office)
    assert explained.asked > 150
    assert not explained.faults, "\n\n".join(explained.faults)


async def _poll(office: Office) -> None:
    ctx, now = office.ctx, datetime.now(UTC)
    for _ in range(3):
        await office.run()
    await waiting.queue_runs(ctx, office.queue_id, before=now, limit=10)
    await waiting.pool_runs(ctx, "p", [], before=now, after=None, limit=10)
    await waiting.pool_runs(ctx, "p", ["default"], before=now, after=None, limit=10)
    await waiting.deployment_runs(ctx, [office.deployment_id], before=now, limit=10)
    await work.queue_status(ctx, office.queue_id)
    desk = await office.agent()
    granted = [*(await desk.poll(1)).grants, *(await desk.poll(2)).grants]
    await desk.poll(0)
    await _lead_together(office, desk, granted)
    await desk.renew(*desk.held)
    await runs.read(ctx, (await office.run()).id)
    await office.propose((await office.run()).id, StateType.RUNNING)


async def _lead_together(office: Office, desk: Desk, granted: list[responses.Grant]) -> None:
    """Lead runs through their lives by batches."""
    assert len(granted) == 3
    launched = requests.Launched(seq=1, handle={}, infrastructure_pid="h:1")
    await _report(office, desk, granted, launched)
    for type_ in (StateType.RUNNING, StateType.COMPLETED):
        asked = [Asked(Principal(each.attempt_id), each.run.id, propose(type_)) for each in granted]
        assert all(isinstance(each, Decision) for each in await runs.propose_all(office.ctx, asked))
    await _report(office, desk, granted[:2], requests.Exited(seq=2, cause="exited", exit_code=0))


async def _report(
    office: Office, desk: Desk, granted: list[responses.Grant], report: requests.AnyReport
) -> None:
    told = [requests.AttemptReports(id=each.attempt_id, reports=[report]) for each in granted]
    await attempts.report(office.ctx, requests.Reports(epoch=desk.epoch, attempts=told))


async def _ask_for_pages(office: Office) -> None:
    for ask in _pages(office, datetime.now(UTC)):
        await ask(office.ctx)


async def _run_loops(office: Office) -> None:
    ctx = office.ctx
    for type_ in (StateType.CANCELLED, StateType.PAUSED, StateType.SCHEDULED):
        await office.propose((await office.run()).id, type_, force=True)
    for loop in (
        LateMarker(ctx, 1),
        PauseExpirer(ctx, 1),
        CancellationCleaner(ctx, 1),
        Reaper(ctx, 1),
        Pruner(ctx, 1, timedelta(days=365), timedelta(days=365)),
    ):
        await loop.round()


def _pages(office: Office, now: datetime) -> list[Callable[[Context], Awaitable[Any]]]:
    """Return what pages and clients ask for: every order of everything, and the usual filters."""
    hour, run_id = now - timedelta(hours=1), uuid4()
    active = StateCriterion(type=StateTypes(any_=[StateType.RUNNING, StateType.PENDING]))
    some_runs = [
        FlowRunFilter(id=RunIds(any_=[run_id])),
        FlowRunFilter(state=active),
        FlowRunFilter(deployment_id=NullableIds(any_=[office.deployment_id]), state=active),
        FlowRunFilter(expected_start_time=Instants(after_=hour)),
        FlowRunFilter(start_time=NullableInstants(after_=hour)),
        FlowRunFilter(parent_task_run_id=NullableIds(any_=[run_id])),
    ]
    flow_runs = [
        *(FlowRunQuery(sort=sort) for sort in FlowRunSort if sort not in UNSERVED),
        *(FlowRunQuery(sort=FlowRunSort.START_TIME_DESC, flow_runs=each) for each in some_runs),
        FlowRunQuery(sort=FlowRunSort.START_TIME_DESC, deployments=DeploymentFilter()),
        FlowRunQuery(
            sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
            flow_runs=FlowRunFilter(state=StateCriterion(type=StateTypes(any_=[StateType.SCHEDULED]))),
        ),
    ]
    of_run = TaskRunFilter(flow_run_id=NullableIds(any_=[run_id]))
    task_runs = [
        *(TaskRunQuery(sort=sort) for sort in TaskRunSort if sort not in UNSERVED),
        *(TaskRunQuery(sort=sort, task_runs=of_run) for sort in TaskRunSort),
        TaskRunQuery(flow_runs=FlowRunFilter(id=RunIds(any_=[run_id]))),
    ]
    logs = [
        LogQuery(sort=sort, logs=which)
        for sort in LogSort
        for which in (
            None,
            LogFilter(flow_run_id=Ids(any_=[run_id])),
            LogFilter(task_run_id=Ids(any_=[run_id])),
            LogFilter(timestamp=Instants(after_=hour)),
        )
    ]
    artifacts = [
        *(ArtifactQuery(sort=sort) for sort in ArtifactSort if sort not in UNSERVED),
        ArtifactQuery(artifacts=ArtifactFilter(flow_run_id=Ids(any_=[run_id]))),
        ArtifactQuery(artifacts=ArtifactFilter(task_run_id=Ids(any_=[run_id]))),
    ]
    asked = (
        (find.flow_runs, flow_runs),
        (find.task_runs, task_runs),
        (find.logs, logs),
        (find.artifacts_, artifacts),
        (find.deployments, [queries.DeploymentQuery()]),
    )
    counts = [
        partial(_count, query=FlowRunFilters(flow_runs=each)) for each in some_runs if each.start_time is None
    ]
    pages = [partial(_page, listing, query) for listing, queries in asked for query in queries]
    return [*pages, *counts]


async def _page(listing: Any, query: Any, ctx: Context) -> Any:
    return await listing(ctx, query, PAGE, 0)


async def _count(ctx: Context, query: FlowRunFilters) -> int:
    return await figures.flow_runs(ctx, query)
