"""Work pools, their queues and workers, and who has polled for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

from reeve.core.agents import Agent
from reeve.core.work import (
    AGENT_POOL_TYPE,
    DEFAULT_POOL,
    DEFAULT_QUEUE,
    WorkerStatus,
    WorkPool,
    WorkQueue,
    WorkStatus,
)
from reeve.ids import new_id
from reeve.server.storage import rows
from reeve.server.storage.lines import LONG_AGO
from reeve.server.storage.rows import AGENT, WORK_QUEUE
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso, iso_or_none
from reeve.wire.responses import Worker

UNSERVED_AFTER = timedelta(seconds=60)  # api-contract §10, Foreman
REFRESHED_AFTER = timedelta(seconds=30)  # a deployment's last_polled is for people
NAMES_SHOWN = 20
SILENT_BEATS = 3  # a worker is OFFLINE after as many missed heartbeats (api-contract §10)
BEAT_SECONDS = 30  # the heartbeat of a worker that did not say its own

INSERT_POOL = """
insert into work_pools (
    id, created, updated, name, type, description, base_job_template, is_paused, concurrency_limit, status,
    default_queue_id, on_lost, paused_since
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, case when $8 then $2::bigint end)
on conflict (name) do nothing
"""

INSERT_QUEUE = """
insert into work_queues (
    id, created, updated, name, work_pool_id, description, is_paused, concurrency_limit, priority, filter,
    last_polled, status, paused_since
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, case when $7 then $2::bigint end)
on conflict (work_pool_id, name) do nothing
"""

# Pools


async def pool_by_name(tx: Transaction, name: str) -> WorkPool | None:
    """Return the pool of a name."""
    row = await tx.fetchrow("select * from work_pools where name = $1", name)
    return None if row is None else rows.work_pool(row)


async def lock_pool_by_name(tx: Transaction, name: str) -> WorkPool | None:
    """Return the pool of a name, which nobody else changes until this transaction ends."""
    row = await tx.fetchrow("select * from work_pools where name = $1 for no key update", name)
    return None if row is None else rows.work_pool(row)


async def pool_names(tx: Transaction) -> list[str]:
    """Return the first names of pools, to show which there are."""
    found = await tx.fetch(f"select name from work_pools order by name limit {NAMES_SHOWN}")
    return [row["name"] for row in found]


async def insert_pool(tx: Transaction, pool: WorkPool) -> bool:
    """Store a new pool with its default queue, whose id the pool names; False when its name is taken."""
    assert pool.default_queue_id is not None
    inserted = await tx.execute(
        INSERT_POOL,
        pool.id,
        rows.micros(pool.created),
        rows.micros(pool.updated),
        pool.name,
        pool.type,
        pool.description,
        rows.json(pool.base_job_template),
        pool.is_paused,
        pool.concurrency_limit,
        pool.status,
        pool.default_queue_id,
        pool.on_lost,
    )
    if not inserted:
        return False
    queue = WorkQueue(
        id=pool.default_queue_id,
        created=pool.created,
        updated=pool.created,
        name=DEFAULT_QUEUE,
        description="The work pool's default queue.",
        work_pool_id=pool.id,
        work_pool_name=pool.name,
    )
    return await insert_queue(tx, queue)


async def update_pool(tx: Transaction, pool: WorkPool) -> None:
    """Store what may change of a pool."""
    await tx.execute(
        "update work_pools set updated = $2, description = $3, base_job_template = $4, is_paused = $5,"
        " paused_since = case when $5 then coalesce(paused_since, $2) end,"
        " concurrency_limit = $6, status = $7, on_lost = $8 where id = $1",
        pool.id,
        rows.micros(pool.updated),
        pool.description,
        rows.json(pool.base_job_template),
        pool.is_paused,
        pool.concurrency_limit,
        pool.status,
        pool.on_lost,
    )


async def ensure_default_pool(tx: Transaction, now: datetime) -> WorkPool:
    """Return the pool of queues that name none, made on first use (api-contract §2, POST /work_queues/)."""
    known = await pool_by_name(tx, DEFAULT_POOL)
    if known is not None:
        return known
    pool = WorkPool(
        id=new_id(),
        created=now,
        updated=now,
        name=DEFAULT_POOL,
        type=AGENT_POOL_TYPE,
        default_queue_id=new_id(),
    )
    if await insert_pool(tx, pool):
        return pool
    known = await pool_by_name(tx, DEFAULT_POOL)  # another server was first
    assert known is not None
    return known


async def delete_pool(tx: Transaction, pool_id: UUID) -> None:
    """Delete a pool with its queues; who names these keeps their names (api-contract §3)."""
    await tx.execute("delete from work_pools where id = $1", pool_id)


async def has_server(tx: Transaction, pool_id: UUID) -> bool:
    """Say whether a worker was ever, or an agent is now, there for a pool (api-contract §3, PATCH)."""
    found = await tx.fetchval(
        "select 1 where exists (select 1 from workers where work_pool_id = $1)"
        " or exists (select 1 from agents where work_pool_id = $1 and status = 'ONLINE')",
        pool_id,
    )
    return found is not None


# Queues


async def queue(tx: Transaction, queue_id: UUID) -> WorkQueue | None:
    """Return a queue."""
    return _queue(await tx.fetchrow(f"{WORK_QUEUE} where q.id = $1", queue_id))


async def lock_queue(tx: Transaction, queue_id: UUID) -> WorkQueue | None:
    """Return a queue that nobody else changes until this transaction ends."""
    return _queue(await tx.fetchrow(f"{WORK_QUEUE} where q.id = $1 for no key update of q", queue_id))


async def queue_by_name(tx: Transaction, pool_id: UUID, name: str) -> WorkQueue | None:
    """Return a queue of a pool."""
    return _queue(await tx.fetchrow(f"{WORK_QUEUE} where q.work_pool_id = $1 and q.name = $2", pool_id, name))


async def any_queue_by_name(tx: Transaction, name: str) -> WorkQueue | None:
    """Return the oldest queue of a name, whatever its pool."""
    return _queue(await tx.fetchrow(f"{WORK_QUEUE} where q.name = $1 order by q.created, q.id limit 1", name))


async def queues_by_name(tx: Transaction, pool_id: UUID, names: list[str]) -> list[WorkQueue]:
    """Return the queues of a pool that have one of these names."""
    found = await tx.fetch(
        f"{WORK_QUEUE} where q.work_pool_id = $1 and q.name = any($2::text[]) order by q.priority, q.name",
        pool_id,
        names,
    )
    return [rows.work_queue(row) for row in found]


async def insert_queue(tx: Transaction, queue: WorkQueue) -> bool:
    """Store a new queue as it is; False when its name is taken in its pool."""
    inserted = await tx.execute(
        INSERT_QUEUE,
        queue.id,
        rows.micros(queue.created),
        rows.micros(queue.updated),
        queue.name,
        queue.work_pool_id,
        queue.description,
        queue.is_paused,
        queue.concurrency_limit,
        queue.priority,
        rows.json_or_none(queue.filter),
        rows.micros_or_none(queue.last_polled),
        queue.status,
    )
    return bool(inserted)


async def update_queue(tx: Transaction, queue: WorkQueue) -> None:
    """Store what may change of a queue."""
    await tx.execute(
        "update work_queues set updated = $2, name = $3, description = $4, is_paused = $5,"
        " paused_since = case when $5 then coalesce(paused_since, $2) end,"
        " concurrency_limit = $6, priority = $7, filter = $8, last_polled = $9, status = $10 where id = $1",
        queue.id,
        rows.micros(queue.updated),
        queue.name,
        queue.description,
        queue.is_paused,
        queue.concurrency_limit,
        queue.priority,
        rows.json_or_none(queue.filter),
        rows.micros_or_none(queue.last_polled),
        queue.status,
    )


async def rename_queue(tx: Transaction, queue_id: UUID, name: str) -> None:
    """Have deployments and waiting runs show the new name of their queue."""
    await tx.execute("update deployments set work_queue_name = $2 where work_queue_id = $1", queue_id, name)
    await tx.execute(
        "update flow_runs set work_queue_name = $2 where work_queue_id = $1 and state_type = 'SCHEDULED'",
        queue_id,
        name,
    )


async def delete_queue(tx: Transaction, queue_id: UUID) -> None:
    """Delete a queue; who names it keeps its name."""
    await tx.execute("delete from work_queues where id = $1", queue_id)


async def is_default_queue(tx: Transaction, queue_id: UUID) -> bool:
    """Say whether a queue is the one that its pool falls back on."""
    found = await tx.fetchval("select 1 from work_pools where default_queue_id = $1", queue_id)
    return found is not None


async def late_runs(tx: Transaction, queue_id: UUID) -> int:
    """Count the runs of a queue that should have started."""
    count: int = await tx.fetchval(
        "select count(*) from flow_runs where work_queue_id = $1 and state_type || '' = 'SCHEDULED'"
        f" and attempt_id is null and state_name = 'Late' and next_scheduled_start_time >= {LONG_AGO}",
        queue_id,
    )
    return count


async def ensure_queue(tx: Transaction, pool_id: UUID | None, name: str, now: datetime) -> WorkQueue:
    """Return a queue of a pool, or of the default pool; it is made if it is not there.

    In the default pool it becomes the first of its pool, elsewhere the last (api-contract §3).
    """
    first = pool_id is None
    if pool_id is None:
        pool_id = (await ensure_default_pool(tx, now)).id
    known = await queue_by_name(tx, pool_id, name)
    if known is not None:
        return known
    made = await add_queue(tx, pool_id, name, now, priority=1 if first else None)
    if made is None:  # another server was first
        made = await queue_by_name(tx, pool_id, name)
    assert made is not None
    return made


async def add_queue(
    tx: Transaction,
    pool_id: UUID,
    name: str,
    now: datetime,
    *,
    priority: int | None = None,
    description: str = "",
    is_paused: bool = False,
    concurrency_limit: int | None = None,
    filter: dict[str, object] | None = None,  # noqa: A002  # the field's name
) -> WorkQueue | None:
    """Make a queue; a priority that is taken shifts the others, none means the first free one.

    None when the name is taken in the pool.
    """
    taken = await priorities(tx, pool_id)
    queue = WorkQueue(
        id=new_id(),
        created=now,
        updated=now,
        name=name,
        work_pool_id=pool_id,
        work_pool_name=await tx.fetchval("select name from work_pools where id = $1", pool_id),
        description=description,
        is_paused=is_paused,
        concurrency_limit=concurrency_limit,
        priority=priority or _first_free(taken.values()),
        filter=filter,
        status=WorkStatus.PAUSED if is_paused else WorkStatus.NOT_READY,
    )
    if not await insert_queue(tx, queue):
        return None
    await shift(tx, taken, queue.priority)
    return queue


async def priorities(tx: Transaction, pool_id: UUID) -> dict[UUID, int]:
    """Lock a pool's order, and return the priority of each of its queues."""
    await tx.execute("select id from work_pools where id = $1 for no key update", pool_id)
    found = await tx.fetch("select id, priority from work_queues where work_pool_id = $1", pool_id)
    return {rows.uuid(row["id"]): row["priority"] for row in found}


async def shift(tx: Transaction, others: dict[UUID, int], priority: int) -> None:
    """Move queues out of the way of one that takes ``priority``."""
    moved = shifted(others, priority)
    await tx.executemany(
        "update work_queues set priority = $2 where id = $1", [(key, to) for key, to in moved.items()]
    )


# Who has polled


async def polled(tx: Transaction, queue_ids: list[UUID], now: datetime) -> None:
    """Note that queues were polled: they, and the deployments that wait there, are READY."""
    await tx.execute(
        "update work_queues set last_polled = $2,"
        " status = case when status = 'NOT_READY' then 'READY' else status end where id = any($1::uuid[])",
        queue_ids,
        rows.micros(now),
    )
    await tx.execute(
        "update deployments set last_polled = $2, status = 'READY' where work_queue_id = any($1::uuid[])"
        " and (status <> 'READY' or last_polled is null or last_polled < $3)",
        queue_ids,
        rows.micros(now),
        rows.micros(now - REFRESHED_AFTER),
    )


async def polled_by_agents(tx: Transaction, agent_ids: list[UUID], now: datetime) -> None:
    """Note that the queues of these agents are being polled; an open poll is one all the while."""
    found = await tx.fetch(f"{AGENT} where a.id = any($1::uuid[])", agent_ids)
    agents = [rows.agent(row) for row in found]
    pool_ids = list({agent.work_pool_id for agent in agents})
    queues = [
        rows.work_queue(row)
        for row in await tx.fetch(f"{WORK_QUEUE} where q.work_pool_id = any($1::uuid[])", pool_ids)
    ]
    served = [queue.id for queue in queues if any(_serves(agent, queue) for agent in agents)]
    if served:
        await polled(tx, served, now)
    await pools_served(tx, pool_ids)


async def pools_served(tx: Transaction, pool_ids: list[UUID]) -> None:
    """Note that somebody is there for these pools."""
    await tx.execute(
        "update work_pools set status = 'READY' where id = any($1::uuid[]) and status = 'NOT_READY'", pool_ids
    )


async def unserved(tx: Transaction, now: datetime) -> None:
    """Note who has not been heard of, and what nobody polls any more (api-contract §10, Foreman)."""
    long_ago = rows.micros(now - UNSERVED_AFTER)
    await tx.execute(
        "update workers set status = 'OFFLINE' where status = 'ONLINE' and last_heartbeat_time <"
        f" $1 - coalesce(heartbeat_interval_seconds, {BEAT_SECONDS}) * {SILENT_BEATS} * 1000000",
        rows.micros(now),
    )
    await tx.execute(
        "update work_pools set status = 'NOT_READY' where status = 'READY' and not exists"
        " (select 1 from workers w where w.work_pool_id = work_pools.id and w.status = 'ONLINE')"
        " and not exists"
        " (select 1 from agents a where a.work_pool_id = work_pools.id and a.status = 'ONLINE')"
    )
    await tx.execute(
        "update work_queues set status = 'NOT_READY' where status = 'READY'"
        " and (last_polled is null or last_polled < $1)",
        long_ago,
    )
    await tx.execute(
        "update deployments set status = 'NOT_READY' where status = 'READY'"
        " and (last_polled is null or last_polled < $1) and not exists"
        " (select 1 from work_queues q where q.id = deployments.work_queue_id and q.last_polled >= $1)",
        long_ago,
    )


async def worker_heard(
    tx: Transaction, pool_id: UUID, name: str, interval_seconds: int | None, now: datetime
) -> None:
    """Note the heartbeat of a worker, which is made by its first."""
    await tx.execute(
        "insert into workers (id, created, updated, name, work_pool_id, last_heartbeat_time,"
        " heartbeat_interval_seconds, status) values ($1, $2, $2, $3, $4, $2, $5, 'ONLINE')"
        " on conflict (work_pool_id, name) do update set updated = excluded.updated,"
        " last_heartbeat_time = excluded.last_heartbeat_time, status = 'ONLINE',"
        " heartbeat_interval_seconds ="
        " coalesce(excluded.heartbeat_interval_seconds, workers.heartbeat_interval_seconds)",
        new_id(),
        rows.micros(now),
        name,
        pool_id,
        interval_seconds,
    )


async def delete_worker(tx: Transaction, pool_id: UUID, name: str) -> bool:
    """Delete a worker; False when there is none."""
    deleted = await tx.execute("delete from workers where work_pool_id = $1 and name = $2", pool_id, name)
    return bool(deleted)


def worker(row: Row) -> Worker:
    """Read a worker."""
    return Worker(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        name=row["name"],
        work_pool_id=rows.uuid(row["work_pool_id"]),
        last_heartbeat_time=iso_or_none(rows.instant_or_none(row["last_heartbeat_time"])),
        heartbeat_interval_seconds=row["heartbeat_interval_seconds"],
        status=WorkerStatus(row["status"]),
    )


def _queue(row: Row | None) -> WorkQueue | None:
    return None if row is None else rows.work_queue(row)


def shifted(others: Mapping[UUID, int], priority: int) -> dict[UUID, int]:
    """Return the new priorities of those that must make room for one; as few as possible, in order."""
    taken, moved = {priority}, {}
    for key, own in sorted(others.items(), key=lambda item: item[1]):
        free = next(rank for rank in count(own) if rank not in taken)
        taken.add(free)
        if free != own:
            moved[key] = free
    return moved


def _first_free(taken: Collection[int]) -> int:
    return next(rank for rank in count(1) if rank not in taken)


def _serves(agent: Agent, queue: WorkQueue) -> bool:
    if agent.work_pool_id != queue.work_pool_id:
        return False
    if not agent.queues and not agent.prefixes:
        return True
    begins = queue.name.lower().startswith(tuple(prefix.lower() for prefix in agent.prefixes))
    return queue.name in agent.queues or begins
