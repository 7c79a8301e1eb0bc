"""Where the lines of queues begin, as far as this server has seen: what lies before need not be walked again.

A run that leaves a line stays in its index until it is cleaned up, which on PostgreSQL waits for the oldest
open transaction: a backup, a forgotten session. A hundred thousand dead rows cost each poll 50 ms. So whoever
has walked past many notes where the first run that waits was found, and others begin there for a while. A run
that comes into the line before that, because it was given back or is due since long, is seen when the while
is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction

LONG_AGO = -(2**62)  # before any run
SLOW_SECONDS = 0.005  # a walk that takes less is not looked into
MANY_PAGES = 1_000  # that a walk to the first run touches: where no rows are dead it is a handful
WHILE = 5.0  # seconds; and a walk from the very begin takes one of ``SHARE`` parts of the time at most
SHARE = 20
# A run that is created now may be due since a moment by the clock of its client: that is no long ago.
MARGIN = timedelta(seconds=10)

FIRST = (
    "select next_scheduled_start_time from flow_runs where work_queue_id = $1 and attempt_id is null"
    f" and next_scheduled_start_time >= {LONG_AGO} order by next_scheduled_start_time, id limit 1"
)


class Lines:
    """The begins of lines: instants in microseconds, and until when by ``clock``, in seconds, each holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: dict[UUID, tuple[int, float, float]] = {}  # queue → begin, seconds of its walk, end
        self._short: dict[UUID, float] = {}  # queue → until when it need not be looked into

    def begin(self, queue_id: UUID) -> int:
        """Return from when on a line is to be walked: LONG_AGO when nothing is known.

        When a note is over, one who asks walks it all; the others go by the note until that one has.
        """
        noted = self._noted.get(queue_id)
        if noted is None:
            return LONG_AGO
        begin, seconds, end = noted
        if (now := self._clock()) < end:
            return begin
        self._noted[queue_id] = (begin, seconds, now + 2 * seconds)
        return LONG_AGO

    def note(self, queue_id: UUID, begin: int, seconds: float) -> None:
        """Note where a line begins, and how long it took to find out."""
        self._noted[queue_id] = (begin, seconds, self._clock() + max(WHILE, SHARE * seconds))

    def forget(self, queue_id: UUID) -> None:
        """Have a line be walked from its very begin."""
        self._noted.pop(queue_id, None)

    def note_short(self, queue_id: UUID) -> None:
        """Note that a line holds few dead rows: what was slow was the machine, and will be slow again."""
        self.forget(queue_id)
        self._short[queue_id] = self._clock() + WHILE

    def is_short(self, queue_id: UUID) -> bool:
        """Say whether a line was looked into lately, and had few dead rows."""
        return self._clock() < self._short.get(queue_id, 0.0)

    def left(self, queue_id: UUID) -> timedelta:
        """Return how long the note of a line still holds."""
        noted = self._noted.get(queue_id)
        return timedelta(seconds=max(noted[2] - self._clock(), 0.0)) if noted else timedelta()


LINES = Lines()  # of all databases: the ids of queues are


async def walked(tx: Transaction, queue_id: UUID, begin: int, began: float) -> None:
    """Look into a walk from the very begin of a line that took long, and note where the line begins.

    ``begin``: what ``LINES`` said before it; ``began``: seconds of ``time.perf_counter`` at its start.
    """
    if begin != LONG_AGO:
        return
    seconds = time.perf_counter() - began
    if seconds < SLOW_SECONDS or LINES.is_short(queue_id):
        LINES.forget(queue_id)
        return
    # What was slow may have been the machine; dead rows are told by the pages that hold them.
    if await tx.pages(FIRST, queue_id) < MANY_PAGES:
        LINES.note_short(queue_id)
        return
    lately = rows.micros(await tx.now() - MARGIN)
    first: int | None = await tx.fetchval(FIRST, queue_id)
    LINES.note(queue_id, lately if first is None else min(first, lately), seconds)
