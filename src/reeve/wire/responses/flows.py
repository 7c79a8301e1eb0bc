"""Answers about flows."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class Flow(Struct, kw_only=True):
    """``Flow``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    tags: list[str]
