"""Work pools and queues: made, changed, deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import UNSET, Struct, convert
from msgspec.structs import replace

from reeve.core.names import check_name
from reeve.core.work import (
    AGENT_POOL_TYPE,
    DEFAULT_POOL,
    DEFAULT_QUEUE,
    WorkPool,
    WorkQueue,
    WorkStatus,
)
from reeve.errors import ConflictError, InvalidInputError, NotFoundError, ReservedError
from reeve.ids import new_id
from reeve.server.services.context import Context
from reeve.server.services.hub import agent_topic, pool_topic
from reeve.server.storage import agents, attempts, work
from reeve.wire.codec import iso_or_none
from reeve.wire.responses import WorkQueueHealthPolicy, WorkQueueStatusDetail

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import (
        PoolOptions,
        WorkerHeartbeat,
        WorkPoolCreate,
        WorkPoolUpdate,
        WorkQueueCreate,
        WorkQueueUpdate,
    )

POLLED_WITHIN = timedelta(seconds=60)  # of a queue that is READY (api-contract §2, PATCH)
PROTECTED = "prefect"  # the beginning of names that 2.20 keeps for itself (api-contract §3)


class BlankNameError(InvalidInputError):
    """A work pool needs a name."""


class TagFilter(Struct):
    """What a queue of 2.x takes instead of its own runs (api-contract §5.1, QueueFilter)."""

    tags: list[str] | None = None
    deployment_ids: list[UUID] | None = None


# Pools


async def create_pool(ctx: Context, body: WorkPoolCreate) -> WorkPool:
    """Make a pool with its queue ``default``.

    Raises InvalidInputError for its name, ReservedError for a name that 2.20 keeps for itself,
    ConflictError for one that is taken.
    """
    check_name("work pool", body.name)
    if not body.name.strip():
        raise BlankNameError
    _check_unprotected(body.name, "")
    _check_template(body.base_job_template)

    async def insert(tx: Transaction) -> WorkPool:
        now = await tx.now()
        pool = WorkPool(
            id=new_id(),
            created=now,
            updated=now,
            name=body.name,
            type=body.type,
            description=body.description,
            base_job_template=body.base_job_template,
            is_paused=body.is_paused,
            concurrency_limit=body.concurrency_limit,
            status=_pool_status(body.type, paused=body.is_paused, served=False),
            default_queue_id=new_id(),
        )
        if not await work.insert_pool(tx, pool):
            raise ConflictError("A work pool with this name already exists.")
        return pool

    return await ctx.store.write(insert)


async def read_pool(ctx: Context, name: str) -> WorkPool:
    """Return a pool; raises NotFoundError."""
    return await ctx.store.read(lambda tx: pool_named(tx, name))


async def update_pool(ctx: Context, name: str, body: WorkPoolUpdate) -> None:
    """Change what was sent of a pool.

    Raises NotFoundError, and ReservedError for more than pause and limit of a pool that 2.20 keeps.
    """
    fixed = (body.description, body.base_job_template)
    if any(value is not UNSET for value in fixed):
        _check_unprotected(name, " and can only be updated to set concurrency limits or pause")
    if isinstance(body.base_job_template, dict):
        _check_template(body.base_job_template)

    async def change(tx: Transaction) -> None:
        pool = await work.lock_pool_by_name(tx, name)
        if pool is None:
            raise _no_pool(name)
        changed = replace(
            pool,
            updated=await tx.now(),
            description=_sent(body.description, pool.description, None),
            base_job_template=_sent(body.base_job_template, pool.base_job_template, {}),
            is_paused=_sent(body.is_paused, pool.is_paused, pool.is_paused),
            concurrency_limit=_sent(body.concurrency_limit, pool.concurrency_limit, None),
        )
        if changed.is_paused != pool.is_paused:
            served = await work.has_server(tx, pool.id)
            changed = replace(
                changed, status=_pool_status(pool.type, paused=changed.is_paused, served=served)
            )
        await work.update_pool(tx, changed)
        tx.wake(pool_topic(pool.id))

    await ctx.store.write(change)


async def set_pool_options(ctx: Context, name: str, body: PoolOptions) -> WorkPool:
    """Set what reeve adds to a pool; raises NotFoundError."""

    async def change(tx: Transaction) -> WorkPool:
        pool = await work.lock_pool_by_name(tx, name)
        if pool is None:
            raise _no_pool(name)
        pool = replace(pool, on_lost=body.on_lost, updated=await tx.now())
        await work.update_pool(tx, pool)
        return pool

    return await ctx.store.write(change)


async def delete_pool(ctx: Context, name: str) -> None:
    """Delete a pool with its queues; deployments and runs keep the names of these.

    Raises NotFoundError, ReservedError for a pool that 2.20 keeps, and ConflictError while agents hold runs
    of it: with the pool their agents would go, and nobody could tell what became of the runs.
    """
    _check_unprotected(name, " and can not be deleted")

    async def delete(tx: Transaction) -> None:
        pool = await work.lock_pool_by_name(tx, name)
        if pool is None:
            raise _no_pool(name)
        held = await attempts.held_in_pool(tx, pool.id)
        if held:
            raise ConflictError(
                f"Agents hold {held} runs of the work pool {name!r}. Cancel them, or wait until they end."
            )
        for agent in await agents.of_pool(tx, pool.id):
            tx.wake(agent_topic(agent.id))  # it goes with its pool
        await work.delete_pool(tx, pool.id)

    await ctx.store.write(delete)


async def hear_worker(ctx: Context, pool_name: str, body: WorkerHeartbeat) -> None:
    """Note the heartbeat of a 2.20 worker; raises NotFoundError for an unknown pool."""

    async def note(tx: Transaction) -> None:
        pool = await pool_named(tx, pool_name)
        beat = body.heartbeat_interval_seconds
        seconds = None if beat is None else int(beat)
        await work.worker_heard(tx, pool.id, body.name, seconds, await tx.now())
        await work.pools_served(tx, [pool.id])

    await ctx.store.write(note)


async def delete_worker(ctx: Context, pool_name: str, name: str) -> None:
    """Forget a 2.20 worker; raises NotFoundError for it or its pool."""

    async def delete(tx: Transaction) -> None:
        pool = await pool_named(tx, pool_name)
        if not await work.delete_worker(tx, pool.id, name):
            raise NotFoundError("Worker not found.")

    await ctx.store.write(delete)


# Queues


async def create_queue(ctx: Context, body: WorkQueueCreate) -> WorkQueue:
    """Make a queue in the default pool, which is made with it if there is none (api-contract §2).

    Raises InvalidInputError for its name, ConflictError for one that is taken.
    """
    check_name("work queue", body.name)

    async def insert(tx: Transaction) -> WorkQueue:
        first_use = await work.pool_by_name(tx, DEFAULT_POOL) is None
        pool = await work.ensure_default_pool(tx, await tx.now())
        if first_use and body.name == DEFAULT_QUEUE:
            queue = await work.queue_by_name(tx, pool.id, DEFAULT_QUEUE)
            assert queue is not None
            return queue
        return await _add_queue(tx, pool, body, "A work queue with this name already exists.")

    return await ctx.store.write(insert)


async def create_pool_queue(ctx: Context, pool_name: str, body: WorkQueueCreate) -> WorkQueue:
    """Make a queue in a pool; raises NotFoundError, InvalidInputError, ConflictError."""
    check_name("work queue", body.name)

    async def insert(tx: Transaction) -> WorkQueue:
        pool = await pool_named(tx, pool_name)
        # The braces are 2.20's own (api-contract §2).
        taken = "A work queue with this name already exists in work pool {work_pool_name!r}."
        return await _add_queue(tx, pool, body, taken)

    return await ctx.store.write(insert)


async def read_queue(ctx: Context, queue_id: UUID) -> WorkQueue:
    """Return a queue; raises NotFoundError."""
    return existing(await ctx.store.read(lambda tx: work.queue(tx, queue_id)), "work queue not found")


async def read_queue_by_name(ctx: Context, name: str) -> WorkQueue:
    """Return a queue of the default pool; without a default pool, of any. Raises NotFoundError."""

    async def look(tx: Transaction) -> WorkQueue | None:
        pool = await work.pool_by_name(tx, DEFAULT_POOL)
        if pool is None:
            return await work.any_queue_by_name(tx, name)
        return await work.queue_by_name(tx, pool.id, name)

    return existing(await ctx.store.read(look), "work queue not found")


async def read_pool_queue(ctx: Context, pool_name: str, name: str) -> WorkQueue:
    """Return a queue of a pool; raises NotFoundError."""

    async def look(tx: Transaction) -> WorkQueue:
        pool = await pool_named(tx, pool_name)
        queue = await work.queue_by_name(tx, pool.id, name)
        return existing(queue, f"Work pool queue '{pool_name}/{name}' not found.")

    return await ctx.store.read(look)


async def update_queue(ctx: Context, queue_id: UUID, body: WorkQueueUpdate) -> None:
    """Change what was sent of a queue; its priority is written as it is. Raises NotFoundError."""

    async def change(tx: Transaction) -> None:
        queue = await work.lock_queue(tx, queue_id)
        # 2.20 names its own function here, and tools look for these words (api-contract §2).
        await _change(
            tx, existing(queue, "Work Queue <built-in function id> not found"), body, await tx.now()
        )

    await ctx.store.write(change)


async def update_pool_queue(ctx: Context, pool_name: str, name: str, body: WorkQueueUpdate) -> None:
    """Change what was sent of a queue; a priority that is taken shifts the others. Raises NotFoundError."""

    async def change(tx: Transaction) -> None:
        pool = await pool_named(tx, pool_name)
        order = await work.priorities(tx, pool.id)
        known = await work.queue_by_name(tx, pool.id, name)
        queue = existing(known, f"Work pool queue '{pool_name}/{name}' not found.")
        changed = await _change(tx, queue, body, await tx.now())
        if changed.priority != queue.priority:
            others = {key: rank for key, rank in order.items() if key != queue.id}
            await work.shift(tx, others, changed.priority)

    await ctx.store.write(change)


async def delete_queue(ctx: Context, queue_id: UUID) -> None:
    """Delete a queue; raises NotFoundError, and ConflictError for the default queue of a pool."""

    async def delete(tx: Transaction) -> None:
        await _delete(tx, existing(await work.lock_queue(tx, queue_id), "work queue not found"))

    await ctx.store.write(delete)


async def delete_pool_queue(ctx: Context, pool_name: str, name: str) -> None:
    """Delete a queue of a pool; raises NotFoundError, and ConflictError for its default queue."""

    async def delete(tx: Transaction) -> None:
        pool = await pool_named(tx, pool_name)
        queue = await work.queue_by_name(tx, pool.id, name)
        await _delete(tx, existing(queue, f"Work pool queue '{pool_name}/{name}' not found."))

    await ctx.store.write(delete)


async def queue_status(ctx: Context, queue_id: UUID) -> WorkQueueStatusDetail:
    """Say whether a queue is served and keeps up (api-contract §11); raises NotFoundError."""
    policy = WorkQueueHealthPolicy()

    async def look(tx: Transaction) -> WorkQueueStatusDetail:
        queue = existing(await work.queue(tx, queue_id), f"Work queue with id {queue_id} not found")
        late, polled = await work.late_runs(tx, queue_id), queue.last_polled
        longest = timedelta(seconds=policy.maximum_seconds_since_last_polled)
        served = polled is not None and await tx.now() - polled <= longest
        return WorkQueueStatusDetail(
            healthy=served and late <= policy.maximum_late_runs,
            late_runs_count=late,
            last_polled=iso_or_none(polled),
            health_check_policy=policy,
        )

    return await ctx.store.read(look)


async def _add_queue(tx: Transaction, pool: WorkPool, body: WorkQueueCreate, taken: str) -> WorkQueue:
    _check_filter(body.filter)
    queue = await work.add_queue(
        tx,
        pool.id,
        body.name,
        await tx.now(),
        priority=body.priority,
        description=body.description or "",
        is_paused=body.is_paused,
        concurrency_limit=body.concurrency_limit,
        filter=body.filter,
    )
    if queue is None:
        raise ConflictError(taken)
    return queue


async def _change(tx: Transaction, queue: WorkQueue, body: WorkQueueUpdate, now: datetime) -> WorkQueue:
    """Write what was sent; null means what the field means without one."""
    if isinstance(body.name, str):
        check_name("work queue", body.name)
    if isinstance(body.filter, dict):
        _check_filter(body.filter)
    changed = replace(
        queue,
        updated=now,
        name=_sent(body.name, queue.name, queue.name),
        description=_sent(body.description, queue.description, ""),
        is_paused=_sent(body.is_paused, queue.is_paused, queue.is_paused),
        concurrency_limit=_sent(body.concurrency_limit, queue.concurrency_limit, None),
        priority=_sent(body.priority, queue.priority, queue.priority),
        filter=_sent(body.filter, queue.filter, None),
        last_polled=_sent(body.last_polled, queue.last_polled, None),
    )
    if isinstance(body.is_paused, bool):
        changed = replace(changed, status=_queue_status(changed, now))
    await work.update_queue(tx, changed)
    if changed.name != queue.name:
        await work.rename_queue(tx, queue.id, changed.name)
    tx.wake(pool_topic(queue.work_pool_id))
    return changed


async def _delete(tx: Transaction, queue: WorkQueue) -> None:
    if await work.is_default_queue(tx, queue.id):
        raise ConflictError(
            f"{queue.name!r} is the default queue of the work pool {queue.work_pool_name!r}, "
            "and goes only with it."
        )
    await work.delete_queue(tx, queue.id)
    tx.wake(pool_topic(queue.work_pool_id))


def _queue_status(queue: WorkQueue, now: datetime) -> WorkStatus:
    if queue.is_paused:
        return WorkStatus.PAUSED
    polled = queue.last_polled is not None and now - queue.last_polled <= POLLED_WITHIN
    return WorkStatus.READY if polled else WorkStatus.NOT_READY


def _pool_status(type_: str, *, paused: bool, served: bool) -> WorkStatus | None:
    if type_ == AGENT_POOL_TYPE:
        return None  # api-contract §11
    if paused:
        return WorkStatus.PAUSED
    return WorkStatus.READY if served else WorkStatus.NOT_READY


def _check_unprotected(name: str, moreover: str) -> None:
    """Raise ReservedError for the name of a pool of 2.20's own, in the words that its clients show."""
    if name.lower().startswith(PROTECTED):
        raise ReservedError(f"Work pools starting with 'Prefect' are reserved for internal use{moreover}.")


def _check_template(template: dict[str, Any]) -> None:
    """Raise InvalidInputError for a template that is neither empty nor whole."""
    if template and not {"job_configuration", "variables"} <= template.keys():
        raise InvalidInputError(
            "A base job template has both 'job_configuration' and 'variables', or is empty.",
            field="base_job_template",
        )


def _check_filter(filter_: dict[str, Any] | None) -> None:
    """Raise InvalidInputError for a tag filter that cannot be read."""
    if filter_ is None:
        return
    try:
        convert(filter_, TagFilter)
    except ValueError as error:
        raise InvalidInputError(f"The queue's filter cannot be read: {error}", field="filter") from None


def _sent(value: Any, current: Any, null: Any) -> Any:
    """Return what a field becomes: unsent it stays, and null means ``null``."""
    return current if value is UNSET else null if value is None else value


def existing(queue: WorkQueue | None, missing: str) -> WorkQueue:
    """Return a queue that was looked for; raises NotFoundError with ``missing`` if there is none."""
    if queue is None:
        raise NotFoundError(missing)
    return queue


async def pool_named(tx: Transaction, name: str) -> WorkPool:
    """Return a pool; raises NotFoundError."""
    pool = await work.pool_by_name(tx, name)
    if pool is None:
        raise _no_pool(name)
    return pool


def _no_pool(name: str) -> NotFoundError:
    return NotFoundError(f'Work pool "{name}" not found.')
