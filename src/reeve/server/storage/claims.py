"""What a claim goes by: pools and queues, what agents can launch, and limits (protocol §2).

Limits are locked first, and counted in a later statement.

Counting in the statement that locks would read a snapshot older than the lock: three claimers then fill
seven of five places.
"""

from __future__ import annotations

from uuid import UUID

from reeve.core.system_blocks import RUNS
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


async def foreign_documents(tx: Transaction, kinds: list[str]) -> list[UUID]:
    """Return the infrastructure documents whose types are none of these."""
    found = await tx.fetch(
        "select d.id from block_documents d join block_schemas s on s.id = d.block_schema_id"
        " join block_types t on t.id = d.block_type_id"
        " where t.slug <> all($1::text[]) and s.capabilities @> $2::jsonb",
        kinds,
        rows.json([*RUNS]),
    )
    return [rows.uuid(row["id"]) for row in found]


async def document_kind(tx: Transaction, document_id: UUID) -> str | None:
    """Return the type of a block document; None: there is none."""
    slug: str | None = await tx.fetchval(
        "select t.slug from block_documents d join block_types t on t.id = d.block_type_id where d.id = $1",
        document_id,
    )
    return slug


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
