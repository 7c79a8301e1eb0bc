"""Leases: renew those of all held attempts in one request, and tell the driver (protocol §3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from uuid import UUID

from reeve import clock
from reeve.agent.link import Link
from reeve.drivers.base import Driver
from reeve.errors import ReeveError
from reeve.wire.requests import AttemptToken

log = logging.getLogger("reeve.agent")


class Leases:
    """``tokens`` gives the held attempts with their tokens; ``over`` is told those that are held no more."""

    def __init__(
        self,
        link: Link,
        driver: Driver,
        tokens: Callable[[], dict[UUID, str]],
        over: Callable[[Collection[UUID]], object],
    ) -> None:
        self._link = link
        self._driver = driver
        self._tokens = tokens
        self._over = over

    async def run(self) -> None:
        """Renew at the server's pace."""
        while True:
            await asyncio.sleep(self._link.registration.renew_seconds)
            await self.renew()

    async def renew(self) -> float | None:
        """Renew once; return the boot time at which it was asked for, None when there was no answer in time.

        A renewal that is late is given up for a new one: its lease would count from when it was sent.
        """
        tokens = self._tokens()
        if not tokens:
            return None
        sent_at = clock.boottime()
        body = [AttemptToken(id=attempt_id, token=token) for attempt_id, token in tokens.items()]
        try:
            async with asyncio.timeout(self._link.registration.renew_seconds):
                renewal = await self._link.renew(body)
        except TimeoutError:
            return None
        except ReeveError as error:
            log.error("The server refused to renew leases: %s", error)  # noqa: TRY400  # its sentence says it all
            return None
        kept = tokens.keys() - set(renewal.over)
        await self._driver.renewed(kept, sent_at=sent_at, lease_seconds=renewal.lease_seconds)
        self._over([attempt for attempt in renewal.over if attempt in tokens])
        return sent_at
