"""The server as the agent's steps see it, and the link to one of reeve's own.

There one identity has one epoch, and patience without end (protocol §6). A server of 2.20 has another link.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from msgspec import Raw
from msgspec.structs import replace

from reeve.agent.batch import Batches
from reeve.client.aio import AsyncClient
from reeve.errors import ConflictError, NotFoundError, ReeveError
from reeve.wire import codec, endpoints
from reeve.wire.requests import (
    AnyReport,
    AttemptReports,
    AttemptToken,
    Call,
    Calls,
    Farewell,
    Output,
    OutputChunk,
    Poll,
    Register,
    Renew,
    Reports,
)
from reeve.wire.responses import CallReply, Receipt, Registration, Renewal, Work

Res = TypeVar("Res")

# A line that swallows everything is noticed within 30 s (design §4), and a poll is held for 25.
_HOLD_MARGIN = 4.0  # seconds on top of a poll's hold before it counts as lost
_ANSWER_SECONDS = 20.0  # before any other request counts as lost
_GATHER_SECONDS = 0.01  # of reports that go by themselves
_REPORT_SECONDS = 0.05  # in which what runs ask takes a report along: none is urgent
_PAUSE = 1.0  # what a request costs the server is for the most part not its calls: few are to carry many
_AGAIN_SECONDS = 5.0  # before a request is repeated that the server refused: nothing heals at once

log = logging.getLogger("reeve.agent")


class SupersededError(ReeveError):
    """A newer process of this agent has registered. This one ends, and leaves the runs to it."""

    code = "superseded"


class Link(Protocol):
    """What the agent's steps ask of a server. What the network loses is sent again, for ever."""

    @property
    def url(self) -> str:
        """The API's address."""

    @property
    def is_registered(self) -> bool:
        """Whether the server has ever taken this process on."""

    @property
    def registration(self) -> Registration:
        """The server's last answer to a registration."""

    async def register(self, request: Register) -> Registration:
        """Register: a new epoch begins. Raises the ReeveError of a server that refuses."""

    async def poll(self, poll: Poll) -> Work:
        """Ask for work, under the epoch of the day; NotFoundError from a server that lost its memory."""

    async def report(self, attempt_id: UUID, reports: Sequence[AnyReport]) -> Receipt:
        """Deliver reports; an attempt whose run was deleted is closed. The answer may take any time."""

    async def output(self, attempt_id: UUID, chunks: Sequence[OutputChunk]) -> None:
        """Deliver output. Raises the ReeveError of a server that refuses it."""

    async def renew(self, tokens: Sequence[AttemptToken]) -> Renewal:
        """Renew leases; the tokens are the authority, not the epoch. Raises the ReeveError of a refusal."""

    async def farewell(self) -> None:
        """Tell the server that this agent stops in order."""

    async def close(self) -> None:
        """Close all connections."""


class OwnLink:
    """The link to a server of reeve's."""

    def __init__(self, url: str, key: str | None, agent_id: UUID) -> None:
        self.client = AsyncClient(url, key, timeout=_ANSWER_SECONDS, patience=None, notice=self._on_fault)
        # For what others ask under keys of their own; they know best how long to try.
        self._hasty = AsyncClient(url, None, timeout=_ANSWER_SECONDS, patience=0)
        self._key = key
        self._agent_id = agent_id
        self._registration: Registration | None = None
        self._registered = asyncio.Event()
        self._registering = asyncio.Lock()
        self._down = False
        self._has_answered = False
        self._calls = Batches(self._pass_on, pause=_PAUSE)
        self._reports = Batches(self._report, gather=_GATHER_SECONDS)

    @property
    def url(self) -> str:
        """The API's address."""
        return self.client.url

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
        """Register: a new epoch begins. Raises the ReeveError of a server that refuses."""
        async with self._registering:
            self._registration = await self.client.call(endpoints.register_agent, request)
        self.answered()
        self._registered.set()
        return self._registration

    async def poll(self, poll: Poll) -> Work:
        """Ask for work, under the epoch of the day; NotFoundError from a server that lost its memory."""

        async def ask(epoch: int) -> Work:
            body = replace(poll, epoch=epoch)
            return await self.client.call(
                endpoints.poll_agent, body, timeout=poll.hold_seconds + _HOLD_MARGIN, id=self._agent_id
            )

        return await self._insist("asking for work", ask)

    async def report(self, attempt_id: UUID, reports: Sequence[AnyReport]) -> Receipt:
        """Deliver reports: with what runs ask, or with those of other attempts as often as it takes."""
        told = AttemptReports(id=attempt_id, reports=[*reports])
        if receipt := await self._taken_along(told):
            return receipt
        while (receipt := await self._reports.put(told)) is None:
            log.error("The server could not take reports of attempt %s; trying again", attempt_id)
            await asyncio.sleep(_AGAIN_SECONDS)
        return receipt

    async def _taken_along(self, told: AttemptReports) -> Receipt | None:
        """Send reports with the next request of runs, once; None: they have not been taken."""
        if not self.is_registered:
            return None
        to = endpoints.report_attempts
        body = Raw(codec.encode(Reports(epoch=self.registration.epoch, attempts=[told])))
        call = Call(method=to.method, path=to.path, key=self._key, body=body)
        try:
            reply = await self._calls.put(call, patience=_REPORT_SECONDS)
        except ReeveError:
            return None
        if reply.status != to.status:
            return None
        receipts = codec.decode(reply.body, list[Receipt])
        return receipts[0] if receipts else None

    async def _report(self, told: Sequence[AttemptReports]) -> list[Receipt | None]:
        async def ask(epoch: int) -> list[Receipt]:
            body = Reports(epoch=epoch, attempts=[*told])
            return await self.client.call(endpoints.report_attempts, body)

        receipts = {one.id: one for one in await self._insist("reports", ask)}
        return [receipts.get(one.id) for one in told]

    def pass_on(self, call: Call) -> asyncio.Future[CallReply]:
        """Ask what a run's process asks, once and with others; a ReeveError is of a fault or a refusal."""
        return self._calls.put(call)

    async def _pass_on(self, asked: Sequence[Call]) -> list[CallReply]:
        replies = await self._hasty.call(endpoints.relay_calls, Calls(calls=[*asked]))
        self.answered()
        return replies

    async def output(self, attempt_id: UUID, chunks: Sequence[OutputChunk]) -> None:
        """Deliver output. Raises the ReeveError of a server that refuses it."""

        async def ask(epoch: int) -> None:
            body = Output(epoch=epoch, chunks=[*chunks])
            await self.client.call(endpoints.attempt_output, body, id=attempt_id)

        await self._ask(ask)

    async def renew(self, tokens: Sequence[AttemptToken]) -> Renewal:
        """Renew leases; the tokens are the authority, not the epoch. Raises the ReeveError of a refusal."""
        renewal = await self.client.call(endpoints.renew_attempts, Renew(attempts=[*tokens]))
        self.answered()
        return renewal

    async def farewell(self) -> None:
        """Tell the server that this agent stops in order."""
        body = Farewell(epoch=self.registration.epoch)
        await self.client.call(endpoints.stop_agent, body, id=self._agent_id)

    async def close(self) -> None:
        """Close all connections."""
        await self._calls.close()
        await self._reports.close()
        await self._hasty.close()
        await self.client.close()

    async def _insist(self, what: str, ask: Callable[[int], Awaitable[Res]]) -> Res:
        """Ask until the server answers to the point; raises NotFoundError and SupersededError only."""
        while True:
            try:
                return await self._ask(ask)
            except (NotFoundError, SupersededError):
                raise
            except ReeveError as error:
                log.error("The server refused %s: %s", what, error)  # noqa: TRY400  # its sentence says it all
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _ask(self, ask: Callable[[int], Awaitable[Res]]) -> Res:
        """Ask under the epoch of the day; SupersededError when there is a newer one that is not ours."""
        await self._registered.wait()
        while True:
            asked_under = self.registration
            try:
                answer = await ask(asked_under.epoch)
            except ConflictError as error:
                async with self._registering:  # its answer, which tells the newer epoch, may be on its way
                    pass
                if asked_under is self.registration:
                    raise SupersededError from error
            else:
                self.answered()
                return answer

    def _on_fault(self, error: ReeveError, _: float) -> None:
        """Say once that the server is not there, however many requests meet with it."""
        if self._down:
            return
        self._down = True
        if self._has_answered:
            log.warning("The server does not answer; runs go on, trying again (%s)", error)
        else:
            log.warning("No server at %s yet; trying again", self.url)

    def answered(self) -> None:
        """Note that the server has answered."""
        if self._down:
            log.info("The server at %s answers again", self.url)
        self._has_answered = True
        self._down = False
