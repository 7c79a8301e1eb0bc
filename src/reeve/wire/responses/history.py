"""Figures over many runs; durations are seconds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.states import StateType
from reeve.wire.codec import Timestamp


class HistoryState(Struct, kw_only=True):
    """``HistoryResponseState``: the runs of an interval that are in this state."""

    state_type: StateType
    state_name: str
    count_runs: int
    sum_estimated_run_time: float
    sum_estimated_lateness: float


class HistoryInterval(Struct, kw_only=True):
    """``HistoryResponse``: the runs that were to start from ``interval_start`` until before its end."""

    interval_start: Timestamp
    interval_end: Timestamp
    states: list[HistoryState]


class SimpleFlowRun(Struct, kw_only=True):
    """``SimpleFlowRun``: a dot of the run history."""

    id: UUID
    state_type: StateType
    timestamp: Timestamp
    duration: float
    lateness: float


class CountByState(Struct, kw_only=True):
    """``CountByState``."""

    COMPLETED: int = 0
    PENDING: int = 0
    RUNNING: int = 0
    FAILED: int = 0
    CANCELLED: int = 0
    CRASHED: int = 0
    PAUSED: int = 0
    CANCELLING: int = 0
    SCHEDULED: int = 0


class TaskRunCount(Struct, kw_only=True):
    """``TaskRunCount``: the task runs of a stretch of time that went well, and that did not."""

    completed: int
    failed: int


class ValuesVerdict(Struct, kw_only=True):
    """Whether values fit; ``errors``: sentences about the whole, and by ``property`` or ``index``."""

    errors: list[Any]
    valid: bool
