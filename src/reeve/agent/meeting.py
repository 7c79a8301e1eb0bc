"""Which kind of server there is at the address: known when it first answers, asked again at each start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from reeve.agent.link import OwnLink
from reeve.agent.polling import PollingLink
from reeve.errors import NotFoundError
from reeve.wire import endpoints
from reeve.wire.requests import AnyReport, AttemptToken, OutputChunk, Poll, Register
from reeve.wire.responses import Receipt, Registration, Renewal, Work

log = logging.getLogger("reeve.agent")


class MeetingLink:
    """The link to the server that is met: one of reeve's, or one of 2.20's without the agent protocol.

    What is asked before waits for the meeting: runs end, and are to be reported, while there is no server.
    """

    def __init__(self, own: OwnLink, theirs: PollingLink) -> None:
        self._own = own
        self._theirs = theirs
        self._met: OwnLink | PollingLink = own
        self._registration: Registration | None = None
        self._registered = asyncio.Event()

    @property
    def url(self) -> str:
        """The API's address."""
        return self._own.url

    @property
    def is_registered(self) -> bool:
        """Whether the server has ever taken this process on."""
        return self._registered.is_set()

    @property
    def registration(self) -> Registration:
        """The server's last answer to a registration."""
        assert self._registration is not None, "registered before anything is asked"
        return self._registration

    async def register(self, request: Register) -> Registration:
        """Register with the server that is there. Raises the ReeveError of a server that refuses."""
        try:
            registration = await self._own.register(request)
            self._met = self._own
        except NotFoundError:
            if await self._is_own():
                raise
            registration = await self._theirs.register(request)
            if self._met is not self._theirs:
                log.info("The server at %s is one of Prefect 2.20: it is polled", self.url)
            self._met = self._theirs
        self._registration = registration
        self._registered.set()
        return registration

    async def poll(self, poll: Poll) -> Work:
        """Ask for work; NotFoundError from a server that lost its memory."""
        return await (await self._link()).poll(poll)

    async def report(self, attempt_id: UUID, reports: Sequence[AnyReport]) -> Receipt:
        """Deliver reports; an attempt whose run was deleted is closed."""
        return await (await self._link()).report(attempt_id, reports)

    async def output(self, attempt_id: UUID, chunks: Sequence[OutputChunk]) -> None:
        """Deliver output. Raises the ReeveError of a server that refuses it."""
        await (await self._link()).output(attempt_id, chunks)

    async def renew(self, tokens: Sequence[AttemptToken]) -> Renewal:
        """Renew leases. Raises the ReeveError of a refusal."""
        return await (await self._link()).renew(tokens)

    async def farewell(self) -> None:
        """Tell the server that this agent stops in order."""
        await (await self._link()).farewell()

    async def close(self) -> None:
        """Close all connections."""
        await self._theirs.close()
        await self._own.close()

    async def _link(self) -> OwnLink | PollingLink:
        await self._registered.wait()
        return self._met

    async def _is_own(self) -> bool:
        """Whether the server that knows no such pool, or no such path, is one of reeve's."""
        try:
            await self._own.client.call(endpoints.server_info)
        except NotFoundError:
            return False
        return True
