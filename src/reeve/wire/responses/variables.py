"""Answers about variables."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class Variable(Struct, kw_only=True):
    """``Variable``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    value: str
    tags: list[str]
