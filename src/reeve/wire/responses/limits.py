"""Answers about concurrency limits."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class MinimalConcurrencyLimit(Struct, kw_only=True):
    """``MinimalConcurrencyLimitResponse``."""

    id: UUID
    name: str
    limit: int


class SlotLimit(Struct, kw_only=True):
    """``GlobalConcurrencyLimitResponse``; ``active_slots`` counts those that are held."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    active: bool
    name: str
    limit: int
    active_slots: int
    slot_decay_per_second: float


class NewSlotLimit(SlotLimit, kw_only=True):
    """``ConcurrencyLimitV2``: what creation answers."""

    denied_slots: int = 0
    avg_slot_occupancy_seconds: float = 2.0
