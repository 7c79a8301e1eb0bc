"""Requests about concurrency limits."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Slots(Struct, kw_only=True):
    """Body of ``/v2/concurrency_limits/increment`` and ``/decrement``."""

    slots: Annotated[int, Meta(gt=0)]
    names: list[str]
    mode: str = "concurrency"
    occupancy_seconds: float | None = None
