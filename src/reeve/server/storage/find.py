"""Listings: what the filters of a request match, in the order it wants."""

from __future__ import annotations

from reeve.core.deployments import Deployment, Flow
from reeve.core.logs import LogLine
from reeve.core.runs import FlowRun, TaskRun
from reeve.core.work import WorkPool, WorkQueue
from reeve.server.storage import artifacts, deployments, notifications, rows, variables, work
from reeve.server.storage.filters import Where
from reeve.server.storage.rows import DEPLOYMENT, FLOW_RUN, TASK_RUN, WORK_QUEUE
from reeve.server.storage.store import Row, Transaction
from reeve.wire import filters, queries
from reeve.wire.queries import ArtifactSort, FlowRunSort, LogSort, NameSort, TaskRunSort
from reeve.wire.responses import Artifact, ArtifactCollection, NotificationPolicy, Variable, Worker

# Orders end with the id, so that pages neither repeat nor leave out; it goes the way of the order itself, so
# that one index serves both ways (docs/decisions/0009-indexes.md). Runs without the time that is asked for
# come last on both databases, which differ about it by themselves; every run has a time when it was to start.
FLOW_RUN_ORDERS = {
    FlowRunSort.ID_DESC: "r.id desc",
    FlowRunSort.START_TIME_ASC: "coalesce(r.start_time, r.expected_start_time), r.id",
    FlowRunSort.START_TIME_DESC: "coalesce(r.start_time, r.expected_start_time) desc, r.id desc",
    FlowRunSort.EXPECTED_START_TIME_ASC: "r.expected_start_time, r.id",
    FlowRunSort.EXPECTED_START_TIME_DESC: "r.expected_start_time desc, r.id desc",
    FlowRunSort.NAME_ASC: "r.name, r.id",
    FlowRunSort.NAME_DESC: "r.name desc, r.id desc",
    FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC: "r.next_scheduled_start_time nulls last, r.id",
    FlowRunSort.END_TIME_DESC: "coalesce(r.end_time, 0) desc, r.id desc",
}
TASK_RUN_ORDERS = {sort: FLOW_RUN_ORDERS[FlowRunSort(sort.value)] for sort in TaskRunSort}
NAME_ORDERS = {
    NameSort.CREATED_DESC: "{0}.created desc, {0}.id desc",
    NameSort.UPDATED_DESC: "{0}.updated desc, {0}.id desc",
    NameSort.NAME_ASC: "{0}.name, {0}.id",
    NameSort.NAME_DESC: "{0}.name desc, {0}.id desc",
}
LOG_ORDERS = {
    LogSort.TIMESTAMP_ASC: "g.timestamp, g.cursor",
    LogSort.TIMESTAMP_DESC: "g.timestamp desc, g.cursor desc",
}

ARTIFACT_ORDERS = {
    ArtifactSort.CREATED_DESC: "a.created desc, a.id desc",
    ArtifactSort.UPDATED_DESC: "a.updated desc, a.id desc",
    ArtifactSort.ID_DESC: "a.id desc",
    ArtifactSort.KEY_DESC: "a.key desc nulls last, a.id desc",
    ArtifactSort.KEY_ASC: "a.key nulls last, a.id",
}


async def flows(tx: Transaction, query: queries.FlowQuery, limit: int, offset: int) -> list[Flow]:
    """Return flows, by name unless told otherwise."""
    where = Where()
    condition = where.of_flows(query, "f")
    order = NAME_ORDERS[query.sort or NameSort.NAME_ASC].format("f")
    found = await _page(tx, "select f.* from flows f", where, condition, order, limit, offset)
    return [rows.flow(row) for row in found]


async def deployments_(
    tx: Transaction, query: queries.DeploymentQuery, limit: int, offset: int
) -> list[Deployment]:
    """Return deployments with their schedules, by name unless told otherwise."""
    where = Where()
    condition = where.of_deployments(query, "d")
    order = NAME_ORDERS[query.sort or NameSort.NAME_ASC].format("d")
    found = await _page(tx, DEPLOYMENT, where, condition, order, limit, offset)
    return await deployments.with_schedules(tx, found)


async def flow_runs(tx: Transaction, query: queries.FlowRunQuery, limit: int, offset: int) -> list[FlowRun]:
    """Return flow runs, by id unless told otherwise."""
    where = Where()
    condition = where.of_flow_runs(query, "r")
    order = FLOW_RUN_ORDERS[query.sort or FlowRunSort.ID_DESC]
    found = await _run_page(tx, FLOW_RUN, "flow_runs", where, condition, order, limit, offset)
    return [rows.flow_run(row) for row in found]


async def task_runs(tx: Transaction, query: queries.TaskRunQuery, limit: int, offset: int) -> list[TaskRun]:
    """Return task runs, by id unless told otherwise."""
    where = Where()
    condition = where.of_task_runs(query, "r")
    order = TASK_RUN_ORDERS[query.sort or TaskRunSort.ID_DESC]
    found = await _run_page(tx, TASK_RUN, "task_runs", where, condition, order, limit, offset)
    return [rows.task_run(row) for row in found]


async def logs(tx: Transaction, query: queries.LogQuery, limit: int, offset: int) -> list[LogLine]:
    """Return log lines, the oldest first unless told otherwise."""
    where = Where()
    condition = where.log(query.logs or filters.LogFilter(), "g")
    order = LOG_ORDERS[query.sort or LogSort.TIMESTAMP_ASC]
    found = await _page(tx, "select g.* from logs g", where, condition, order, limit, offset)
    return [rows.log_line(row) for row in found]


async def work_pools(
    tx: Transaction, query: queries.WorkPoolQuery, limit: int, offset: int
) -> list[WorkPool]:
    """Return work pools by name."""
    where = Where()
    condition = where.work_pool(query.work_pools or filters.WorkPoolFilter(), "p")
    found = await _page(tx, "select p.* from work_pools p", where, condition, "p.name", limit, offset)
    return [rows.work_pool(row) for row in found]


async def count_work_pools(tx: Transaction, query: queries.WorkPoolFilters) -> int:
    """Count work pools."""
    where = Where()
    condition = where.work_pool(query.work_pools or filters.WorkPoolFilter(), "p")
    return await _count(tx, "work_pools p", where, condition)


async def workers(
    tx: Transaction, query: queries.WorkerQuery, limit: int, offset: int, pool_name: str
) -> list[Worker]:
    """Return the workers of a pool, the one heard of last first."""
    where = Where()
    condition = where.worker(query.workers or filters.WorkerFilter(), "w")
    condition += f" and p.name = {where.value(pool_name)}"
    select = "select w.* from workers w join work_pools p on p.id = w.work_pool_id"
    order = "w.last_heartbeat_time desc nulls last, w.id desc"
    return [work.worker(row) for row in await _page(tx, select, where, condition, order, limit, offset)]


async def work_queues(
    tx: Transaction, query: queries.WorkQueueQuery, limit: int, offset: int, pool_name: str | None = None
) -> list[WorkQueue]:
    """Return work queues: of all pools by name, of one pool by priority."""
    where = Where()
    condition = where.work_queue(query.work_queues or filters.WorkQueueFilter(), "q")
    order = "q.name, q.id"
    if pool_name is not None:
        condition += f" and p.name = {where.value(pool_name)}"
        order = "q.priority, q.name"
    found = await _page(tx, WORK_QUEUE, where, condition, order, limit, offset)
    return [rows.work_queue(row) for row in found]


async def variables_(
    tx: Transaction, query: queries.VariableQuery, limit: int, offset: int
) -> list[Variable]:
    """Return variables, by name unless told otherwise."""
    where = Where()
    condition = where.variable(query.variables or filters.VariableFilter(), "v")
    order = NAME_ORDERS[query.sort or NameSort.NAME_ASC].format("v")
    found = await _page(tx, "select v.* from variables v", where, condition, order, limit, offset)
    return [variables.variable(row) for row in found]


async def count_variables(tx: Transaction, query: queries.VariableFilters) -> int:
    """Count variables."""
    where = Where()
    condition = where.variable(query.variables or filters.VariableFilter(), "v")
    return await _count(tx, "variables v", where, condition)


async def artifacts_(
    tx: Transaction, query: queries.ArtifactQuery, limit: int, offset: int
) -> list[Artifact]:
    """Return artifacts, by id unless told otherwise."""
    where = Where()
    condition = where.of_artifacts(query, "a")
    order = ARTIFACT_ORDERS[query.sort or ArtifactSort.ID_DESC]
    found = await _page(tx, "select a.* from artifacts a", where, condition, order, limit, offset)
    return [artifacts.artifact(row) for row in found]


async def count_artifacts(tx: Transaction, query: queries.ArtifactFilters) -> int:
    """Count artifacts."""
    where = Where()
    return await _count(tx, "artifacts a", where, where.of_artifacts(query, "a"))


async def latest_artifacts(
    tx: Transaction, query: queries.ArtifactCollectionQuery, limit: int, offset: int
) -> list[ArtifactCollection]:
    """Return the newest artifact of each key, by its id unless told otherwise."""
    where = Where()
    condition = where.of_latest_artifacts(query, "a")
    order = ARTIFACT_ORDERS[query.sort or ArtifactSort.ID_DESC]
    found = await _page(tx, artifacts.LATEST, where, condition, order, limit, offset)
    return [artifacts.collection(row) for row in found]


async def count_latest_artifacts(tx: Transaction, query: queries.ArtifactCollectionFilters) -> int:
    """Count the keys of artifacts."""
    where = Where()
    return await _count(tx, "artifacts a", where, where.of_latest_artifacts(query, "a"))


async def notification_policies(
    tx: Transaction, query: queries.NotificationPolicyQuery, limit: int, offset: int
) -> list[NotificationPolicy]:
    """Return notification policies by id."""
    where, wanted = Where(), query.flow_run_notification_policy_filter
    condition = "true" if wanted is None else where.notification_policy(wanted, "n")
    select = "select n.* from flow_run_notification_policies n"
    found = await _page(tx, select, where, condition, "n.id", limit, offset)
    return [notifications.policy(row) for row in found]


async def _count(tx: Transaction, table: str, where: Where, condition: str) -> int:
    count: int = await tx.fetchval(f"select count(*) from {table} where {condition}", *where.values)
    return count


async def _page(
    tx: Transaction, select: str, where: Where, condition: str, order: str, limit: int, offset: int
) -> list[Row]:
    bounds = f"limit {where.value(limit)} offset {where.value(offset)}"
    return await tx.fetch(f"{select} where {condition} order by {order} {bounds}", *where.values)


async def _run_page(
    tx: Transaction,
    select: str,
    table: str,
    where: Where,
    condition: str,
    order: str,
    limit: int,
    offset: int,
) -> list[Row]:
    """Choose the page, then read its rows: those of runs are too wide to be sorted by the thousand."""
    page = (
        f"select r.id from {table} r where {condition} order by {order}"
        f" limit {where.value(limit)} offset {where.value(offset)}"
    )
    return await tx.fetch(f"{select} where r.id in ({page}) order by {order}", *where.values)
