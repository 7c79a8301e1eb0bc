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
