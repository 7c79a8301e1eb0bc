"""Flows, deployments and their schedules (api-contract §5.1)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from reeve.core.crashes import CrashBudget
from reeve.core.runs import CreatedBy
from reeve.core.time_limits import NO_LIMITS, TimeLimits


class DeploymentStatus(StrEnum):
    """Whether anybody polls for the deployment's runs (api-contract §11)."""

    READY = "READY"
    NOT_READY = "NOT_READY"


class Engine(StrEnum):
    """Whose engine runs the deployment's code; it decides the default command of its jobs."""

    REEVE = "reeve"
    PREFECT = "prefect"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A user's function, known by its name."""

    id: UUID
    created: datetime
    updated: datetime
    name: str
    tags: list[str] = msgspec.field(default_factory=list)


class DeploymentSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """One of a deployment's schedules; ``schedule`` has the 2.20 fields of its kind."""

    id: UUID
    created: datetime
    updated: datetime
    deployment_id: UUID
    schedule: dict[str, Any]
    active: bool = True
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    catchup: bool = False


class DeploymentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What reeve knows of a deployment and the 2.20 dialect has no words for (protocol §5).

    A deployment without options was made by a 2.20 client: its code runs in that engine.
    """

    engine: Engine = Engine.PREFECT
    budget: CrashBudget = CrashBudget()
    limits: TimeLimits = NO_LIMITS
    concurrency_limit: int | None = None
    code_version: str | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A flow with how, where and when to run it."""

    id: UUID
    created: datetime
    updated: datetime
    flow_id: UUID
    name: str
    version: str | None = None
    description: str | None = None
    paused: bool = False
    paused_since: datetime | None = None
    schedules: list[DeploymentSchedule] = msgspec.field(default_factory=list)
    job_variables: dict[str, Any] = msgspec.field(default_factory=dict)
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    tags: list[str] = msgspec.field(default_factory=list)
    work_pool_id: UUID | None = None
    work_pool_name: str | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    last_polled: datetime | None = None
    parameter_openapi_schema: dict[str, Any] | None = None
    enforce_parameter_schema: bool = False
    path: str | None = None
    entrypoint: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    manifest_path: str | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    created_by: CreatedBy | None = None
    updated_by: CreatedBy | None = None
    status: DeploymentStatus = DeploymentStatus.NOT_READY
    options: DeploymentOptions = DeploymentOptions()
