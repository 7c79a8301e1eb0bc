"""Claim: register, keep one poll open, and journal what it grants before it is acknowledged (protocol §6)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from uuid import UUID

from msgspec.structs import replace

from reeve.agent import faults
from reeve.agent.journal import Journal, JournalError, claimed
from reeve.agent.link import Link
from reeve.agent.selection import Selection
from reeve.agent.slots import Slots
from reeve.core.agents import AgentMode
from reeve.errors import NotFoundError, ReeveError
from reeve.wire.requests import Poll, Register
from reeve.wire.responses import Registration, Work

_OVERTAKEN_SECONDS = 2.0  # an overtaken poll is answered at once; one that is not was lost
_EARLY_SECONDS = 0.25  # after an answer that came early without news: a server that is stopping
_GATHER_SECONDS = 0.01  # between two polls, and after news: slots freed meanwhile are offered together
_OFFERING_SECONDS = 0.05  # after a poll that offers slots: if there is work, it is being answered already
_FULL_SECONDS = 0.1  # without a slot to offer: one may be free soon, and that will be news
_AGAIN_SECONDS = 5.0  # after a disk that is full, or a server that refuses

log = logging.getLogger("reeve.agent")


class Claims:
    """The agent's polls.

    ``holding`` gives the attempts that are held, and those of them that are being ended; it is asked anew for
    each request. ``take`` gets each answer, its grants journaled and none of them twice, and returns whether
    anything in it was new. ``once``: stop claiming when nothing is due any more.
    """

    def __init__(
        self,
        link: Link,
        journal: Journal,
        slots: Slots,
        request: Register,
        holding: Callable[[], tuple[list[UUID], list[UUID]]],
        take: Callable[[Work], bool],
        *,
        once: bool = False,
    ) -> None:
        self.over = asyncio.Event()  # nothing is claimed any more
        self.mode = AgentMode.RUNNING  # what the server told last
        self.answers = 0
        self.answered_at: float | None = None  # monotonic
        self._link = link
        self._journal = journal
        self._slots = slots
        self._request = request
        self._holding = holding
        self._take = take
        self._once = once
        self._selection = Selection(request)
        self._epoch, self._acked = journal.acknowledged()
        self._seq = 0
        self._news = asyncio.Event()
        self._told_at = self._sent_at = time.monotonic()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()  # two polls may be answered at once
        self._offers: set[int] = set()  # the open polls for whose answers slots are kept free
        self._withdrawn = asyncio.Event()
        self._withdrawn.set()

    async def register(self) -> Registration:
        """Begin a new epoch. Raises the ReeveError of a server that refuses."""
        registration = await self._link.register(replace(self._request, held=self._holding()[0]))
        if not self._epoch or registration.epoch <= self._epoch:
            self._acked = 0  # a server without memory of this agent counts its grants anew
        self._epoch = registration.epoch
        await self._journal.registered(self._epoch, self._acked)
        self._selection.registered(registration)
        self._take(Work(stop=registration.forget))
        return registration

    def stop(self) -> None:
        """Claim no more. Polls go on, so that cancellations are served (W9)."""
        self.over.set()
        self.tell()

    async def withdrawn(self) -> None:
        """Wait until no open poll offers a slot: nothing is granted then that nobody would hear of."""
        await self._withdrawn.wait()

    def tell(self) -> None:
        """Let the server know what has changed: slots, what is held."""
        if not self._news.is_set():
            self._told_at = time.monotonic()
        self._news.set()
        self._wake.set()

    async def run(self) -> None:
        """Keep one poll open; when there is news send a newer one, which the server answers the older for.

        The older one is not cancelled: that would cost its connection, and what its answer brings.
        """
        polls: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        try:
            while True:
                for poll in [one for one in polls if one.done()]:
                    polls.remove(poll)
                    if not poll.cancelled():
                        poll.result()
                overtakes = self._news.is_set() and len(polls) == 1
                if not polls or (overtakes and self._rest() <= 0):
                    self._sent_at = time.monotonic()
                    for overtaken in polls:
                        loop.call_later(_OVERTAKEN_SECONDS, overtaken.cancel)
                    self._news.clear()
                    poll = asyncio.create_task(self._poll())
                    poll.add_done_callback(lambda _: self._wake.set())
                    polls.append(poll)
                    overtakes = False
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rest() if overtakes else None):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            for poll in polls:
                poll.cancel()

    def _rest(self) -> float:
        """Return the seconds until an open poll may be overtaken."""
        between = _OFFERING_SECONDS if self._offers else _GATHER_SECONDS
        return max(self._sent_at + between, self._told_at + _GATHER_SECONDS) - time.monotonic()

    async def _poll(self) -> None:
        asked_under, asked_at = self._link.registration, time.monotonic()
        poll = self._next_poll(asked_under)
        try:
            with self._offering(poll):
                work = await self._link.poll(poll)
                self.answers += 1
                self.answered_at = time.monotonic()
                async with self._turn:
                    news = await self._accept(work)
        except NotFoundError:
            await self._register_again(asked_under, "The server does not know this agent any more")
            return
        if self._selection.seen(work.served):
            await self._register_again(asked_under, "What is gone is to be made again")
        if poll.seq != self._seq:
            return  # a newer one is open, and an overtaken one says nothing about what is due
        if news:  # what begins now needs the machine more than the next poll does
            await self._told_within(_GATHER_SECONDS if self._slots.free else _FULL_SECONDS)
        elif self._once and poll.free:
            self.over.set()
        elif time.monotonic() - asked_at < poll.hold_seconds / 2:
            await self._told_within(_EARLY_SECONDS)

    async def _told_within(self, seconds: float) -> None:
        """Wait for news, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    @contextmanager
    def _offering(self, poll: Poll) -> Iterator[None]:
        if poll.free:
            self._offers.add(poll.seq)
            self._withdrawn.clear()
        try:
            yield
        finally:
            self._offers.discard(poll.seq)
            if not self._offers:
                self._withdrawn.set()

    def _next_poll(self, registration: Registration) -> Poll:
        self._seq += 1
        free = 0 if self.over.is_set() else self._slots.free
        held, stopping = self._holding()
        return Poll(
            epoch=registration.epoch,
            seq=self._seq,
            free=free,
            held=held,
            stopping=stopping,
            acked_grant=self._acked,
            # The first is answered at once: until then nobody knows that this agent can work (/readyz).
            hold_seconds=0.0 if not self.answers or (self._once and free) else registration.poll_seconds,
            mode=self.mode,
        )

    async def _accept(self, work: Work) -> bool:
        """Journal what is new, and hand it on; what was acknowledged is never taken twice."""
        work.grants = [grant for grant in work.grants if grant.number > self._acked]
        if not work.grants:
            return self._begin(work)
        acked = max(grant.number for grant in work.grants)
        entries = [claimed(grant) for grant in work.grants]
        try:
            await self._journal.claimed(entries, acked, partial(self._begin, work))
        except JournalError as error:
            log.error("Claimed runs wait: %s", error)  # noqa: TRY400  # its sentence says it all
            await asyncio.sleep(_AGAIN_SECONDS)
            return True
        self._acked = acked
        return True

    def _begin(self, work: Work) -> bool:
        if work.grants:
            faults.reach("after_claim")
        self.mode = work.mode
        return self._take(work)

    async def _register_again(self, known: Registration, why: str) -> None:
        """The server has lost this agent, or a queue of its; of two polls that learn it, one acts."""
        async with self._turn:
            if known is not self._link.registration:
                return
            log.warning("%s; registering again", why)
            try:
                # An overtaken poll is cancelled; this must end all the same, or nobody here knows the epoch.
                await asyncio.shield(self.register())
            except ReeveError as error:
                log.error("The server refuses this agent: %s", error)  # noqa: TRY400  # its sentence says it all
                await asyncio.sleep(_AGAIN_SECONDS)
