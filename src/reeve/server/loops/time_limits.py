"""Time limits: runs that should have started fail, and those that take too long are ended."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from reeve.server.loops.loop import Loop
from reeve.server.services.hub import agent_topic
from reeve.server.services.proposals import give_up_start
from reeve.server.storage import attempts, runs
from reeve.server.storage.store import Transaction

BATCH = 200


class TimeLimits(Loop):
    """Every second. What an attempt has passed its poll says anyway: here the agent is only woken for it."""

    name = "time limits"

    async def round(self) -> None:
        for run_id in await self.ctx.store.read(_not_started):
            await self.ctx.store.write(partial(give_up_start, run_id=run_id))
        for agent_id in await self.ctx.store.read(_holders):
            self.ctx.hub.wake(agent_topic(agent_id))


async def _not_started(tx: Transaction) -> list[UUID]:
    return await runs.not_started_in_time(tx, await tx.now(), BATCH)


async def _holders(tx: Transaction) -> list[UUID]:
    return await attempts.holders_of_expired(tx, await tx.now())
