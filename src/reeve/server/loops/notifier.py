"""Notifier: sends what is due to be told (api-contract §10)."""

from __future__ import annotations

from typing import ClassVar

from reeve.server.loops.loop import Loop
from reeve.server.services import notifications
from reeve.server.services.context import Context
from reeve.server.services.hub import NOTIFICATIONS_TOPIC


class Notifier(Loop):
    """Every 4 s, and at once for a state that was just entered."""

    name = "notifier"
    topics: ClassVar[tuple[str, ...]] = (NOTIFICATIONS_TOPIC,)

    def __init__(self, ctx: Context, interval: float, *, page: str, private: bool) -> None:
        super().__init__(ctx, interval)
        self._page = page
        self._private = private

    async def round(self) -> None:
        while await notifications.send_due(self.ctx, page=self._page, private=self._private):
            pass
