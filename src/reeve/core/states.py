"""States of flow runs and task runs: their types, names and details (api-contract §5.1, §7)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec


class StateType(StrEnum):
    """The nine kinds of state (api-contract §7)."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"

    @property
    def is_final(self) -> bool:
        """Whether a run in this state has ended."""
        return self in FINAL


FINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED})

# Names with a meaning of their own; any other state is called by its capitalised type.
LATE = "Late"
AWAITING_RETRY = "AwaitingRetry"
RESUMING = "Resuming"
RETRYING = "Retrying"
RERUNNING = "Rerunning"
CACHED = "Cached"
SUSPENDED = "Suspended"
NOT_READY = "NotReady"
UNREACHABLE = "Unreachable"


class StateDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a state carries besides its type; times are aware, in UTC."""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: datetime | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    untrackable_result: bool = False
    pause_timeout: datetime | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a run. ``data`` is the result or its reference, as JSON values."""

    id: UUID
    type: StateType
    name: str
    timestamp: datetime
    message: str | None = None
    data: Any = None
    details: StateDetails = StateDetails()

    @property
    def is_final(self) -> bool:
        """Whether a run in this state has ended."""
        return self.type.is_final


class ProposedState(msgspec.Struct, frozen=True, kw_only=True):
    """A state somebody asks for; the server gives it its id and its time when it is accepted."""

    type: StateType
    name: str
    message: str | None = None
    data: Any = None
    details: StateDetails = StateDetails()


def is_overdue_pause(state: State | None, now: datetime) -> bool:
    """Whether a run should have been resumed by now; a pause without an end is never overdue."""
    if state is None or state.type is not StateType.PAUSED:
        return False
    return state.details.pause_timeout is not None and state.details.pause_timeout <= now


def default_name(type_: StateType) -> str:
    """Return the name of a state that was given none: its capitalised type."""
    return type_.capitalize()


def propose(
    type_: StateType,
    *,
    name: str | None = None,
    message: str | None = None,
    data: Any = None,
    details: StateDetails | None = None,
) -> ProposedState:
    """Build a proposal; ``name`` defaults to the capitalised type."""
    return ProposedState(
        type=type_,
        name=name or default_name(type_),
        message=message,
        data=data,
        details=details or StateDetails(),
    )
