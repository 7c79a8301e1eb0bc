"""Requests about work queues."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from reeve.wire.codec import Count


class WorkQueueCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of the two routes that create a queue."""

    name: str
    description: str | None = ""
    is_paused: bool = False
    concurrency_limit: Count | None = None
    priority: Annotated[int, Meta(ge=1)] | None = None
    filter: dict[str, Any] | None = None


class WorkQueueUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of the two routes that change a queue."""

    name: str | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    is_paused: bool | None | UnsetType = UNSET
    concurrency_limit: Count | None | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=1)] | None | UnsetType = UNSET
    last_polled: datetime | None | UnsetType = UNSET
    filter: dict[str, Any] | None | UnsetType = UNSET


class QueueRuns(Struct, kw_only=True):
    """Body of ``POST /work_queues/{id}/get_runs``."""

    scheduled_before: datetime | None = None
    agent_id: UUID | None = None
    limit: int | None = None
