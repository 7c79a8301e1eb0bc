"""Requests about flow runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from reeve.core.runs import FlowRunPolicy
from reeve.wire.requests.states import StateCreate


class FlowRunCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /flow_runs/``."""

    flow_id: UUID
    state: StateCreate | None = None
    name: str | None = None
    flow_version: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    parent_task_run_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    deployment_id: UUID | None = None


class FlowRunUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /flow_runs/{id}``: only what was sent is written."""

    name: str | None | UnsetType = UNSET
    flow_version: str | None | UnsetType = UNSET
    parameters: dict[str, Any] | None | UnsetType = UNSET
    empirical_policy: FlowRunPolicy | None | UnsetType = UNSET
    tags: list[str] | None | UnsetType = UNSET
    infrastructure_pid: str | None | UnsetType = UNSET
    job_variables: dict[str, Any] | None | UnsetType = UNSET


class DeploymentFlowRunCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``create_flow_run``: a run of a deployment."""

    state: StateCreate | None = None
    name: str | None = None
    parameters: dict[str, Any] | None = None
    enforce_parameter_schema: bool | None = None
    context: dict[str, Any] | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Any] | None = None


class Resume(Struct, kw_only=True):
    """Body of ``resume``."""

    run_input: dict[str, Any] | None = None


class CancelRun(Struct, kw_only=True):
    """Body of ``POST /flow_runs/{id}/cancel``; with ``force`` the run ends without proof, by ``by``."""

    force: bool = False
    by: str | None = None


class Follow(Struct, kw_only=True):
    """Wait up to ``hold_seconds`` for news of a run after the cursors (0 = from the start).

    ``with_subflows``: give the lines of subflows too that the run's own process executes.
    """

    state_cursor: int = 0
    log_cursor: int = 0
    hold_seconds: float = 20.0
    with_subflows: bool = False
