"""Attempts: the tries to execute a run, their leases, and what silence means (protocol §1, §3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from reeve.core.crashes import CrashReason
from reeve.core.runs import FlowRun
from reeve.core.time_limits import NO_LIMITS, Deadline, TimeLimits
from reeve.core.work import OnLost


class AttemptKind(StrEnum):
    """Who opened the attempt and who renews it (protocol §1)."""

    LEASED = "leased"
    SELF = "self"
    FOREIGN = "foreign"


class AttemptState(StrEnum):
    """How far an attempt has come; the last four are final."""

    CLAIMED = "CLAIMED"
    LAUNCHED = "LAUNCHED"
    STARTED = "STARTED"  # its process was granted Running
    ENDED = "ENDED"  # its process is gone, the run's own state says how it went
    CRASHED = "CRASHED"  # its process died before the run had ended
    RETURNED = "RETURNED"  # claimed and never launched
    LOST = "LOST"  # nobody could say what became of it


OPEN_STATES = frozenset({AttemptState.CLAIMED, AttemptState.LAUNCHED, AttemptState.STARTED})


class LeaseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a lease, in seconds (protocol §3)."""

    lease: float = 20.0
    renew_every: float = 5.0
    margin: float = 2.0  # a replaced tree is ended this long before its lease
    grace: float = 3.0  # what the server waits on top, for clocks and answers under way
    lost_after: float = 300.0  # under ``wait``: a silent agent is given up after this
    launch_tries: int = 3  # claims that may end without a launch


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to execute a run; its id is the fence."""

    id: UUID
    flow_run_id: UUID
    number: int
    kind: AttemptKind
    state: AttemptState
    opened: datetime
    agent_id: UUID | None = None
    epoch: int | None = None
    grant: int | None = None
    work_pool_id: UUID | None = None
    work_queue_id: UUID | None = None
    deployment_id: UUID | None = None  # of its run, when it was opened: whose limit it fills
    lease_until: datetime | None = None
    unreachable: bool = False
    launched: datetime | None = None
    started: datetime | None = None
    closed: datetime | None = None
    last_seq: int = 0
    handle: dict[str, Any] | None = None
    exit_code: int | None = None
    signal: int | None = None
    cpu_seconds: float | None = None
    max_rss_kib: int | None = None
    cause: str | None = None
    output_tail: str | None = None
    on_lost: OnLost = OnLost.WAIT  # as its pool had it when it was claimed: its shim goes by that too
    crash_reason: CrashReason | None = None
    stop_failed: datetime | None = None  # since when its agent has said that it cannot end it
    limits: TimeLimits = NO_LIMITS  # as its deployment had them when it was claimed
    expires: datetime | None = None  # when the next of them is over
    code_version: str | None = None  # its deployment's when it was opened, or what its process has fetched

    @property
    def is_open(self) -> bool:
        """Whether the attempt still holds its run, and its slots."""
        return self.closed is None


def deadline(attempt: Attempt, run: FlowRun) -> Deadline | None:
    """Return the next time limit of an open attempt."""
    limits = attempt.limits
    if limits == NO_LIMITS:  # as of most, and it is asked at each step
        return None
    found: list[Deadline | None] = []
    if attempt.launched is not None:
        found.append(limits.running(attempt.launched))
    if attempt.started is None:
        found.append(limits.pending(_wanted(attempt, run)))
        found.append(limits.start(run.expected_start_time if run.start_time is None else None))
    return min((one for one in found if one), key=lambda one: one.at, default=None)


def _wanted(attempt: Attempt, run: FlowRun) -> datetime:
    """Return since when a claimed run could be Running: it may be claimed before it is due."""
    due = run.state.details.scheduled_time if run.state else None
    return max(attempt.opened, due or attempt.opened)


def timed(attempt: Attempt, run: FlowRun) -> Attempt:
    """Return an attempt that has come a step further, with its next time limit noted."""
    next_ = deadline(attempt, run)
    return replace(attempt, expires=next_.at if next_ else None)


def overdue(attempt: Attempt, run: FlowRun, now: datetime) -> Deadline | None:
    """Return the time limit that an open attempt has passed."""
    next_ = deadline(attempt, run)
    return next_ if next_ and next_.at <= now else None


class Fate(StrEnum):
    """What the reaper does with an attempt whose lease is over."""

    KEEP = "keep"
    UNREACHABLE = "unreachable"  # show it, change nothing
    RETURN = "return"  # never launched: the run is scheduled again
    GIVE_UP = "give_up"  # never launched, too often: the run is crashed
    LOSE = "lose"  # launched and silent for good: crashed, the crash budget decides
    RELEASE = "release"  # heard of, but its processes cannot be ended: its slot is freed (protocol §8)


def fate(attempt: Attempt, *, returns: int, terms: LeaseTerms, now: datetime, slack: timedelta) -> Fate:
    """Judge an open attempt by its lease.

    ``returns`` counts the run's earlier attempts that ended without a launch; ``slack`` is added to
    every deadline for the time in which the reaper itself did not run (protocol §3).
    """
    if attempt.lease_until is None:
        return Fate.KEEP
    if attempt.stop_failed and now >= attempt.stop_failed + slack + timedelta(seconds=terms.lost_after):
        return Fate.RELEASE
    over = attempt.lease_until + slack
    if now < over + timedelta(seconds=terms.grace):
        return Fate.KEEP
    # Its process may have said Running before its agent could say that it was launched.
    if attempt.launched is None and attempt.started is None:
        return Fate.RETURN if returns + 1 < terms.launch_tries else Fate.GIVE_UP
    if attempt.on_lost is OnLost.REPLACE:
        # One margin on top of lease and grace: the shim has ended the tree one margin *before* the lease.
        deadline = over + timedelta(seconds=terms.grace + terms.margin)
    else:
        deadline = over + timedelta(seconds=terms.lost_after)
    if now >= deadline:
        return Fate.LOSE
    return Fate.KEEP if attempt.unreachable else Fate.UNREACHABLE
