"""Agents and when they were heard of; and the limits of the pools and queues that they claim from."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from reeve.core.agents import Agent, AgentMode, AgentStatus
from reeve.server.storage import rows
from reeve.server.storage.rows import AGENT
from reeve.server.storage.store import Transaction

UPSERT = """
insert into agents (
    id, created, name, host, machine_id, boot_id, epoch, work_pool_id, queues, prefixes, slots, version,
    last_grant, started, last_seen, status, mode,
    kinds, prefetch, default_document_id, default_kind
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
    $18, $19, $20, $21)
on conflict (id) do update set
    name = excluded.name, host = excluded.host, machine_id = excluded.machine_id, boot_id = excluded.boot_id,
    epoch = excluded.epoch, work_pool_id = excluded.work_pool_id, queues = excluded.queues,
    prefixes = excluded.prefixes, slots = excluded.slots, version = excluded.version,
    started = excluded.started, last_seen = excluded.last_seen, status = excluded.status,
    mode = excluded.mode, kinds = excluded.kinds, prefetch = excluded.prefetch,
    default_document_id = excluded.default_document_id, default_kind = excluded.default_kind
"""


async def read(tx: Transaction, agent_id: UUID) -> Agent | None:
    """Return an agent."""
    row = await tx.fetchrow(f"{AGENT} where a.id = $1", agent_id)
    return None if row is None else rows.agent(row)


async def lock(tx: Transaction, agent_id: UUID) -> Agent | None:
    """Return an agent that nobody else changes until this transaction ends."""
    found = await tx.locked(f"{AGENT} where a.id = $1 for no key update of a", agent_id)
    return rows.agent(found[0]) if found else None


async def by_name(tx: Transaction, name: str) -> list[Agent]:
    """Return the agents that go by a name."""
    return [rows.agent(row) for row in await tx.fetch(f"{AGENT} where a.name = $1", name)]


async def of_pool(tx: Transaction, pool_id: UUID) -> list[Agent]:
    """Return the agents of a pool."""
    return [rows.agent(row) for row in await tx.fetch(f"{AGENT} where a.work_pool_id = $1", pool_id)]


async def listing(tx: Transaction) -> list[tuple[Agent, int]]:
    """Return the newest 1000 agents by name, each with its number of open attempts."""
    found = await tx.fetch(
        "select a.*, p.name as pool_name,"
        " (select count(*) from attempts t where t.agent_id = a.id and t.closed is null) as open_attempts"
        " from agents a join work_pools p on p.id = a.work_pool_id order by a.name, a.started desc limit 1000"
    )
    return [(rows.agent(row), row["open_attempts"]) for row in found]


async def upsert(tx: Transaction, agent: Agent) -> None:
    """Store an agent that starts."""
    await tx.execute(
        UPSERT,
        agent.id,
        rows.micros(agent.created),
        agent.name,
        agent.host,
        agent.machine_id,
        agent.boot_id,
        agent.epoch,
        agent.work_pool_id,
        rows.json(agent.queues),
        rows.json(agent.prefixes),
        agent.limit,
        agent.version,
        agent.grant,
        rows.micros(agent.started),
        rows.micros(agent.last_seen),
        agent.status,
        agent.mode,
        rows.json(agent.kinds),
        round(agent.prefetch_seconds * 1_000_000),
        agent.default_document_id,
        agent.default_kind,
    )


def next_grants(tx: Transaction, locked: Agent, count: int) -> int:
    """Reserve ``count`` grant numbers for an agent that this transaction has just locked; return the last."""
    last = locked.grant + count
    tx.later("update agents set last_grant = $2 where id = $1", locked.id, last)
    return last


async def set_status(tx: Transaction, agent_id: UUID, status: AgentStatus, now: datetime) -> None:
    """Record that an agent stopped, or fell silent."""
    await tx.execute(
        "update agents set status = $2, last_seen = $3 where id = $1", agent_id, status, rows.micros(now)
    )


async def set_mode(tx: Transaction, agent_id: UUID, mode: AgentMode) -> None:
    """Record what an operator told an agent."""
    await tx.execute("update agents set mode = $2 where id = $1", agent_id, mode)


async def seen(tx: Transaction, agent_ids: list[UUID], now: datetime) -> None:
    """Record all agents that were heard of, in one statement (protocol §6).

    Its last poll may be noted after an agent's farewell: a stopped one is there again when it registers.
    """
    await tx.execute(
        "update agents set last_seen = $2, status = 'ONLINE'"
        " where id = any($1::uuid[]) and status <> 'STOPPED'",
        agent_ids,
        rows.micros(now),
    )


async def fallen_silent(tx: Transaction, before: datetime) -> list[Agent]:
    """Mark and return the agents last heard of before ``before``."""
    found = await tx.fetch(
        f"{AGENT} where a.status = 'ONLINE' and a.last_seen < $1 for no key update of a", rows.micros(before)
    )
    await tx.execute(
        "update agents set status = 'SILENT' where status = 'ONLINE' and last_seen < $1", rows.micros(before)
    )
    return [rows.agent(row) for row in found]
