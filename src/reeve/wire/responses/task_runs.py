"""Answers about task runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.runs import TaskRunPolicy
from reeve.core.states import StateType
from reeve.wire.codec import Timestamp
from reeve.wire.responses.states import State


class TaskRun(Struct, kw_only=True):
    """``TaskRun``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    flow_run_id: UUID | None = None
    task_key: str
    dynamic_key: str
    cache_key: str | None = None
    cache_expiration: Timestamp | None = None
    task_version: str | None = None
    empirical_policy: TaskRunPolicy
    tags: list[str]
    state_id: UUID | None = None
    task_inputs: dict[str, list[dict[str, Any]]]
    state_type: StateType | None = None
    state_name: str | None = None
    run_count: int = 0
    flow_run_run_count: int = 0
    expected_start_time: Timestamp | None = None
    next_scheduled_start_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0
    state: State | None = None
