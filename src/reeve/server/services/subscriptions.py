"""Task runs that wait for a process that serves their task (``task.serve()`` and ``.delay()`` of 2.20)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from reeve.server.services.context import Context
from reeve.server.services.hub import TASKS_TOPIC, woken
from reeve.server.storage import task_runs

if TYPE_CHECKING:
    from reeve.core.runs import TaskRun

# Whoever is offered a task run makes it Pending. Two that were offered the same one, by two servers, both
# try, and the rules abort the second; so an offer is no row, and one that leads nowhere is made again.
OFFER_SECONDS = 30.0


class Offers:
    """Which task runs this server has offered lately, until when on the monotonic clock."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}

    def current(self, now: float) -> list[UUID]:
        """Return the task runs that are on offer."""
        self._until = {id_: until for id_, until in self._until.items() if until > now}
        return list(self._until)

    def make(self, task_run_id: UUID, now: float) -> None:
        """Note that a task run is offered."""
        self._until[task_run_id] = now + OFFER_SECONDS

    def take_back(self, task_run_id: UUID) -> None:
        """Forget an offer that did not arrive."""
        self._until.pop(task_run_id, None)


async def next_task_run(ctx: Context, offers: Offers, keys: Sequence[str]) -> TaskRun:
    """Wait for a scheduled task run with one of these keys, and note that it is offered."""
    with ctx.hub.waiting(TASKS_TOPIC) as event:
        while True:
            event.clear()
            now = time.monotonic()
            look = partial(task_runs.waiting, keys=keys, excluded=offers.current(now))
            found = await ctx.store.read(look)
            if found is not None and found.id not in offers.current(now):
                offers.make(found.id, now)
                return found
            await woken(event, OFFER_SECONDS if found is None else 0)


def put_back(ctx: Context, offers: Offers, run: TaskRun) -> None:
    """Have a task run whose offer did not arrive offered to another subscriber."""
    offers.take_back(run.id)
    ctx.hub.wake(TASKS_TOPIC)
