"""Requests about deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from reeve.core.crashes import CrashReason
from reeve.core.deployments import Engine
from reeve.core.schedule_policies import Catchup, Overlap
from reeve.core.time_limits import LONGEST_SECONDS, TimeLimit
from reeve.wire.codec import Count

Delay = Annotated[float, Meta(ge=0, le=86400 * 366)]
Lateness = Annotated[float, Meta(gt=0, le=LONGEST_SECONDS)]
ActiveRuns = Annotated[int, Meta(gt=0)]
ScheduledRuns = Annotated[int, Meta(gt=0, le=50)]  # api-contract §10


class ScheduleCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``DeploymentScheduleCreate``; ``schedule`` is read by ``core.schedules``."""

    schedule: dict[str, Any]
    active: bool = True
    max_active_runs: ActiveRuns | None = None
    max_scheduled_runs: ScheduledRuns | None = None
    catchup: bool = False


class ScheduleUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``DeploymentScheduleUpdate``: null, as well as what is not sent, leaves a field as it is."""

    active: bool | None = None
    schedule: dict[str, Any] | None = None
    max_active_runs: ActiveRuns | None = None
    max_scheduled_runs: ScheduledRuns | None = None
    catchup: bool | None = None


class Schedule(Struct, kw_only=True):
    """Body of ``POST /deployments/{id}/schedule``: what the scheduler would choose by itself, where null.

    ``min_time`` is in seconds.
    """

    start_time: datetime | None = None
    end_time: datetime | None = None
    min_time: float | None = None
    min_runs: Count | None = None
    max_runs: Count | None = None


class DeploymentCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /deployments/``: creates, or updates the deployment of that flow and name."""

    name: str
    flow_id: UUID
    infra_overrides: dict[str, Any] | None = None
    is_schedule_active: bool | None = None
    paused: bool | None = None
    schedules: list[ScheduleCreate] | None = None
    enforce_parameter_schema: bool = False
    parameter_openapi_schema: dict[str, Any] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    pull_steps: list[dict[str, Any]] | None = None
    manifest_path: str | None = None
    work_queue_name: str | None = None
    work_pool_name: str | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    schedule: dict[str, Any] | None = None
    description: str | None = None
    path: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    job_variables: dict[str, Any] | None = None


class DeploymentUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /deployments/{id}``: only what was sent is written."""

    infra_overrides: dict[str, Any] | None | UnsetType = UNSET
    version: str | None | UnsetType = UNSET
    schedule: dict[str, Any] | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    is_schedule_active: bool | None | UnsetType = UNSET
    paused: bool | None | UnsetType = UNSET
    schedules: list[ScheduleCreate] | None | UnsetType = UNSET
    parameters: dict[str, Any] | None | UnsetType = UNSET
    tags: list[str] | None | UnsetType = UNSET
    work_queue_name: str | None | UnsetType = UNSET
    work_pool_name: str | None | UnsetType = UNSET
    path: str | None | UnsetType = UNSET
    job_variables: dict[str, Any] | None | UnsetType = UNSET
    entrypoint: str | None | UnsetType = UNSET
    manifest_path: str | None | UnsetType = UNSET
    storage_document_id: UUID | None | UnsetType = UNSET
    infrastructure_document_id: UUID | None | UnsetType = UNSET
    enforce_parameter_schema: bool | None | UnsetType = UNSET


class DeploymentRuns(Struct, kw_only=True):
    """Body of ``POST /deployments/get_scheduled_flow_runs``."""

    deployment_ids: list[UUID]
    scheduled_before: datetime | None = None
    limit: int | None = None


class DeploymentOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PUT /deployments/{id}/options``: all of them, at once. Delay and limits in seconds."""

    engine: Engine = Engine.REEVE
    crash_retries: Count = 0
    crash_retry_delay: Delay = 0.0
    crash_retry_on: list[CrashReason] = field(default_factory=lambda: list(CrashReason))
    max_pending: TimeLimit | None = None
    max_run: TimeLimit | None = None
    must_start_by: TimeLimit | None = None
    concurrency_limit: Count | None = None
    code_version: str | None = None


class SchedulePolicy(Struct, kw_only=True, forbid_unknown_fields=True):
    """One of the body of ``PUT /deployments/{id}/schedule_policies``, which has all of them, at once.

    ``max_late`` in seconds. What null means: ``core.schedule_policies``.
    """

    schedule_id: UUID
    parameters: dict[str, Any] = field(default_factory=dict)
    catchup: Catchup | None = None
    max_late: Lateness | None = None
    overlap: Overlap = Overlap.ALLOW
