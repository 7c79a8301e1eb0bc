"""Lease reaper: judges open attempts whose lease is over; it never reads run states (protocol §1, §3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from reeve import clock
from reeve.core.attempts import Attempt, AttemptKind, Fate, LeaseTerms, fate
from reeve.server.loops.loop import Loop
from reeve.server.services import attempts as service
from reeve.server.services.context import Context
from reeve.server.storage import attempts
from reeve.server.storage.store import Transaction

BATCH = 200
_UNSTOPPABLE = "Its agent could not end all of its processes, and has given up waiting for it."


class Reaper(Loop):
    """Every second. A server that starts reaps nothing until it has been up for one full lease."""

    name = "lease reaper"

    def __init__(self, ctx: Context, interval: float) -> None:
        super().__init__(ctx, interval)
        self._started = clock.boottime()
        self._last = self._started
        self._slack = timedelta()
        self._slack_until = self._started

    async def round(self) -> None:
        now = clock.boottime()
        self._count_gap(now)
        if now - self._started < self.ctx.terms.lease:
            return
        for attempt_id in await self.ctx.store.read(self._in_doubt):
            await self.ctx.store.write(partial(self._judge, attempt_id=attempt_id))

    def _count_gap(self, now: float) -> None:
        """While this server slept it heard no renewals either: what it missed is not held against them."""
        gap = now - self._last - self.interval
        self._last = now
        if gap > self.ctx.terms.renew_every:
            self._slack = timedelta(seconds=gap)
            self._slack_until = now + self.ctx.terms.lease
        elif now > self._slack_until:
            self._slack = timedelta()

    async def _in_doubt(self, tx: Transaction) -> list[UUID]:
        now = await tx.now()
        given_up = now - timedelta(seconds=self.ctx.terms.lost_after)
        return await attempts.in_doubt(tx, silent_since=now, unstoppable_since=given_up, limit=BATCH)

    async def _judge(self, tx: Transaction, attempt_id: UUID) -> None:
        attempt = await attempts.lock(tx, attempt_id)
        if attempt is None or not attempt.is_open:
            return
        now = await tx.now()
        terms = self.ctx.terms
        returned = await attempts.returns(tx, attempt.flow_run_id)
        match fate(attempt, returns=returned, terms=terms, now=now, slack=self._slack):
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


def _silence(terms: LeaseTerms) -> str:
    return f"its agent was not heard of for {terms.lease:g} s"


def _lost(attempt: Attempt, now: datetime) -> str:
    silent = round((now - attempt.lease_until).total_seconds()) if attempt.lease_until else 0
    whose = "process" if attempt.kind is AttemptKind.SELF else "agent"
    return f"Its {whose} was lost: no sign for {silent} s after the lease ended."
