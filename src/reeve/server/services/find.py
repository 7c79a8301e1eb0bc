"""Listings by filter, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reeve.errors import NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import find, work

if TYPE_CHECKING:
    from reeve.core.deployments import Deployment, Flow
    from reeve.core.logs import LogLine
    from reeve.core.runs import FlowRun, TaskRun
    from reeve.core.work import WorkPool, WorkQueue
    from reeve.server.storage.store import Transaction
    from reeve.wire import queries
    from reeve.wire.responses import Artifact, ArtifactCollection, NotificationPolicy, Variable, Worker


async def flows(ctx: Context, query: queries.FlowQuery, limit: int, offset: int) -> list[Flow]:
    """Return the flows that match."""
    return await ctx.store.read(lambda tx: find.flows(tx, query, limit, offset))


async def deployments(
    ctx: Context, query: queries.DeploymentQuery, limit: int, offset: int
) -> list[Deployment]:
    """Return the deployments that match."""
    return await ctx.store.read(lambda tx: find.deployments_(tx, query, limit, offset))


async def flow_runs(ctx: Context, query: queries.FlowRunQuery, limit: int, offset: int) -> list[FlowRun]:
    """Return the flow runs that match."""
    return await ctx.store.read(lambda tx: find.flow_runs(tx, query, limit, offset))


async def task_runs(ctx: Context, query: queries.TaskRunQuery, limit: int, offset: int) -> list[TaskRun]:
    """Return the task runs that match."""
    return await ctx.store.read(lambda tx: find.task_runs(tx, query, limit, offset))


async def logs(ctx: Context, query: queries.LogQuery, limit: int, offset: int) -> list[LogLine]:
    """Return the log lines that match."""
    return await ctx.store.read(lambda tx: find.logs(tx, query, limit, offset))


async def work_pools(ctx: Context, query: queries.WorkPoolQuery, limit: int, offset: int) -> list[WorkPool]:
    """Return the work pools that match."""
    return await ctx.store.read(lambda tx: find.work_pools(tx, query, limit, offset))


async def count_work_pools(ctx: Context, query: queries.WorkPoolFilters) -> int:
    """Count the work pools that match."""
    return await ctx.store.read(lambda tx: find.count_work_pools(tx, query))


async def workers(
    ctx: Context, pool_name: str, query: queries.WorkerQuery, limit: int, offset: int
) -> list[Worker]:
    """Return the workers of a pool that match; raises NotFoundError for an unknown pool."""

    async def look(tx: Transaction) -> list[Worker]:
        await _check_pool(tx, pool_name)
        return await find.workers(tx, query, limit, offset, pool_name)

    return await ctx.store.read(look)


async def work_queues(
    ctx: Context, query: queries.WorkQueueQuery, limit: int, offset: int
) -> list[WorkQueue]:
    """Return the work queues of all pools that match."""
    return await ctx.store.read(lambda tx: find.work_queues(tx, query, limit, offset))


async def pool_queues(
    ctx: Context, pool_name: str, query: queries.WorkQueueQuery, limit: int, offset: int
) -> list[WorkQueue]:
    """Return the queues of a pool that match, by priority; raises NotFoundError for an unknown pool."""

    async def look(tx: Transaction) -> list[WorkQueue]:
        await _check_pool(tx, pool_name)
        return await find.work_queues(tx, query, limit, offset, pool_name)

    return await ctx.store.read(look)


async def variables_(ctx: Context, query: queries.VariableQuery, limit: int, offset: int) -> list[Variable]:
    """Return the variables that match."""
    return await ctx.store.read(lambda tx: find.variables_(tx, query, limit, offset))


async def count_variables(ctx: Context, query: queries.VariableFilters) -> int:
    """Count the variables that match."""
    return await ctx.store.read(lambda tx: find.count_variables(tx, query))


async def artifacts_(ctx: Context, query: queries.ArtifactQuery, limit: int, offset: int) -> list[Artifact]:
    """Return the artifacts that match."""
    return await ctx.store.read(lambda tx: find.artifacts_(tx, query, limit, offset))


async def count_artifacts(ctx: Context, query: queries.ArtifactFilters) -> int:
    """Count the artifacts that match."""
    return await ctx.store.read(lambda tx: find.count_artifacts(tx, query))


async def latest_artifacts(
    ctx: Context, query: queries.ArtifactCollectionQuery, limit: int, offset: int
) -> list[ArtifactCollection]:
    """Return the newest artifact of each key that match."""
    return await ctx.store.read(lambda tx: find.latest_artifacts(tx, query, limit, offset))


async def count_latest_artifacts(ctx: Context, query: queries.ArtifactCollectionFilters) -> int:
    """Count the keys whose newest artifact matches."""
    return await ctx.store.read(lambda tx: find.count_latest_artifacts(tx, query))


async def notification_policies(
    ctx: Context, query: queries.NotificationPolicyQuery, limit: int, offset: int
) -> list[NotificationPolicy]:
    """Return the notification policies that match."""
    return await ctx.store.read(lambda tx: find.notification_policies(tx, query, limit, offset))


async def _check_pool(tx: Transaction, name: str) -> None:
    if await work.pool_by_name(tx, name) is None:
        raise NotFoundError(f'Work pool "{name}" not found.')
