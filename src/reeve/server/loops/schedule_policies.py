"""Schedule policies: runs that were missed or would overlap are skipped, queued, let go."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from reeve.server.loops.loop import Loop
from reeve.server.services.hub import SCHEDULED_RUNS_TOPIC
from reeve.server.services.schedule_policies import settle, to_settle


class SchedulePolicies(Loop):
    """Every second, and at once when a scheduled run has ended: the next may wait for that."""

    name = "schedule policies"
    topics: ClassVar[tuple[str, ...]] = (SCHEDULED_RUNS_TOPIC,)

    async def round(self) -> None:
        for schedule_id in await self.ctx.store.read(to_settle):
            await self.ctx.store.write(partial(settle, schedule_id=schedule_id))
