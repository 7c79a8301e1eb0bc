"""Pruner: deletes old runs and old logs; never a run that is not final (design §5)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from reeve.server.loops.loop import Loop
from reeve.server.services.context import Context
from reeve.server.storage import events, logs, runs
from reeve.server.storage.store import Transaction

# A batch takes tens of milliseconds where millions of runs are kept (6 ms a run); others wait no longer.
BATCH_RUNS = 5
BATCH_LINES = 200
REST = 4  # so many times as long as a batch took, the database is left to others


class Pruner(Loop):
    """Every 10 minutes, in small transactions and with rests, so that nobody waits for it long."""

    name = "pruner"

    def __init__(self, ctx: Context, interval: float, keep_runs: timedelta, keep_logs: timedelta) -> None:
        super().__init__(ctx, interval)
        self._keep_runs = keep_runs
        self._keep_logs = keep_logs

    async def round(self) -> None:
        clock = asyncio.get_running_loop().time
        for step, batch in ((self._runs, BATCH_RUNS), (self._logs, BATCH_LINES), (self._events, BATCH_LINES)):
            began = clock()
            while await self.ctx.store.write(step) == batch:
                await asyncio.sleep(REST * (clock() - began))
                began = clock()

    async def _runs(self, tx: Transaction) -> int:
        old = await runs.ended_before(tx, await tx.now() - self._keep_runs, BATCH_RUNS)
        for run_id in old:
            await runs.delete(tx, run_id)
        return len(old)

    async def _logs(self, tx: Transaction) -> int:
        return await logs.prune(tx, await tx.now() - self._keep_logs, BATCH_LINES)

    async def _events(self, tx: Transaction) -> int:
        return await events.prune(tx, await tx.now() - self._keep_runs, BATCH_LINES)
