"""Requests about work pools."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from reeve.core.work import OnLost
from reeve.wire.codec import Count

Beat = Annotated[float, Meta(ge=0, le=86400 * 366)]


class WorkPoolCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /work_pools/``."""

    name: str
    description: str | None = None
    type: str = "prefect-agent"
    base_job_template: dict[str, Any] = field(default_factory=dict)
    is_paused: bool = False
    concurrency_limit: Count | None = None


class WorkPoolUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /work_pools/{name}``."""

    description: str | None | UnsetType = UNSET
    is_paused: bool | None | UnsetType = UNSET
    base_job_template: dict[str, Any] | None | UnsetType = UNSET
    concurrency_limit: Count | None | UnsetType = UNSET


class PoolRuns(Struct, kw_only=True):
    """Body of ``POST /work_pools/{name}/get_scheduled_flow_runs``."""

    work_queue_names: list[str] | None = None
    scheduled_before: datetime | None = None
    scheduled_after: datetime | None = None
    limit: int | None = None


class WorkerHeartbeat(Struct, kw_only=True):
    """Body of ``workers/heartbeat``."""

    name: str
    heartbeat_interval_seconds: Beat | None = None  # workers send 30.0; whole seconds are kept


class PoolOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PUT /work_pools/{name}/options``."""

    on_lost: OnLost
