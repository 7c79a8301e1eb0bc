"""Requests about task runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from reeve.core.runs import TaskRunPolicy
from reeve.wire.requests.states import StateCreate


class TaskRunCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /task_runs/``."""

    task_key: str
    dynamic_key: str
    id: UUID | None = None
    state: StateCreate | None = None
    name: str | None = None
    flow_run_id: UUID | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    empirical_policy: TaskRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    task_inputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class TaskRunUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /task_runs/{id}``."""

    name: str | None | UnsetType = UNSET
