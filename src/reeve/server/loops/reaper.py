"""Lease reaper: judges open attempts whose lease is over; it never reads run states (protocol §1, §3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from reeve import clock
from reeve.core.attempts import Attempt, AttemptKind, Fate, LeaseTerms, fate
from reeve.core.hearing import Hearing
from reeve.errors import UnavailableError
from reeve.server.loops.loop import Loop
from reeve.server.services import attempts as service
from reeve.server.services.context import Context
from reeve.server.storage import attempts
from reeve.server.storage.store import Transaction

BATCH = 200
TOGETHER = 32  # judged at once: one commit on SQLite; on PostgreSQL they share its connections with requests
_UNSTOPPABLE = "Its agent could not end all of its processes, and has given up waiting for it."

log = logging.getLogger("reeve.server.loops")


class Reaper(Loop):
    """Every second. A server that starts reaps nothing until it has heard for one full lease."""

    name = "lease reaper"

    def __init__(self, ctx: Context, interval: float) -> None:
        super().__init__(ctx, interval)
        # Between two looks of a server that hears lies the interval; renewals come no more often than this.
        self.hearing = Hearing(timedelta(seconds=interval + ctx.terms.renew_every))

    async def round(self) -> None:
        if self.ctx.presence.is_deaf(clock.boottime(), 2 * self.ctx.terms.renew_every):
            return  # the gap grows until renewals are stored again
        now, in_doubt = await self._look()
        if self.hearing.total < timedelta(seconds=self.ctx.terms.lease):
            return
        for start in range(0, len(in_doubt), TOGETHER):
            await self._judge_all(in_doubt[start : start + TOGETHER], now)
            await self._look()

    async def _look(self) -> tuple[datetime, list[UUID]]:
        """Return who is in doubt, and the moment of that, at which renewals could be stored as well.

        It is written, not read, since renewals are: who waits for the one writer of SQLite hears nothing.
        """
        now, in_doubt = await self.ctx.store.write(self._in_doubt)
        if gap := self.hearing.heard(now):
            log.warning(
                "%s: no renewals could be heard for %.3f s until %s; leases last so much longer",
                self.name,
                gap.length.total_seconds(),
                gap.end.isoformat(),
            )
            self.hearing.forget(_longest_wait(self.ctx.terms))
        return now, in_doubt

    async def _in_doubt(self, tx: Transaction) -> tuple[datetime, list[UUID]]:
        now = await tx.now()
        return now, await attempts.in_doubt(tx, self.ctx.terms, now, BATCH)

    async def _judge_all(self, in_doubt: Sequence[UUID], as_of: datetime) -> None:
        """Judge each by itself: one that cannot be judged keeps no other one waiting."""
        judged = (self.ctx.store.write(partial(self._judge, attempt_id=one, as_of=as_of)) for one in in_doubt)
        for attempt_id, error in zip(
            in_doubt, await asyncio.gather(*judged, return_exceptions=True), strict=True
        ):
            if isinstance(error, UnavailableError):
                raise error
            if error is not None:
                log.error("%s: attempt %s could not be judged", self.name, attempt_id, exc_info=error)

    async def _judge(self, tx: Transaction, attempt_id: UUID, as_of: datetime) -> None:
        """Judge ``as_of`` a moment at which renewals were heard: this server may have slept since."""
        attempt = await attempts.lock(tx, attempt_id)
        if attempt is None or not attempt.is_open or attempt.lease_until is None:
            return
        now = await tx.now()
        terms = self.ctx.terms
        returned = await attempts.returns(tx, attempt.flow_run_id)
        slack = self.hearing.missed(_last_sign(attempt, attempt.lease_until, terms))
        match fate(attempt, returns=returned, terms=terms, now=as_of, slack=slack):
            case Fate.RETURN | Fate.GIVE_UP:
                await service.give_back(tx, attempt, _silence(terms), terms.launch_tries, now)
            case Fate.UNREACHABLE:
                await service.unreachable(tx, attempt, now)
            case Fate.LOSE:
                await service.lose(tx, attempt, _lost(attempt, now), now)
            case Fate.RELEASE:
                await service.lose(tx, attempt, _UNSTOPPABLE, now)
            case Fate.KEEP:
                pass


def _last_sign(attempt: Attempt, lease_until: datetime, terms: LeaseTerms) -> datetime:
    renewed = lease_until - timedelta(seconds=terms.lease)
    return min(renewed, attempt.stop_failed or renewed)


def _longest_wait(terms: LeaseTerms) -> timedelta:
    return timedelta(seconds=terms.lease + terms.grace + max(terms.margin + terms.grace, terms.lost_after))


def _silence(terms: LeaseTerms) -> str:
    return f"its agent was not heard of for {terms.lease:g} s"


def _lost(attempt: Attempt, now: datetime) -> str:
    silent = round((now - attempt.lease_until).total_seconds()) if attempt.lease_until else 0
    whose = "process" if attempt.kind is AttemptKind.SELF else "agent"
    return f"Its {whose} was lost: no sign for {silent} s after the lease ended."
