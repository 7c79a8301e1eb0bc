"""Answers about deployments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.crashes import CrashReason
from reeve.core.deployments import DeploymentStatus, Engine
from reeve.core.runs import CreatedBy
from reeve.core.schedule_policies import Catchup, Overlap
from reeve.core.time_limits import TimeLimit
from reeve.wire.codec import Timestamp


class DeploymentSchedule(Struct, kw_only=True):
    """``DeploymentSchedule``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    deployment_id: UUID
    schedule: dict[str, Any]
    active: bool = True
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    catchup: bool = False


class DeploymentResponse(Struct, kw_only=True):
    """``DeploymentResponse``: the wire carries ``infra_overrides``, never ``job_variables``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    infra_overrides: dict[str, Any]
    name: str
    version: str | None = None
    description: str | None = None
    flow_id: UUID
    schedule: dict[str, Any] | None = None
    is_schedule_active: bool = True
    paused: bool = False
    schedules: list[DeploymentSchedule]
    parameters: dict[str, Any]
    tags: list[str]
    work_queue_name: str | None = None
    last_polled: Timestamp | None = None
    parameter_openapi_schema: dict[str, Any] | None = None
    path: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    entrypoint: str | None = None
    manifest_path: str | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    created_by: CreatedBy | None = None
    updated_by: CreatedBy | None = None
    work_pool_name: str | None = None
    status: DeploymentStatus = DeploymentStatus.NOT_READY
    enforce_parameter_schema: bool = False


class DeploymentOptions(Struct, kw_only=True):
    """What reeve adds to a deployment (protocol §5)."""

    engine: Engine
    crash_retries: int
    crash_retry_delay: float
    crash_retry_on: list[CrashReason]
    max_pending: TimeLimit | None = None
    max_run: TimeLimit | None = None
    must_start_by: TimeLimit | None = None
    concurrency_limit: int | None = None
    code_version: str | None = None


class SchedulePolicy(Struct, kw_only=True):
    """What reeve adds to a schedule (protocol §5). ``max_late`` in seconds."""

    schedule_id: UUID
    parameters: dict[str, Any]
    catchup: Catchup | None
    max_late: float | None
    overlap: Overlap


class WorkQueue(Struct, kw_only=True):
    """``WorkQueue``: a queue without what ``WorkQueueResponse`` says of its pool and its status."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    description: str
    is_paused: bool
    concurrency_limit: int | None
    priority: int
    work_pool_id: UUID
    filter: dict[str, Any] | None
    last_polled: Timestamp | None
