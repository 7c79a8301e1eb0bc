"""Answers about concurrency limits."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct


class MinimalConcurrencyLimit(Struct, kw_only=True):
    """``MinimalConcurrencyLimitResponse``."""

    id: UUID
    name: str
    limit: int
