"""What a claim goes by: pools and queues, what agents can launch, and limits (protocol §2).

Limits are locked first, and counted in a later statement.

Counting in the statement that locks would read a snapshot older than the lock: three claimers then fill
seven of five places.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from reeve.core.agents import Agent
from reeve.core.deployments import Deployment, Flow
from reeve.core.runs import FlowRun
from reeve.core.system_blocks import RUNS
from reeve.core.work import Limit, WorkPool, WorkQueue
from reeve.server.storage import attempts, deployments, flows, notifications, rows, waiting
from reeve.server.storage.attempts import Held
from reeve.server.storage.rows import AGENT, WORK_QUEUE
from reeve.server.storage.store import Transaction

POOL = "select * from work_pools where id = $1"
QUEUES = f"{WORK_QUEUE} where q.work_pool_id = $1 order by q.priority, q.name"
FOREIGN = """
select d.id from block_documents d join block_schemas s on s.id = d.block_schema_id
join block_types t on t.id = d.block_type_id
where t.slug <> all($1::text[]) and s.capabilities @> $2::jsonb
"""
SEEN = f"select {notifications.IS_SILENT} as is_silent, {waiting.ANY_LIMITED} as any_limited"


async def look(tx: Transaction, agent_id: UUID) -> tuple[Agent | None, list[Held]]:
    """Return an agent and its open attempts by grant number."""
    found, held = await tx.several((f"{AGENT} where a.id = $1", agent_id), (attempts.HELD, agent_id))
    return (rows.agent(found[0]) if found else None), [attempts.held(row) for row in held]


async def survey(tx: Transaction, agent: Agent) -> list[Held]:
    """Read what a claim of this agent, which is locked, goes by; return its open attempts by grant number."""
    held, pools, queues, foreign, (seen,) = await tx.several(
        (attempts.HELD, agent.id),
        (POOL, agent.work_pool_id),
        (QUEUES, agent.work_pool_id),
        (FOREIGN, agent.kinds, rows.json([*RUNS])),
        (SEEN,),
    )
    tx.memo["pool", agent.work_pool_id] = rows.work_pool(pools[0]) if pools else None
    tx.memo["queues", agent.work_pool_id] = [rows.work_queue(row) for row in queues]
    tx.memo["foreign", *agent.kinds] = [rows.uuid(row["id"]) for row in foreign]
    tx.memo[waiting.IS_LIMITED] = bool(seen["any_limited"])
    notifications.note(tx, is_silent=bool(seen["is_silent"]))
    return [attempts.held(row) for row in held]


async def brief(tx: Transaction, due: Sequence[FlowRun]) -> dict[UUID, int]:
    """Read what it takes to open attempts on runs, and to tell agents of them; return their last numbers."""
    flow_ids = [*{run.flow_id for run in due}]
    deployment_ids = [*{run.deployment_id for run in due if run.deployment_id}]
    of_deployments = [
        (deployments.BY_IDS, deployment_ids),
        (deployments.SCHEDULES, deployment_ids),
    ]
    last, named, *deployed = await tx.several(
        (attempts.LAST_NUMBERS, [run.id for run in due]),
        (flows.BY_IDS, flow_ids),
        *(of_deployments if deployment_ids else ()),
    )
    tx.memo.update((("flow", flow.id), flow) for flow in map(rows.flow, named))
    if deployed:
        read = deployments.with_these(*deployed)
        tx.memo.update((("deployment", deployment.id), deployment) for deployment in read)
    return attempts.numbers(last)


def flow_name(tx: Transaction, flow_id: UUID) -> str:
    """Return the name of a flow of runs that a ``brief`` was for."""
    flow: Flow = tx.memo["flow", flow_id]
    return flow.name


def deployment(tx: Transaction, deployment_id: UUID | None) -> Deployment | None:
    """Return a deployment of runs that a ``brief`` was for; None: it is none, or gone."""
    found: Deployment | None = tx.memo.get(("deployment", deployment_id))
    return found


def is_briefed(tx: Transaction, run: FlowRun) -> bool:
    """Say whether there was a ``brief`` for runs of the same flow and deployment."""
    return ("flow", run.flow_id) in tx.memo and (
        run.deployment_id is None or ("deployment", run.deployment_id) in tx.memo
    )


async def pool(tx: Transaction, pool_id: UUID) -> WorkPool | None:
    """Return a pool, as it was when the transaction first asked: its limit is read anew behind the lock."""
    key = ("pool", pool_id)
    if key not in tx.memo:
        row = await tx.fetchrow(POOL, pool_id)
        tx.memo[key] = None if row is None else rows.work_pool(row)
    found: WorkPool | None = tx.memo[key]
    return found


async def queues(tx: Transaction, pool_id: UUID) -> list[WorkQueue]:
    """Return the queues of a pool, first priority first, as they were when the transaction first asked."""
    key = ("queues", pool_id)
    if key not in tx.memo:
        tx.memo[key] = [rows.work_queue(row) for row in await tx.fetch(QUEUES, pool_id)]
    known: list[WorkQueue] = tx.memo[key]
    return known


async def foreign_documents(tx: Transaction, kinds: list[str]) -> list[UUID]:
    """Return the infrastructure documents whose types are none of these."""
    key = ("foreign", *kinds)
    if key not in tx.memo:
        found = await tx.fetch(FOREIGN, kinds, rows.json([*RUNS]))
        tx.memo[key] = [rows.uuid(row["id"]) for row in found]
    known: list[UUID] = tx.memo[key]
    return known


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


async def limited_deployments(tx: Transaction, queue_ids: list[UUID], before: datetime) -> list[UUID]:
    """Return the deployments with a limit of their own that have runs in these queues, due by then."""
    if not await has_limited_deployments(tx):
        return []
    found = await tx.fetch(
        "select o.deployment_id from deployment_options o where o.concurrency_limit is not null and exists"
        " (select 1 from flow_runs r where r.deployment_id = o.deployment_id and r.state_type = 'SCHEDULED'"
        " and r.next_scheduled_start_time <= $2 and r.work_queue_id = any($1::uuid[]))",
        queue_ids,
        rows.micros(before),
    )
    return [rows.uuid(row["deployment_id"]) for row in found]


async def has_limited_deployments(tx: Transaction) -> bool:
    """Say whether any deployment has a limit of its own, as it was when the transaction first asked.

    One that is given a limit later is no matter to a claim, which passes over its runs.
    """
    if waiting.IS_LIMITED not in tx.memo:
        tx.memo[waiting.IS_LIMITED] = bool(await tx.fetchval(f"select {waiting.ANY_LIMITED}"))
    return bool(tx.memo[waiting.IS_LIMITED])


async def lock_deployments(tx: Transaction, deployment_ids: list[UUID]) -> dict[UUID, Limit]:
    """Lock the limits of those that have one, after pools and queues, then count their open attempts.

    The limit lies in the options. Whoever changes a deployment locks its own row, and pools after that: a
    claim that waited for this row would wait the other way round.
    """
    if not deployment_ids:
        return {}
    await tx.execute(
        "select deployment_id from deployment_options where deployment_id = any($1::uuid[])"
        " and concurrency_limit is not null order by deployment_id for no key update",
        deployment_ids,
    )
    return await deployment_limits(tx, deployment_ids)


async def deployment_limits(tx: Transaction, deployment_ids: list[UUID]) -> dict[UUID, Limit]:
    """Return the limits, as they are now, of those of these deployments that have one."""
    found = await tx.fetch(
        "select d.id, d.name, o.concurrency_limit, (select count(*) from attempts t"
        " where t.deployment_id = d.id and t.closed is null) as occupied"
        " from deployments d join deployment_options o on o.deployment_id = d.id"
        " where d.id = any($1::uuid[]) and o.concurrency_limit is not null",
        deployment_ids,
    )
    return {
        rows.uuid(row["id"]): Limit(f"deployment {row['name']!r}", row["concurrency_limit"], row["occupied"])
        for row in found
    }


async def pool_of_limited(tx: Transaction, deployment_id: UUID) -> UUID | None:
    """Return the pool of a deployment that has a limit: there its runs wait for a place."""
    key = ("pool of limited", deployment_id)
    if tx.memo.get(waiting.IS_LIMITED) is False:
        return None
    if key not in tx.memo:
        found = await tx.aside(
            "select q.work_pool_id from deployment_options o join deployments d on d.id = o.deployment_id"
            " join work_queues q on q.id = d.work_queue_id"
            " where o.deployment_id = $1 and o.concurrency_limit is not null",
            deployment_id,
        )
        tx.memo[key] = rows.uuid_or_none(found[0]["work_pool_id"]) if found else None
    pool_id: UUID | None = tx.memo[key]
    return pool_id
