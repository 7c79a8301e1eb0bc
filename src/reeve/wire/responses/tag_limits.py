"""Answers about limits on the tags of task runs."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class TagLimit(Struct, kw_only=True):
    """``ConcurrencyLimit``; ``active_slots`` are the task runs that hold one."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    tag: str
    concurrency_limit: int
    active_slots: list[UUID]
