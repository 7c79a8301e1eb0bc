"""Answers about saved searches."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class SavedSearch(Struct, kw_only=True):
    """``SavedSearch``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    filters: list[dict[str, Any]]
