"""The conductor: one agent's life, from what its journal remembers to its farewell (design §6)."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from reeve.agent import faults, launch, prepare, tasks, watch
from reeve.agent.batch import Batches
from reeve.agent.claim import Claims
from reeve.agent.course import CANCELLED, OVER, Course, Means
from reeve.agent.journal import Entry, Journal, JournalError, claimed
from reeve.agent.leases import Leases
from reeve.agent.link import Link, SupersededError
from reeve.agent.relay import Relay
from reeve.agent.slots import Slots
from reeve.agent.spool import Bounds, Spool
from reeve.agent.status import HeldRun, Status
from reeve.client.calls import ServerUnreachableError
from reeve.core.agents import AgentMode
from reeve.drivers.base import Driver, ExitRecord, Found, Handle
from reeve.errors import ReeveError
from reeve.wire.requests import Register
from reeve.wire.responses import Grant, Infrastructure, Registration, Work

KEPT_FAILURES = 5  # ended attempts whose output and directory stay, to be looked at (W45)
ONCE_SECONDS = 10.0  # in which a run-once must have found its server (W8)
PARTING_SECONDS = 2.0  # for tidying up, and for the last words to the server, which misses us anyway
CLEARING_SECONDS = 0.05  # in which ended attempts gather, to be cleared away together: it is not urgent
DELIVERY_SECONDS = 10.0  # on top of the grace period, for the last reports

_STOPPING = "its agent is stopping"
_VANISHED = "ended, nobody saw how: what the driver kept of it is gone"

log = logging.getLogger("reeve.agent")


class Conductor:
    """The attempts that are held, and what the server and the user say about them.

    ``default_infrastructure``: for runs that name none themselves (A80).
    """

    def __init__(
        self,
        link: Link,
        journal: Journal,
        driver: Driver,
        request: Register,
        jobs: Path,
        *,
        once: bool,
        default_infrastructure: Infrastructure | None,
        bounds: Bounds,
        relay: Relay,
    ) -> None:
        self._link = link
        self._journal = journal
        self._driver = driver
        self._jobs = jobs
        self._jobs.mkdir(mode=0o700, exist_ok=True)
        self._once = once
        self._request = request
        self._held: dict[UUID, Course] = {}
        self._strays: dict[UUID, Handle] = {}  # they run, and the journal does not know them
        self._failures: deque[UUID] = deque()  # of these the driver still keeps what there was, oldest first
        self._clearing = Batches(self._clear_away, gather=CLEARING_SECONDS)
        self._slots = Slots(request.limit or 0)
        self._claims = Claims(link, journal, self._slots, request, self._holding, self._take, once=once)
        self._leases = Leases(link, driver, self._tokens, self._lose)
        self._exits = watch.Exits(driver, self._on_stray)
        self._spool = Spool(driver, bounds.spool)
        self._means = Means(
            link,
            journal,
            driver,
            self._slots,
            self._leases,
            self._exits,
            self._spool,
            jobs,
            prepare.inherited(os.environ),
            default_infrastructure,
            bounds.quota,
            relay,
        )
        self._running: set[asyncio.Task[None]] = set()
        self._has_told_limit = False
        self._mode = AgentMode.RUNNING
        self._ended = self._ended_badly = self._lost_bytes = 0
        self._superseded = asyncio.Event()
        self._told_to_stop = asyncio.Event()
        self._told_to_hurry = asyncio.Event()

    def stop(self) -> None:
        """Claim no more, and leave when what is held has ended; told again, end it now."""
        if self._told_to_stop.is_set():
            self._told_to_hurry.set()
            return
        log.info(
            "Told to stop; %d flow runs in progress. Told again, they are ended at once", len(self._held)
        )
        self.leave()

    def leave(self) -> None:
        """Claim no more, and leave when what is held has ended, or the time for it is over."""
        self._told_to_stop.set()
        self._claims.stop()
        for course in list(self._held.values()):
            course.give_back(_STOPPING)

    def status(self) -> Status:
        """Say how this agent is at this moment."""
        request, answered_at = self._request, self._claims.answered_at
        return Status(
            name=request.name,
            version=request.version,
            server=self._link.url,
            pool=self._link.registration.pool if self._link.is_registered else request.pool,
            queues=request.queues,
            prefixes=request.prefixes,
            mode=self._mode,
            is_stopping=self._told_to_stop.is_set(),
            slots=self._slots.limit,
            free=self._slots.free,
            runs=[
                HeldRun(one.run_id, one.id, one.infrastructure_pid, one.is_ending)
                for one in self._held.values()
            ],
            ended=self._ended,
            failed=self._ended_badly,
            spool_bytes=self._spool.size,
            spool_limit=self._spool.limit,
            lost_bytes=self._lost_bytes,
            polls=self._claims.answers,
            since_poll=None if answered_at is None else time.monotonic() - answered_at,
            poll_seconds=self._link.registration.poll_seconds if self._link.is_registered else 0.0,
        )

    async def run(self, drain_timeout: float, *, leave_runs: bool) -> None:
        """Live; with ``leave_runs`` what outlasts the drain goes on, and the next start takes it up.

        Raises SupersededError, or the ReeveError of a server that refuses this agent.
        """
        try:
            await self._adopt(await self._driver.recover())
            helpers = tasks.persist(self._exits.run), tasks.persist(self._spool.run)
            await tasks.first(self._live(drain_timeout, leave_runs), *helpers, self._superseded.wait())
        finally:
            await tasks.cancel(
                self._running
            )  # none but after an error, or to be left: what was launched goes on
            await self._clearing.close()
        if self._superseded.is_set():
            raise SupersededError

    # --- life

    async def _live(self, drain_timeout: float, leave_runs: bool) -> None:
        await tasks.first(self._work(), self._leave(drain_timeout, leave_runs))
        await self._driver.retire()
        if self._link.is_registered:
            with suppress(ReeveError, TimeoutError):
                async with asyncio.timeout(PARTING_SECONDS):
                    await self._link.farewell()
        log.info("Agent stopped!")

    async def _work(self) -> None:
        try:
            async with asyncio.timeout(ONCE_SECONDS if self._once else None):
                registration = await self._claims.register()
        except TimeoutError:
            raise ServerUnreachableError.at(self._link.url, f"tried for {ONCE_SECONDS:g} s") from None
        self._greet(registration)
        await tasks.first(tasks.persist(self._claims.run), tasks.persist(self._leases.run))

    def _greet(self, registration: Registration) -> None:
        """Say what is served (A155), and that nothing may come of it (W15)."""
        request, pool = self._request, registration.pool
        names = f"queue(s): {', '.join(request.queues)} of " if request.queues else ""
        if request.prefixes:
            names = f"queue(s) that start with the prefix: {request.prefixes} of "
        log.info("Agent started! Looking for work from %swork pool '%s'...", names, pool)
        if not registration.is_drivable:
            kinds = ", ".join(request.kinds)
            log.warning(
                "This agent launches only runs that name infrastructure of its own kind (%s): "
                "it has no driver for others of work pool '%s', which is of the type '%s'",
                kinds,
                pool,
                registration.pool_type,
            )

    async def _leave(self, drain_timeout: float, leave_runs: bool) -> None:
        """Return when there is nothing more to do; until then polls and renewals go on (W9)."""
        await self._claims.over.wait()
        if not self._told_to_stop.is_set():  # all that was due is claimed
            await tasks.first(self._slots.empty(), self._told_to_stop.wait())
        await tasks.first(self._claims.withdrawn(), asyncio.sleep(PARTING_SECONDS))
        await tasks.first(self._slots.empty(), self._told_to_hurry.wait(), asyncio.sleep(drain_timeout))
        if self._held and leave_runs and not self._told_to_hurry.is_set():
            log.warning("Leaving %d flow runs to the next start of this agent", len(self._held))
            return
        if self._held:
            await self._end_all()
        if self._running and not self._held:
            await asyncio.wait(self._running, timeout=PARTING_SECONDS)
        if self._held:
            log.warning("The server hears at the next start how %d flow runs have ended", len(self._held))

    async def _end_all(self) -> None:
        log.warning("Ending %d flow runs", len(self._held))
        for course in list(self._held.values()):
            course.stop(_STOPPING)
        graces = [one.entry.grace_seconds for one in self._held.values() if not one.is_gone]
        grace = max(graces, default=0.0)
        await tasks.first(self._slots.empty(), asyncio.sleep(grace + DELIVERY_SECONDS))

    # --- what there was before

    async def _adopt(self, found: Collection[Found]) -> None:
        """Take up what an earlier process of this agent held, as the journal and the driver know it."""
        known = {one.attempt: one for one in found}
        for entry in self._journal.entries():
            seen = known.pop(entry.attempt_id, None)
            if seen and seen.handle and entry.handle is None:
                entry.handle = launch.plain(seen.handle)  # it died between launch and journal
            if entry.handle is not None:
                self._expect(entry, seen)
            log.info("Taking up flow run '%s'", entry.flow_run_id)
            self._start(entry, None, resumed=True)
        for stray in known.values():
            if stray.handle:
                self._spool.hold(stray.attempt, stray.handle.output_dir)
        self._strays = {one.attempt: one.handle for one in known.values() if one.handle and not one.exit}
        ended = [one.exit for one in known.values() if one.exit]
        in_order = sorted(ended, key=lambda one: one.ended_at or 0)
        await asyncio.gather(*(self._let_go(record.attempt, keep=True) for record in in_order))

    def _expect(self, entry: Entry, seen: Found | None) -> None:
        exit_ = self._exits.expect(entry.attempt_id)
        if seen is None:
            exit_.set_result(ExitRecord(attempt=entry.attempt_id, message=_VANISHED))
        elif seen.exit:
            exit_.set_result(seen.exit)

    def _on_stray(self, record: ExitRecord) -> None:
        """Take the end of an attempt that nobody waits for."""
        self._strays.pop(record.attempt, None)
        self._spawn(self._let_go(record.attempt, keep=True))

    async def _let_go(self, attempt_id: UUID, *, keep: bool) -> None:
        """Have journal and driver forget an ended attempt; what there was is kept until enough others are."""
        await self._clearing.put((attempt_id, keep))

    async def _clear_away(self, ended: Sequence[tuple[UUID, bool]]) -> list[None]:
        """Clear several away: a process that dies in between finds the rest of them at its next start."""
        # A stray that was granted since is left to its course.
        over = {attempt_id: keep for attempt_id, keep in ended if attempt_id not in self._held}
        try:
            await self._journal.settled([*over])
        except JournalError as error:  # the server has settled them: at the next start it says so again
            log.error("Ended attempts stay in the journal: %s", error)  # noqa: TRY400  # its sentence says it all
        for attempt_id in over:
            prepare.remove_job_file(self._jobs, attempt_id)
            self._spool.settle(attempt_id)
        await self._driver.acknowledge(over.keys())
        self._failures += [attempt_id for attempt_id, keep in over.items() if keep]
        gone = [attempt_id for attempt_id, keep in over.items() if not keep]
        while len(self._failures) > KEPT_FAILURES:
            gone.append(self._failures.popleft())
        if gone:
            await self._driver.discard(gone)
        for attempt_id in gone:
            self._spool.forget(attempt_id)
        return [None] * len(ended)

    # --- what the server says

    def _holding(self) -> tuple[list[UUID], list[UUID]]:
        ending = [id_ for id_, course in self._held.items() if course.is_ending]
        return [*self._held, *self._strays], ending

    def _tokens(self) -> dict[UUID, str]:
        return {id_: course.entry.token for id_, course in self._held.items()}

    def _take(self, work: Work) -> bool:
        """Start what was granted, stop what is to stop; return whether anything was new."""
        for grant in work.grants:
            if grant.attempt_id in self._held:  # the disk failed when it was to be acknowledged
                continue
            # A stray is launched like any other: the driver launches nothing twice.
            stray = self._strays.pop(grant.attempt_id, None)
            self._start(claimed(grant), grant, resumed=stray is not None)
        self._tell_limit(work)
        self._obey(work.mode)
        told = [
            (self._held[one.attempt_id], one.reason) for one in work.cancel if one.attempt_id in self._held
        ]
        stopped = [course for course, reason in told if course.stop(reason or CANCELLED)]
        if stopped:
            log.info("Found %d flow runs awaiting cancellation.", len(stopped))  # A92
        return self._lose(work.stop) or bool(work.grants or stopped)

    def _obey(self, mode: AgentMode) -> None:
        """Do what an operator told this agent by way of the server, which grants a paused one nothing."""
        if mode is self._mode:
            return
        self._mode = mode
        log.info("Told to be %s; %d flow runs in progress", mode.lower(), len(self._held))
        if mode is AgentMode.DRAINING:
            self.leave()

    def _tell_limit(self, work: Work) -> None:
        """Say that the limit is reached, once until there was less to do than slots."""
        if self._slots.free and not work.grants:
            self._has_told_limit = False
        elif not self._slots.free and not self._has_told_limit:
            self._has_told_limit = True
            log.info("Flow run limit reached; %d flow runs in progress.", len(self._held))  # A61

    def _lose(self, attempts: Collection[UUID]) -> bool:
        """End attempts that the server says are over; return whether that was new."""
        courses = [self._held[one] for one in attempts if one in self._held]
        strays = [handle for one in attempts if (handle := self._strays.pop(one, None))]
        for handle in strays:
            self._spawn(self._driver.stop(handle, 0))
        return bool([course for course in courses if course.stop(OVER)] or strays)

    # --- attempts

    def _start(self, entry: Entry, grant: Grant | None, *, resumed: bool) -> None:
        course = self._held[entry.attempt_id] = Course(self._means, entry, grant, resumed=resumed)
        if grant is None:
            self._slots.adopt(course.id)
        else:
            self._slots.reserve(course.id)
            if self._claims.over.is_set():
                course.give_back(_STOPPING)
        self._spawn(self._see_through(course))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _see_through(self, course: Course) -> None:
        """Let an attempt run its course, then free its slot and forget it."""
        try:
            await course.run()
        except SupersededError:
            self._superseded.set()
            return
        self._ended += 1
        self._ended_badly += course.has_failed
        self._lost_bytes += course.lost_bytes
        del self._held[course.id]
        self._slots.release(course.id)
        self._claims.tell()
        faults.reach("before_forget")
        try:
            await self._let_go(course.id, keep=course.has_failed)
        except Exception:  # the run is over all the same, and the next start tidies up
            log.exception("Flow run '%s' is over, but not all of it could be cleared away", course.run_id)
