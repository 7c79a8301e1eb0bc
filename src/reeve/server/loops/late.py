"""Late marker: calls a scheduled run late that is overdue (api-contract §10)."""

from __future__ import annotations

from datetime import timedelta

from reeve.core.rules.flow_runs import mark_late
from reeve.server.loops.loop import Loop
from reeve.server.services.states import enter
from reeve.server.storage import runs
from reeve.server.storage.store import Transaction

LATE_AFTER = timedelta(seconds=15)
BATCH = 400


class LateMarker(Loop):
    """Every 5 s."""

    name = "late marker"

    async def round(self) -> None:
        while await self.ctx.store.write(_mark) == BATCH:
            pass


async def _mark(tx: Transaction) -> int:
    now = await tx.now()
    overdue = await runs.to_mark_late(tx, now - LATE_AFTER, BATCH)
    for run in overdue:
        await enter(tx, mark_late(run, now), now)
    return len(overdue)
