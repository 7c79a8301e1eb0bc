"""Answers about work queues."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.work import WorkStatus
from reeve.wire.codec import Timestamp


class WorkQueueResponse(Struct, kw_only=True):
    """``WorkQueueResponse``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    description: str = ""
    is_paused: bool = False
    concurrency_limit: int | None = None
    priority: int = 1
    work_pool_id: UUID | None = None
    filter: dict[str, Any] | None = None
    last_polled: Timestamp | None = None
    work_pool_name: str | None = None
    status: WorkStatus | None = None


class WorkQueueHealthPolicy(Struct, kw_only=True):
    """``WorkQueueHealthPolicy``: what a healthy queue has at most."""

    maximum_late_runs: int = 0
    maximum_seconds_since_last_polled: int = 60


class WorkQueueStatusDetail(Struct, kw_only=True):
    """``WorkQueueStatusDetail``."""

    healthy: bool
    late_runs_count: int
    last_polled: Timestamp | None
    health_check_policy: WorkQueueHealthPolicy
