"""Requests about concurrency limits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from reeve.wire.codec import Count

Rate = Annotated[float, Meta(ge=0)]

# Each slot that is held is a row (protocol §1): a request for millions would keep the database to itself.
MOST_SLOTS = 10_000
Held = Annotated[int, Meta(ge=0, le=MOST_SLOTS)]


class TakeSlots(Struct, kw_only=True):
    """Body of ``POST /v2/concurrency_limits/increment``."""

    slots: Annotated[int, Meta(gt=0, le=MOST_SLOTS)]
    names: list[str]
    mode: Literal["concurrency", "rate_limit"] = "concurrency"


class GiveSlots(Struct, kw_only=True):
    """Body of ``POST /v2/concurrency_limits/decrement``; how long they were held is not counted."""

    slots: Annotated[int, Meta(gt=0)]
    names: list[str]
    occupancy_seconds: float | None = None


class SlotLimitCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``ConcurrencyLimitV2Create``: body of ``POST /v2/concurrency_limits/``."""

    active: bool = True
    name: str
    limit: Count
    active_slots: Held = 0
    denied_slots: Count = 0
    slot_decay_per_second: Rate = 0.0


class SlotLimitUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``ConcurrencyLimitV2Update``: body of ``PATCH /v2/concurrency_limits/{id_or_name}``."""

    active: bool | None | UnsetType = UNSET
    name: str | None | UnsetType = UNSET
    limit: Count | None | UnsetType = UNSET
    active_slots: Held | None | UnsetType = UNSET
    denied_slots: Count | None | UnsetType = UNSET
    slot_decay_per_second: Rate | None | UnsetType = UNSET
