"""The life of a loop: start, started, stop; stopped twice is fine. One duty each, repeated for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from typing import ClassVar

from reeve.errors import UnavailableError
from reeve.server.services.context import Context
from reeve.server.services.hub import woken

log = logging.getLogger("reeve.server.loops")


class Loop(ABC):
    """A duty that no request will do. Its next start is one interval after the last, at once if late."""

    name: ClassVar[str]
    topics: ClassVar[tuple[str, ...]] = ()  # a wake-up of one of these starts a round early

    def __init__(self, ctx: Context, interval: float) -> None:
        self.ctx = ctx
        self.interval = interval
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def round(self) -> None:
        """Do the duty once."""

    def start(self) -> None:
        """Begin with the first round."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"reeve-loop-{self.name}")

    async def stop(self) -> None:
        """End, in the middle of a round if need be: rounds are transactions."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        with self.ctx.hub.waiting(*self.topics) as event:
            while True:
                began = clock()
                event.clear()
                try:
                    await self.round()
                except UnavailableError as error:
                    log.warning("%s: %s", self.name, error)
                except Exception:
                    # A round that fails must not end the duty.
                    log.exception("%s: this round failed; the next one follows", self.name)
                await woken(event, began + self.interval - clock())
