"""Answers about flow runs' inputs."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class FlowRunInput(Struct, kw_only=True):
    """``FlowRunInput``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    flow_run_id: UUID
    key: str
    value: str
    sender: str | None = None
