"""Answers about log lines."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class Log(Struct, kw_only=True):
    """``Log``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    level: int
    message: str
    timestamp: Timestamp
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
