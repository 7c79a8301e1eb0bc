"""Requests about artifacts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType


class ArtifactCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /artifacts/``."""

    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class ArtifactUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /artifacts/{id}``."""

    data: Any = UNSET
    description: str | None | UnsetType = UNSET
    metadata_: dict[str, str] | None | UnsetType = UNSET
