"""Explain a run: gather what bears on it; the sentences are ``core.explain``'s."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from reeve.core import explain as core
from reeve.errors import NotFoundError
from reeve.server.services.claims import served
from reeve.server.services.context import Context
from reeve.server.storage import agents, attempts, claims, runs
from reeve.wire import responses

if TYPE_CHECKING:
    from reeve.core.runs import FlowRun
    from reeve.server.storage.store import Transaction


async def explain(ctx: Context, run_id: UUID) -> responses.Explanation:
    """Say why a run is where it is. Raises NotFoundError."""

    async def look(tx: Transaction) -> responses.Explanation:
        run = await runs.read(tx, run_id)
        if run is None:
            raise NotFoundError("Flow run not found")
        account = core.explain(await _circumstances(tx, run), await tx.now())
        return responses.Explanation(
            flow_run_id=run.id,
            state=run.state.name if run.state else "none",
            summary=account.summary,
            reasons=account.reasons,
            remedies=account.remedies,
        )

    return await ctx.store.read(look)


async def _circumstances(tx: Transaction, run: FlowRun) -> core.Circumstances:
    tried = await attempts.of_run(tx, run.id)
    attempt = next((each for each, _ in tried if each.is_open), None)
    pool = await claims.pool(tx, run.work_pool_id) if run.work_pool_id else None
    queues = await claims.queues(tx, pool.id) if pool else []
    queue = next((each for each in queues if each.id == run.work_queue_id), None)
    serving = []
    limits = []
    if pool and queue:
        # Paused or not, who serves the queue is to be named.
        line = [queue] if not queue.is_paused else []
        serving = [
            each for each in await agents.of_pool(tx, pool.id) if served(each, line) or queue.is_paused
        ]
        limits = [await claims.pool_limit(tx, pool), await claims.queue_limit(tx, queue)]
    return core.Circumstances(
        run=run,
        attempt=attempt,
        attempts=len(tried),
        holder=await agents.read(tx, attempt.agent_id) if attempt and attempt.agent_id else None,
        pool=pool,
        queue=queue,
        limits=limits,
        serving=serving,
        ahead=await runs.ahead_of(tx, run) if queue else 0,
    )
