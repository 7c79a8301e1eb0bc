"""Policies of a schedule: what becomes of dates that were missed, and of runs that would overlap.

Pure: which waiting runs start, are skipped, or have another one cancelled (``settle``). Which dates become
runs is in ``missed_dates``. Runs that wait are *held* until the schedule's earlier runs are out of the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from reeve.core.time_limits import in_words

SKIPPED = "Skipped"  # the name of the state, of type CANCELLED
# How late a run may start when what was missed is not made up for: an agent that is busy for a moment, or is
# started anew, misses nothing.
PROMPT = timedelta(seconds=60)


class Catchup(StrEnum):
    """What becomes of dates that passed while nobody could run them, server or agents."""

    NONE = "none"  # they are skipped
    LAST = "last"  # only the newest runs
    ALL = "all"  # each runs


class Overlap(StrEnum):
    """What becomes of a run that is due while an earlier one of the same schedule has not ended."""

    ALLOW = "allow"
    SKIP = "skip"  # it does not run
    QUEUE = "queue"  # it waits
    CANCEL_RUNNING = "cancel_running"  # the earlier one is cancelled; this one starts when that has ended


class SchedulePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What reeve adds to a schedule. ``parameters`` go over those of the deployment.

    Without ``catchup`` it is as in 2.20: runs that were made wait for ever, those that were not made by the
    time are not made later. ``max_late``: the seconds after which a run that has not started is skipped.
    """

    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    catchup: Catchup | None = None
    max_late: float | None = None
    overlap: Overlap = Overlap.ALLOW

    @property
    def is_plain(self) -> bool:
        """Whether it says nothing that 2.20 does not do anyway."""
        return self == PLAIN

    @property
    def makes_up(self) -> bool:
        """Whether dates that passed without a run get one, if it may still start.

        That nobody was there to make it must make no difference.
        """
        return self.catchup is not None

    @property
    def longest_wait(self) -> timedelta | None:
        """How late a run may start; None: as late as it likes."""
        if self.max_late is not None:
            return timedelta(seconds=self.max_late)
        return PROMPT if self.catchup is Catchup.NONE else None


PLAIN = SchedulePolicy()


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a schedule that has not begun. ``held``: nobody may start it yet."""

    id: UUID
    due: datetime
    held: bool


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a schedule that was started and has not ended. ``ending``: it was told to."""

    id: UUID
    name: str
    ending: bool


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: runs to skip with the reason, to cancel, to let go."""

    skip: list[tuple[UUID, str]] = []
    cancel: list[UUID] = []
    release: list[UUID] = []

    def __bool__(self) -> bool:
        return bool(self.skip or self.cancel or self.release)


def settle(
    policy: SchedulePolicy, waiting: Sequence[Waiting], begun: Sequence[Begun], now: datetime
) -> Settlement:
    """Say what a policy does to the runs of its schedule.

    First those that are too late are skipped, then those that a newer one makes needless, then the overlap
    is looked at. At most one run is let go at a time, unless overlaps are allowed.
    """
    line = sorted(waiting, key=lambda run: (run.due, run.id))
    skip: dict[UUID, str] = {}
    for step in (_too_late, _outdated, _overlapping):
        due = [run for run in line if run.due <= now and run.id not in skip]
        skip |= step(policy, due, begun, now)
    left = [run for run in line if run.id not in skip]
    displaces = policy.overlap is Overlap.CANCEL_RUNNING and any(run.due <= now for run in left)
    return Settlement(
        skip=list(skip.items()),
        cancel=[run.id for run in begun if not run.ending] if displaces else [],
        release=_released(policy, left, begun),
    )


Skips = dict[UUID, str]  # the reason of each


def _too_late(policy: SchedulePolicy, due: list[Waiting], _begun: Sequence[Begun], now: datetime) -> Skips:
    longest = policy.longest_wait
    if longest is None:
        return {}
    reason = f"It did not start within {in_words(longest.total_seconds())} of its date."
    return {run.id: reason for run in due if now - run.due > longest}


def _outdated(policy: SchedulePolicy, due: list[Waiting], _begun: Sequence[Begun], _now: datetime) -> Skips:
    if policy.catchup is not Catchup.LAST and policy.overlap is not Overlap.CANCEL_RUNNING:
        return {}
    return {run.id: "A newer run of its schedule is due." for run in due[:-1]}


def _overlapping(policy: SchedulePolicy, due: list[Waiting], begun: Sequence[Begun], _now: datetime) -> Skips:
    if policy.overlap is not Overlap.SKIP:
        return {}
    if begun:
        reason = f"An earlier run of its schedule, {begun[0].name}, has not ended."
        return {run.id: reason for run in due}
    return {run.id: "An earlier run of its schedule waits to start." for run in due[1:]}


def _released(policy: SchedulePolicy, left: Sequence[Waiting], begun: Sequence[Begun]) -> list[UUID]:
    if policy.overlap is Overlap.ALLOW:
        return [run.id for run in left if run.held]
    if begun or not all(run.held for run in left):
        return []
    # Before it is due, so that its date finds it in the line.
    return [run.id for run in left[:1]]
