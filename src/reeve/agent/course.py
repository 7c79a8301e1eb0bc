"""The course of one attempt, from its claim to its end: prepare → launch → watch → report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from msgspec.structs import replace

from reeve import clock
from reeve.agent import faults, launch, notes, prepare, tasks, watch
from reeve.agent.journal import Entry, Journal
from reeve.agent.leases import Leases
from reeve.agent.link import Link
from reeve.agent.output import Shipper
from reeve.agent.relay import Relay
from reeve.agent.report import Outbox
from reeve.agent.slots import Slots
from reeve.agent.spool import Spool
from reeve.core.work import OnLost
from reeve.drivers.base import Driver, ExitRecord, Handle, Launch, NotLaunchedError
from reeve.errors import InvalidInputError, ReeveError
from reeve.wire.requests import Launched, Note, NotLaunched, StopFailed
from reeve.wire.responses import Grant, Infrastructure

OVER = "the server asked for it"
CANCELLED = "its run was cancelled"
_RESTARTED = "its agent was restarted before it could launch the run"
_OVER_GRACE_SECONDS = 0.5  # for what is held no more: another attempt may run already
_UNSURE_SECONDS = 1.0  # before a lease is renewed again that must be sure before the launch

log = logging.getLogger("reeve.agent")


class _NotRunError(ReeveError):
    """The attempt comes to nothing. ``permanent``: trying again cannot help."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Means:
    """What every attempt of an agent works with."""

    link: Link
    journal: Journal
    driver: Driver
    slots: Slots
    leases: Leases
    exits: watch.Exits
    spool: Spool
    jobs: Path
    environ: Mapping[str, str]
    default_infrastructure: Infrastructure | None
    output_quota: int  # bytes
    relay: Relay


class Course:
    """One held attempt. ``resumed``: an earlier process of this agent had it; then ``grant`` may be None."""

    def __init__(self, means: Means, entry: Entry, grant: Grant | None, *, resumed: bool) -> None:
        self.entry = entry
        self.is_gone = False  # nothing of it runs, or will run
        self.has_failed = False
        self.lost_bytes = 0  # of its output, for which there was no room
        self._means = means
        self._grant = grant
        self._resumed = resumed
        self._echo = False  # a run that is taken up again speaks in its own log only
        self._said: list[Note] = []
        self._exit = means.exits.expect(entry.attempt_id)  # of a stray it may come before the launch
        self._outbox = Outbox(means.link, means.journal, entry, self._said)
        self._stop_reason: str | None = None
        self._is_launching = self._is_given_back = False
        self._ending: asyncio.Task[None] | None = None

    @property
    def id(self) -> UUID:
        """The attempt."""
        return self.entry.attempt_id

    @property
    def run_id(self) -> UUID:
        """The flow run."""
        return self.entry.flow_run_id

    @property
    def infrastructure_pid(self) -> str | None:
        """Where its process is; None until it was launched."""
        handle = launch.handle_of(self.entry)
        return handle.infrastructure_pid if handle else None

    @property
    def is_ending(self) -> bool:
        """Whether it need not be told any more to come to its end."""
        return self.is_gone or self._stop_reason is not None

    def stop(self, reason: str) -> bool:
        """Have it come to its end; return whether that was new. ``reason``: half a sentence."""
        if self.is_ending:
            return False
        self._stop_reason = reason
        self._means.slots.give_up(self.id)
        if handle := launch.handle_of(self.entry):
            self._end(handle)
        return True

    def give_back(self, reason: str) -> None:
        """Have its run start elsewhere, unless it was launched or is just being.

        What an earlier process may have launched is not given back: who asks the driver finds it running.
        """
        if not (self._resumed or self._is_launching or self.entry.handle):
            self._is_given_back = self.stop(reason)

    async def run(self) -> None:
        """Go through what is left of the five steps, and return when the server has settled the attempt."""
        notes.begin(self._said)
        delivery = asyncio.create_task(self._outbox.deliver())
        delivery.add_done_callback(self._on_settled)
        try:
            await tasks.persist(self._execute)
            await delivery
            if self._stop_reason == CANCELLED:
                log.info("Cancelled flow run '%s'!", self.run_id)  # A98
        finally:
            await tasks.cancel([one for one in (delivery, self._ending) if one and not one.done()])
            self._means.exits.forget(self.id)

    def _on_settled(self, delivery: asyncio.Task[None]) -> None:
        """The server wants no more reports: the end, unless it came early (force, a deleted run)."""
        if not delivery.cancelled() and delivery.exception() is None:
            self.stop(OVER)

    async def _execute(self) -> None:
        known = launch.handle_of(self.entry)
        if known:
            self._hold_output(known)
        if self._outbox.has_end:
            self.is_gone = True
            return
        try:
            handle = known or await self._bring_up()
        except _NotRunError as error:
            if self._stop_reason is not None:
                log.info("Aborted submission of flow run '%s': %s", self.run_id, error)  # A73
            await self._report_not_launched(error)
            return
        if not self.entry.reports:
            await self._report_launched(handle)
        await self._watch(handle)

    # --- prepare, launch

    async def _bring_up(self) -> Handle:
        """Prepare and launch; raises _NotRunError."""
        if self._grant is None:
            raise _NotRunError(_RESTARTED)
        await self._means.slots.turn(self.id)
        self._check_wanted()
        log.info("Submitting flow run '%s'", self.run_id)
        order = await self._prepare(self._grant)
        self._check_wanted()
        self._is_launching = True
        try:
            handle = await launch.launch(self._means.driver, order, self.run_id)
        except NotLaunchedError as error:
            log.error("Failed to submit flow run '%s' to infrastructure. %s", self.run_id, error)  # noqa: TRY400  # a user's error
            raise _NotRunError(error.message) from error
        self._hold_output(handle)
        launch.note(self.entry, handle, order.job.grace_seconds)
        self._echo = order.job.stream_output
        return handle

    def _check_wanted(self) -> None:
        if self._stop_reason is not None:
            raise _NotRunError(f"{self._stop_reason} before the launch")

    async def _prepare(self, grant: Grant) -> Launch:
        sent_at = await self._lease_begin(grant)
        registration = self._means.link.registration
        common = prepare.Preparation(
            api_url=self._means.link.url,
            environ=self._means.environ,
            directory=self._means.jobs,
            kinds=self._means.driver.kinds,
            default=self._means.default_infrastructure,
            margin_seconds=registration.margin_seconds,
            output_quota=self._means.output_quota,
            relay_path=self._means.relay.path,
        )
        try:
            return prepare.prepare(grant, common, sent_at)
        except (ReeveError, OSError) as error:
            log.error("Failed to get infrastructure for flow run '%s'. %s", self.run_id, error)  # noqa: TRY400  # a user's error
            raise _NotRunError(str(error), permanent=isinstance(error, InvalidInputError)) from error
        except Exception as error:
            log.exception("Failed to get infrastructure for flow run '%s'.", self.run_id)
            raise _NotRunError(f"The agent could not prepare the run: {error!r}.") from error

    async def _lease_begin(self, grant: Grant) -> float:
        """Return the boot time from which the lease counts (protocol §3).

        The answer that brought the grant says when it was read, not when the server wrote it. Where another
        attempt may follow on a lost lease that is not good enough, and it is renewed first.
        """
        if grant.on_lost is OnLost.WAIT:
            return clock.boottime()
        while (sent_at := await self._means.leases.renew()) is None:  # noqa: ASYNC110  # it asks the server
            await asyncio.sleep(_UNSURE_SECONDS)
        return sent_at

    # --- watch

    def _hold_output(self, handle: Handle) -> None:
        self._means.spool.hold(self.id, handle.output_dir, self.entry.shipped)

    async def _watch(self, handle: Handle) -> None:
        """Follow a launched attempt to its end, and report it; its output is delivered first."""
        shipper = Shipper(
            self._means.link,
            self._means.journal,
            self.entry,
            handle.output_dir,
            partial(self._means.spool.sent, self.id),
            resumed=self._resumed,
            echo=self._echo,
        )
        shipper.begin()
        try:
            if self._stop_reason is not None:
                self._end(handle)
            record = await self._exit
            self.is_gone = True
            if self._ending:
                self._ending.cancel()
            await self._deliver_output(shipper)
            await self._means.relay.settled(self.entry.token)
        finally:
            shipper.close()
        await self._report_exit(record, handle)

    async def _deliver_output(self, shipper: Shipper) -> None:
        """Output goes before the end it led to; what cannot be read holds up no report."""
        try:
            await shipper.finish()
        except OSError as error:
            log.error("Output of flow run '%s' cannot be read: %s", self.run_id, error)  # noqa: TRY400  # it says all

    def _end(self, handle: Handle) -> None:
        if self._ending:
            return
        log.info(  # A97
            "Killing %s %s for flow run '%s', since %s...",
            handle.driver,
            handle.infrastructure_pid,
            self.run_id,
            self._stop_reason,
        )
        self._ending = asyncio.create_task(
            watch.end(self._means.driver, handle, self._grace_seconds, self._report_stop_failed)
        )

    @property
    def _grace_seconds(self) -> float:
        grace = self.entry.grace_seconds
        return min(grace, _OVER_GRACE_SECONDS) if self._stop_reason == OVER else grace

    # --- report

    async def _report_not_launched(self, error: _NotRunError) -> None:
        self.is_gone = True
        report = NotLaunched(
            seq=0, reason=error.message, permanent=error.permanent, given_back=self._is_given_back
        )
        await self._outbox.put(lambda seq: replace(report, seq=seq))

    async def _report_launched(self, handle: Handle) -> None:
        log.info("Completed submission of flow run '%s'", self.run_id)
        details, pid = self.entry.handle or {}, handle.infrastructure_pid
        await self._outbox.put(lambda seq: Launched(seq=seq, handle=details, infrastructure_pid=pid))
        faults.reach("after_handle")

    async def _report_stop_failed(self, reason: str) -> None:
        log.error("Flow run '%s' cannot be ended: %s", self.run_id, reason)
        await self._outbox.put(lambda seq: StopFailed(seq=seq, reason=reason))

    async def _report_exit(self, record: ExitRecord, handle: Handle) -> None:
        self.has_failed = record.status_code != 0
        self.lost_bytes = record.output_lost_bytes + record.output_dropped_bytes
        if dropped := record.output_dropped_bytes:
            log.warning(
                "%d bytes of this run's output were lost: its agent's spool was full (REEVE_SPOOL_LIMIT)",
                dropped,
            )
        reason = self._stop_reason
        report = watch.exited(record, handle, reason)
        faults.reach("before_report")
        await self._outbox.put(lambda seq: replace(report, seq=seq))
        faults.reach("after_report")
        log.log(
            logging.ERROR if self.has_failed and reason is None else logging.INFO,
            "Flow run '%s' ended: %s",
            self.run_id,
            report.cause,
        )
