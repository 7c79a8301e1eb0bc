"""Pause expirer: fails runs that were paused and never resumed in time (api-contract §10)."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from reeve.core.states import is_overdue_pause
from reeve.server.loops.loop import Loop
from reeve.server.services.proposals import expire_pause
from reeve.server.storage import runs
from reeve.server.storage.store import Transaction

PAGE = 200


class PauseExpirer(Loop):
    """Every 5 s. Each paused run is looked at once in a round, so that a round ends."""

    name = "pause expirer"

    async def round(self) -> None:
        last: UUID | None = None
        while True:
            last, full, overdue = await self.ctx.store.read(partial(_page, after=last))
            for run_id in overdue:
                await self.ctx.store.write(partial(expire_pause, run_id=run_id))
            if not full:
                return


async def _page(tx: Transaction, after: UUID | None) -> tuple[UUID | None, bool, list[UUID]]:
    """Return the last run of a page, whether more may follow, and which of its runs are overdue."""
    now = await tx.now()
    page = await runs.paused(tx, after, PAGE)
    overdue = [run.id for run in page if is_overdue_pause(run.state, now)]
    return page[-1].id if page else after, len(page) == PAGE, overdue
