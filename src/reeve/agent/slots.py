"""The agent's own limit: how many attempts it holds at once."""

from __future__ import annotations

import asyncio
from uuid import UUID

DEFAULT_LIMIT = 8  # enough to keep a small machine busy, few enough not to drown it


class Slots:
    """Counts what is held. A slot is held until the server has settled the attempt's end (W26)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: set[UUID] = set()
        self._waiting: dict[UUID, asyncio.Event] = {}  # oldest first
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def free(self) -> int:
        """Slots to offer; adopted attempts may exceed a limit that has become smaller."""
        return max(self.limit - len(self._held) - len(self._waiting), 0)

    def adopt(self, attempt_id: UUID) -> None:
        """Hold a slot for an attempt that runs already, whatever the limit."""
        self._held.add(attempt_id)
        self._empty.clear()

    def reserve(self, attempt_id: UUID) -> None:
        """Hold a slot for a new attempt, or a place in the line: two polls that cross may bring too many."""
        self._empty.clear()
        if len(self._held) < self.limit:
            self._held.add(attempt_id)
        else:
            self._waiting[attempt_id] = asyncio.Event()

    async def turn(self, attempt_id: UUID) -> None:
        """Wait until an attempt has its slot, or has given up its place."""
        if waiting := self._waiting.get(attempt_id):
            await waiting.wait()

    def give_up(self, attempt_id: UUID) -> None:
        """Let an attempt that is not to run any more wait no longer."""
        if waiting := self._waiting.pop(attempt_id, None):
            self.adopt(attempt_id)  # until its end is settled, like any other
            waiting.set()

    def release(self, attempt_id: UUID) -> None:
        """Free an attempt's slot, for the one that has waited longest; once is enough."""
        self._held.discard(attempt_id)
        if self._waiting and len(self._held) < self.limit:
            successor = next(iter(self._waiting))
            self._held.add(successor)
            self._waiting.pop(successor).set()
        if not self._held:
            self._empty.set()

    async def empty(self) -> None:
        """Wait until nothing is held and nothing waits."""
        await self._empty.wait()
