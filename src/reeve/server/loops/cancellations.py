"""Cancellation cleaner: cancels what cancelled runs left running (api-contract §10)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from reeve.server.loops.loop import Loop
from reeve.server.services.proposals import cancel_children
from reeve.server.storage import runs
from reeve.server.storage.store import Transaction

PAGE = 200
TASKS = 100  # ended in one transaction
LOOKS_BACK = timedelta(days=1)


class CancellationCleaner(Loop):
    """Every 20 s. Each cancelled run is looked at once in a round, so that a round ends.

    A subflow that is cancelled here is cleaned up after in this round or in the next one.
    """

    name = "cancellation cleaner"

    async def round(self) -> None:
        last: tuple[datetime, UUID] | None = None
        while True:
            page = await self.ctx.store.read(partial(_page, after=last))
            for _, run_id in page:
                while await self.ctx.store.write(partial(cancel_children, run_id=run_id, limit=TASKS)):
                    pass
            if len(page) < PAGE:
                return
            last = page[-1]


async def _page(tx: Transaction, after: tuple[datetime, UUID] | None) -> list[tuple[datetime, UUID]]:
    first = (await tx.now() - LOOKS_BACK, UUID(int=0))
    return await runs.cancelled_with_children(tx, after or first, PAGE)
