"""The limits of a claim: locked first, counted in a later statement (protocol §2).

Counting in the statement that locks would read a snapshot older than the lock: three claimers then fill
seven of five places.
"""

from __future__ import annotations

from uuid import UUID

from reeve.core.work import Limit, WorkPool, WorkQueue
from reeve.server.storage import attempts, rows
from reeve.server.storage.rows import WORK_QUEUE
from reeve.server.storage.store import Transaction


async def pool(tx: Transaction, pool_id: UUID) -> WorkPool | None:
    """Return a pool."""
    row = await tx.fetchrow("select * from work_pools where id = $1", pool_id)
    return None if row is None else rows.work_pool(row)


async def queues(tx: Transaction, pool_id: UUID) -> list[WorkQueue]:
    """Return the queues of a pool, first priority first."""
    found = await tx.fetch(f"{WORK_QUEUE} where q.work_pool_id = $1 order by q.priority, q.name", pool_id)
    return [rows.work_queue(row) for row in found]


async def lock_pool(tx: Transaction, pool: WorkPool) -> Limit:
    """Lock a pool that has a limit, then count its open attempts. An unlimited one takes no lock."""
    if pool.concurrency_limit is not None:
        await tx.execute("select id from work_pools where id = $1 for no key update", pool.id)
    return await pool_limit(tx, pool)


async def lock_queue(tx: Transaction, queue: WorkQueue) -> Limit:
    """Lock a queue that has a limit, then count its open attempts. Pools are locked before queues."""
    if queue.concurrency_limit is not None:
        await tx.execute("select id from work_queues where id = $1 for no key update", queue.id)
    return await queue_limit(tx, queue)


async def pool_limit(tx: Transaction, pool: WorkPool) -> Limit:
    """Return the limit of a pool as it is now."""
    name = f"work pool {pool.name!r}"
    if pool.concurrency_limit is None:
        return Limit(name, None, 0)
    size: int | None = await tx.fetchval("select concurrency_limit from work_pools where id = $1", pool.id)
    return Limit(name, size, await attempts.occupancy(tx, pool_id=pool.id))


async def queue_limit(tx: Transaction, queue: WorkQueue) -> Limit:
    """Return the limit of a queue as it is now."""
    name = f"work queue {queue.name!r}"
    if queue.concurrency_limit is None:
        return Limit(name, None, 0)
    size: int | None = await tx.fetchval("select concurrency_limit from work_queues where id = $1", queue.id)
    return Limit(name, size, await attempts.occupancy(tx, queue_id=queue.id))
