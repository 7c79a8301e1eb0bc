"""Attempts: the tries to execute a run, their leases, and what silence means (protocol §1, §3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

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

    @property
    def is_open(self) -> bool:
        """Whether the attempt still holds its run, and its slots."""
        return self.closed is None


class Fate(StrEnum):
    """What the reaper does with an attempt whose lease is over."""

    KEEP = "keep"
    UNREACHABLE = "unreachable"  # show it, change nothing
    RETURN = "return"  # never launched: the run is scheduled again
    GIVE_UP = "give_up"  # never launched, too often: the run is crashed
    LOSE = "lose"  # launched and silent for good: crashed, the crash budget decides


def fate(
    attempt: Attempt, *, on_lost: OnLost, returns: int, terms: LeaseTerms, now: datetime, slack: timedelta
) -> Fate:
    """Judge an open attempt by its lease.

    ``returns`` counts the run's earlier attempts that ended without a launch; ``slack`` is added to
    every deadline for the time in which the reaper itself did not run (protocol §3).
    """
    if attempt.lease_until is None:
        return Fate.KEEP
    over = attempt.lease_until + slack
    if now < over + timedelta(seconds=terms.grace):
        return Fate.KEEP
    if attempt.launched is None:
        return Fate.RETURN if returns + 1 < terms.launch_tries else Fate.GIVE_UP
    if on_lost is OnLost.REPLACE:
        # One margin on top of lease and grace: the shim has ended the tree one margin *before* the lease.
        deadline = over + timedelta(seconds=terms.grace + terms.margin)
    else:
        deadline = over + timedelta(seconds=terms.lost_after)
    if now >= deadline:
        return Fate.LOSE
    return Fate.KEEP if attempt.unreachable else Fate.UNREACHABLE
