"""Report: tell the server of one attempt, in order, until it has heard (protocol §7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from reeve.agent.journal import Entry, Journal, JournalError
from reeve.agent.link import Link
from reeve.wire.requests import AnyReport, Exited, Launched, Note, NotLaunched

_ENDS = (Exited, NotLaunched)  # nothing follows these
_LAUNCHED_SECONDS = 0.5  # that a launch waits for what follows it: most runs have ended by then
_AGAIN_SECONDS = 5.0  # before reports are sent again that the server answered without taking them

log = logging.getLogger("reeve.agent")


class Outbox:
    """The reports of one attempt. Each is journaled before it is sent, under a number of its own.

    ``said``: what is added there goes with the next report.
    """

    def __init__(self, link: Link, journal: Journal, entry: Entry, said: list[Note]) -> None:
        self._said = said
        self._link = link
        self._journal = journal
        self._entry = entry
        self._next = entry.reports[-1].seq + 1 if entry.reports else 1
        self._unsent = list(entry.reports)
        self._news = asyncio.Event()
        if self._unsent:
            self._news.set()

    @property
    def has_end(self) -> bool:
        """Whether the report that ends the attempt was made."""
        reports = self._entry.reports
        return bool(reports) and isinstance(reports[-1], _ENDS)

    async def put(self, make: Callable[[int], AnyReport]) -> None:
        """Journal the report that ``make`` returns for its number; ``deliver`` sends it.

        A disk that is full holds up no report; nor does one whose maker is cancelled, for a number that the
        server never gets would hold up all later ones.
        """
        report = make(self._next)
        report.notes, self._said[:] = [*self._said], []
        self._next += 1
        self._entry.reports.append(report)
        try:
            await self._journal.reported(self._entry, report)
        except JournalError as error:
            log.error("A report is kept in memory only: %s", error)  # noqa: TRY400  # its sentence says it all
        finally:
            self._unsent.append(report)
        self._news.set()

    async def deliver(self) -> None:
        """Send reports until the server has settled the attempt; it has, too, when the run was deleted."""
        while True:
            await self._news.wait()
            self._news.clear()
            if not self._unsent:
                continue
            if all(isinstance(one, Launched) for one in self._unsent):
                await self._more_within(_LAUNCHED_SECONDS)
            sent = list(self._unsent)
            receipt = await self._link.report(self._entry.attempt_id, sent)
            if receipt.closed:
                return
            numbers = [one.seq for one in sent]
            self._go_on_from(receipt.next_seq)
            if numbers == [one.seq for one in self._unsent]:
                await asyncio.sleep(_AGAIN_SECONDS)
            if self._unsent:
                self._news.set()

    async def _more_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    def _go_on_from(self, next_seq: int) -> None:
        """Keep what the server has not taken, under the numbers that it expects.

        They differ when a full disk has kept a report out of the journal, and the agent was started anew. An
        end that was taken closes the attempt: if it did not, the server had another report of that number.
        """
        left = [one for one in self._unsent if one.seq >= next_seq or isinstance(one, _ENDS)]
        if left and left[0].seq != next_seq:
            for seq, one in enumerate(left, next_seq):
                one.seq = seq
        self._unsent = left
        self._next = max(self._next, next_seq + len(left))
