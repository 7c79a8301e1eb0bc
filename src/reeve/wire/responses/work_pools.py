"""Answers about work pools."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.work import OnLost, WorkerStatus, WorkStatus
from reeve.wire.codec import Timestamp


class WorkPool(Struct, kw_only=True):
    """``WorkPool``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    description: str | None = None
    type: str
    base_job_template: dict[str, Any]
    is_paused: bool = False
    concurrency_limit: int | None = None
    status: WorkStatus | None = None
    default_queue_id: UUID | None = None


class PoolOptions(Struct, kw_only=True):
    """What reeve adds to a work pool."""

    on_lost: OnLost


class Worker(Struct, kw_only=True):
    """``WorkerResponse``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    work_pool_id: UUID
    last_heartbeat_time: Timestamp | None = None
    heartbeat_interval_seconds: int | None = None
    status: WorkerStatus
