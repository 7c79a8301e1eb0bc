"""Runs that wait, as the polls of 2.20 agents, workers and ``serve`` are shown them (api-contract §9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct, convert

from reeve.core.work import Limit, WorkPool, WorkQueue, WorkStatus, grantable
from reeve.errors import NotFoundError
from reeve.server.services.context import Context
from reeve.server.services.work import TagFilter, existing, pool_named
from reeve.server.storage import claims, deployments, waiting, work

if TYPE_CHECKING:
    from reeve.core.runs import FlowRun
    from reeve.server.storage.store import Transaction

# Polls are noted at most this often: a poll with no work costs no write (design §5).
NOTED_EVERY = timedelta(seconds=10)


class _Poll(Struct, frozen=True):
    """What a poll found, and which of the queues it was for are to be noted as polled."""

    runs: list[FlowRun]
    unnoted: list[UUID]


async def queue_runs(
    ctx: Context, queue_id: UUID, *, before: datetime | None, limit: int, noted: bool = True
) -> list[FlowRun]:
    """Return the runs of a queue that a 2.20 agent may start now; ``noted`` False leaves no trace.

    Joined by id (W13); none of a paused pool (W14); no more than every limit has room for; none that an
    attempt holds or that waits in its own process (W3). Raises NotFoundError.
    """

    async def look(tx: Transaction) -> _Poll:
        queue = existing(await work.queue(tx, queue_id), f"Work queue with id {queue_id} not found.")
        now = await tx.now()
        return _Poll(await _runs_of(tx, queue, before, limit), _unnoted([queue], now))

    poll = await ctx.store.read(look)
    if noted and poll.unnoted:
        await ctx.store.write(lambda tx: _note(tx, poll.unnoted))
    return poll.runs


async def pool_runs(
    ctx: Context,
    pool_name: str,
    queue_names: list[str],
    *,
    before: datetime | None,
    after: datetime | None,
    limit: int,
) -> list[FlowRun]:
    """Return the runs of a pool that a 2.20 worker may start now, by priority of their queues, then time.

    Without names of all queues. Raises NotFoundError for the pool, or for one of the names.
    """

    async def look(tx: Transaction) -> _Poll:
        pool = await pool_named(tx, pool_name)
        queues = await _queues(tx, pool, queue_names)
        found: list[FlowRun] = []
        left = 0 if pool.is_paused else grantable(limit, await claims.pool_limit(tx, pool))
        for _, rank in groupby(queues, lambda queue: queue.priority):
            if left > len(found):
                found += await _runs_of_rank(tx, list(rank), before, after, left - len(found))
        return _Poll(found, _unnoted(queues, await tx.now()))

    poll = await ctx.store.read(look)
    if poll.unnoted:
        await ctx.store.write(lambda tx: _note(tx, poll.unnoted))
    return poll.runs


async def deployment_runs(
    ctx: Context, deployment_ids: list[UUID], *, before: datetime | None, limit: int
) -> list[FlowRun]:
    """Return the runs of deployments that a 2.20 ``serve`` may start now."""

    async def look(tx: Transaction) -> tuple[list[FlowRun], bool]:
        found: list[FlowRun] = []
        for deployment_id in set(deployment_ids):
            found += await waiting.of_deployment(tx, deployment_id, before=before, limit=limit)
        stale = await deployments.polled_before(tx, deployment_ids, await tx.now() - NOTED_EVERY)
        return sorted(found, key=_by_time)[:limit], stale

    async def note(tx: Transaction) -> None:
        now = await tx.now()
        await deployments.polled(tx, deployment_ids, now, now - NOTED_EVERY)

    runs, stale = await ctx.store.read(look)
    if stale:
        await ctx.store.write(note)
    return runs


async def _runs_of(tx: Transaction, queue: WorkQueue, before: datetime | None, limit: int) -> list[FlowRun]:
    pool = await claims.pool(tx, queue.work_pool_id)
    if pool is None or pool.is_paused or queue.is_paused:
        return []
    limits = [await claims.pool_limit(tx, pool)]
    if queue.filter is None:
        limits.append(await claims.queue_limit(tx, queue))
        room = grantable(limit, *limits)
        return await waiting.of_queue(tx, queue.id, before=before, limit=room) if room else []
    by = convert(queue.filter, TagFilter)
    tags = by.tags or []
    occupied = await waiting.executing_tagged(tx, tags, by.deployment_ids)
    room = grantable(limit, *limits, Limit(queue.name, queue.concurrency_limit, occupied))
    return await waiting.tagged(tx, tags, by.deployment_ids, before=before, limit=room) if room else []


async def _runs_of_rank(
    tx: Transaction, queues: list[WorkQueue], before: datetime | None, after: datetime | None, left: int
) -> list[FlowRun]:
    """Return the first runs of queues of one priority, each within its own limit."""
    found: list[FlowRun] = []
    for queue in queues:
        room = 0 if queue.is_paused else grantable(left, await claims.queue_limit(tx, queue))
        if room:
            found += await waiting.of_queue(tx, queue.id, before=before, after=after, limit=room)
    return sorted(found, key=_by_time)[:left]


def _by_time(run: FlowRun) -> tuple[datetime, UUID]:
    assert run.next_scheduled_start_time is not None
    return run.next_scheduled_start_time, run.id


def _unnoted(queues: list[WorkQueue], now: datetime) -> list[UUID]:
    return [
        queue.id
        for queue in queues
        if queue.last_polled is None
        or now - queue.last_polled >= NOTED_EVERY
        or queue.status is WorkStatus.NOT_READY
    ]


async def _note(tx: Transaction, queue_ids: list[UUID]) -> None:
    await work.polled(tx, queue_ids, await tx.now())


async def _queues(tx: Transaction, pool: WorkPool, names: list[str]) -> list[WorkQueue]:
    if not names:
        return await claims.queues(tx, pool.id)
    queues = await work.queues_by_name(tx, pool.id, names)
    missing = set(names) - {queue.name for queue in queues}
    if missing:
        raise NotFoundError(f"Work pool queue '{pool.name}/{min(missing)}' not found.")
    return queues
