"""Scheduler: makes the coming runs of each deployment's schedules (api-contract §10)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar
from uuid import UUID

from reeve.server.loops.loop import Loop
from reeve.server.services.hub import SCHEDULES_TOPIC
from reeve.server.services.scheduling import schedule_all
from reeve.server.storage import schedules
from reeve.server.storage.store import Transaction

# Deployments looked at in one transaction: where it makes runs for all, it takes some ten milliseconds.
PAGE = 20
REST = 2  # so many times as long as that took, the database is left to others: runs are made an hour ahead


class Scheduler(Loop):
    """Every 60 s, and at once for a deployment that was just changed.

    A round looks at those deployments whose time has come, and notes when each is to be looked at again.
    """

    name = "scheduler"
    topics: ClassVar[tuple[str, ...]] = (SCHEDULES_TOPIC,)

    async def round(self) -> None:
        clock = asyncio.get_running_loop().time
        last: UUID | None = None
        while True:
            began = clock()
            page = await self.ctx.store.read(partial(_page, after=last))
            if page:
                await self.ctx.store.write(partial(schedule_all, deployment_ids=page))
                last = page[-1]
                await asyncio.sleep(REST * (clock() - began))
            if len(page) < PAGE:
                return


async def _page(tx: Transaction, after: UUID | None) -> list[UUID]:
    return await schedules.to_schedule(tx, await tx.now(), after, PAGE)
