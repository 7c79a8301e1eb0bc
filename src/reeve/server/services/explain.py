"""Explain a run: gather what bears on it; the sentences are ``core.explain``'s."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec.structs import replace

from reeve.core import explain as core
from reeve.errors import NotFoundError
from reeve.server.services.claims import missing_driver, served
from reeve.server.services.context import Context
from reeve.server.storage import agents, attempts, claims, deployments, runs, schedule_policies, waiting
from reeve.wire import responses

if TYPE_CHECKING:
    from datetime import datetime

    from reeve.core.deployments import Deployment
    from reeve.core.runs import FlowRun
    from reeve.core.work import Limit, WorkPool, WorkQueue
    from reeve.server.storage.attempts import Holding
    from reeve.server.storage.store import Transaction


async def explain(ctx: Context, run_id: UUID) -> responses.Explanation:
    """Say why a run is where it is. Raises NotFoundError."""

    async def look(tx: Transaction) -> responses.Explanation:
        run = await runs.read(tx, run_id)
        if run is None:
            raise NotFoundError("Flow run not found")
        now = await tx.now()
        account = core.explain(await _circumstances(tx, run, now), now)
        return responses.Explanation(
            flow_run_id=run.id,
            state=run.state.name if run.state else "none",
            summary=account.summary,
            causes=[responses.Cause(kind=one.kind, sentence=one.sentence) for one in account.causes],
            notes=account.notes,
            remedies=account.remedies,
        )

    return await ctx.store.read(look)


async def _circumstances(tx: Transaction, run: FlowRun, now: datetime) -> core.Circumstances:
    tried = await attempts.of_run(tx, run.id)
    attempt = next((each for each, _ in tried if each.is_open), None)
    seen = core.Circumstances(
        run=run,
        attempt=attempt,
        attempts=len(tried),
        holder=await agents.read(tx, attempt.agent_id) if attempt and attempt.agent_id else None,
        deployment=await deployments.read(tx, run.deployment_id) if run.deployment_id else None,
    )
    pool = await claims.pool(tx, run.work_pool_id) if run.work_pool_id else None
    queues = await claims.queues(tx, pool.id) if pool else []
    queue = next((each for each in queues if each.id == run.work_queue_id), None)
    if pool is None or queue is None:
        return seen
    first = [each.id for each in queues[: queues.index(queue)] if await _is_served(tx, each)]
    limits = await _limits(tx, pool, queue, seen.deployment)
    serving = await _serving(tx, run, seen.deployment, pool, queue)
    # A place that comes free here may be one that runs ahead wait for as well: they would take it first.
    crowded = any(one.limit.free == 0 for one in limits) or any(one.is_full for one in serving)
    return replace(
        seen,
        pool=pool,
        queue=queue,
        limits=limits,
        serving=serving,
        behind=await _earlier_run(tx, run),
        ahead=await waiting.ahead_of(tx, run, blocked_too=crowded),
        ahead_elsewhere=await waiting.due_in(tx, first, now, blocked_too=crowded),
    )


async def _limits(
    tx: Transaction, pool: WorkPool, queue: WorkQueue, deployment: Deployment | None
) -> list[core.Occupied]:
    """Return the limits that a run needs a place in."""
    needed: list[tuple[Limit, Holding, UUID, str]] = [
        (await claims.pool_limit(tx, pool), "work_pool_id", pool.id, f"reeve pools set-limit {pool.name} N"),
        (
            await claims.queue_limit(tx, queue),
            "work_queue_id",
            queue.id,
            f"reeve queues set-limit {queue.name} N -p {pool.name}",
        ),
    ]
    if deployment is not None:
        again = f"reeve deploy … -n {deployment.name} --concurrency-limit N"
        own = await claims.deployment_limits(tx, [deployment.id])
        needed += [(limit, "deployment_id", key, again) for key, limit in own.items()]
    return [await _occupied(tx, *one) for one in needed]


async def _earlier_run(tx: Transaction, run: FlowRun) -> str | None:
    """Return the name of the run that holds back a run of the same schedule."""
    schedule_id = await schedule_policies.schedule_of_held(tx, run.id)
    if schedule_id is None:
        return None
    found = await schedule_policies.runs_of(tx, schedule_id)
    first = min(found.waiting, key=lambda one: (one.due, one.id), default=None)
    if found.begun:
        return found.begun[0].name
    earlier = await runs.read(tx, first.id) if first else None
    return earlier.name if earlier and earlier.id != run.id else None


async def _is_served(tx: Transaction, queue: WorkQueue) -> bool:
    """Whether runs of a queue can be granted: blocked ones block nobody."""
    return not queue.is_paused and (await claims.queue_limit(tx, queue)).free != 0


async def _occupied(tx: Transaction, limit: Limit, column: Holding, key: UUID, set_by: str) -> core.Occupied:
    holders = await attempts.holders(tx, column, key) if limit.free == 0 else []
    return core.Occupied(limit, holders, set_by)


async def _serving(
    tx: Transaction, run: FlowRun, deployment: Deployment | None, pool: WorkPool, queue: WorkQueue
) -> list[core.Serving]:
    """Return who serves a queue, with what they hold; paused or not, they are to be named."""
    line = [replace(queue, is_paused=False)]
    return [
        core.Serving(
            agent,
            await attempts.held_count(tx, agent.id),
            await attempts.holders(tx, "agent_id", agent.id),
            await missing_driver(tx, agent, pool, run, deployment),
        )
        for agent in await agents.of_pool(tx, pool.id)
        if served(agent, line)
    ]
