"""Statuses: stores who was heard of, and notices agents, queues and deployments that nobody serves (§11)."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from reeve.core.agents import SILENT_AFTER_SECONDS
from reeve.core.events import Event, EventKind
from reeve.ids import new_id
from reeve.server.loops.loop import Loop
from reeve.server.storage import agents, events, work
from reeve.server.storage.store import Transaction

log = logging.getLogger("reeve.server.loops")


class Statuses(Loop):
    """Every 10 s."""

    name = "statuses"

    async def round(self) -> None:
        heard = self.ctx.presence.take()
        if heard:
            await self.ctx.store.write(lambda tx: _heard(tx, heard))
        await self.ctx.store.write(_silent)


async def _heard(tx: Transaction, heard: list[UUID]) -> None:
    now = await tx.now()
    await agents.seen(tx, heard, now)
    await work.polled_by_agents(tx, heard, now)


async def _silent(tx: Transaction) -> None:
    now = await tx.now()
    for agent in await agents.fallen_silent(tx, now - timedelta(seconds=SILENT_AFTER_SECONDS)):
        log.warning("agent %r on %s is silent since %s", agent.name, agent.host, agent.last_seen)
        event = Event(
            id=new_id(),
            at=now,
            kind=EventKind.AGENT_SILENT,
            agent_id=agent.id,
            payload={"name": agent.name, "last_seen": agent.last_seen.isoformat()},
        )
        await events.record(tx, [event])
    await work.unserved(tx, now)
