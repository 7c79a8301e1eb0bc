"""Answers about flow runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.runs import CreatedBy, FlowRunPolicy
from reeve.core.states import StateType
from reeve.wire.codec import Timestamp
from reeve.wire.responses.logs import Log
from reeve.wire.responses.states import State


class FlowRun(Struct, kw_only=True):
    """``FlowRun``: what a pool's poll carries, without the pool's own fields."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    flow_id: UUID
    state_id: UUID | None = None
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    flow_version: str | None = None
    parameters: dict[str, Any]
    idempotency_key: str | None = None
    context: dict[str, Any]
    empirical_policy: FlowRunPolicy
    tags: list[str]
    parent_task_run_id: UUID | None = None
    state_type: StateType | None = None
    state_name: str | None = None
    run_count: int = 0
    expected_start_time: Timestamp | None = None
    next_scheduled_start_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0
    auto_scheduled: bool = False
    infrastructure_document_id: UUID | None = None
    infrastructure_pid: str | None = None
    created_by: CreatedBy | None = None
    state: State | None = None
    job_variables: dict[str, Any] | None = None


class FlowRunResponse(FlowRun, kw_only=True):
    """``FlowRunResponse``: a flow run with its pool."""

    work_pool_id: UUID | None = None
    work_pool_name: str | None = None


class WorkerFlowRunResponse(Struct, kw_only=True):
    """One run in the answer to a pool's poll."""

    work_pool_id: UUID
    work_queue_id: UUID
    flow_run: FlowRun


class Followed(Struct, kw_only=True):
    """What is new about a run since the cursors given: states and log lines, oldest first.

    Pass ``state_cursor`` and ``log_cursor`` back; ``final`` says that nothing but late logs can follow.
    """

    run: FlowRunResponse
    states: list[State]
    logs: list[Log]
    state_cursor: int
    log_cursor: int
    final: bool
