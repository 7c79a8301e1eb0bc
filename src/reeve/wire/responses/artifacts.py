"""Answers about artifacts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class Artifact(Struct, kw_only=True):
    """``Artifact``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class ArtifactCollection(Struct, kw_only=True):
    """``ArtifactCollection``: a key, with the newest artifact that has it."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    key: str
    latest_id: UUID
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
