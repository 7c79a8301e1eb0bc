"""What the server answers to a proposed state (api-contract §8.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from reeve.core.runs import FlowRun, TaskRun
from reeve.core.states import ProposedState

RunT = TypeVar("RunT", FlowRun, TaskRun)


class SetStateStatus(StrEnum):
    """The four answers (api-contract §7)."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    WAIT = "WAIT"
    ABORT = "ABORT"


class Effect(StrEnum):
    """What else the transaction that writes the verdict has to do; storage does it, no rule can."""

    TAKE_SLOTS = "take_slots"  # the task run occupies a slot of each limit on its tags
    RELEASE_SLOTS = "release_slots"  # the task run leaves every slot it holds
    STORE_CACHE = "store_cache"  # the state is found from now on under its cache key
    RESET_FAILED_TASKS = "reset_failed_tasks"  # FAILED task runs of the run become AwaitingRetry, run_count 0


class Verdict(msgspec.Struct, Generic[RunT], frozen=True, kw_only=True):
    """The answer, and what is to be written.

    ``state`` is the state to write: of an ACCEPT the proposed one, perhaps renamed; of a REJECT the one
    that takes its place. None: nothing is entered and the current state is returned.
    ``run`` is the run as the rules leave it (policy, counters), without ``state``; entering the state is
    the business of ``core.bookkeeping``. It may differ from the stored run although ``state`` is None.
    ``delay_seconds`` belongs to WAIT alone; ``reason`` to everything but ACCEPT.
    """

    status: SetStateStatus
    run: RunT
    state: ProposedState | None = None
    reason: str | None = None
    delay_seconds: int | None = None
    effects: frozenset[Effect] = frozenset()
