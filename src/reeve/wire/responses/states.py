"""Answers about states."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.states import StateType
from reeve.wire.codec import Timestamp


class StateDetails(Struct, kw_only=True):
    """``StateDetails`` of the 2.20 contract."""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: Timestamp | None = None
    cache_key: str | None = None
    cache_expiration: Timestamp | None = None
    untrackable_result: bool = False
    pause_timeout: Timestamp | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None


class State(Struct, kw_only=True):
    """``State`` of the 2.20 contract."""

    id: UUID
    type: StateType
    name: str
    timestamp: Timestamp
    message: str | None = None
    data: Any = None
    state_details: StateDetails


class OrchestrationResult(Struct, kw_only=True):
    """The verdict on a proposed state; ``details``: ``type`` and by status ``reason``, ``delay_seconds``."""

    state: State | None
    status: str
    details: dict[str, Any]
