"""Requests about limits on the tags of task runs."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct


class TagLimitCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``ConcurrencyLimitCreate``: body of ``POST /concurrency_limits/``."""

    tag: str
    concurrency_limit: int


class TagLimitReset(Struct, kw_only=True):
    """Body of ``POST /concurrency_limits/tag/{tag}/reset``: the task runs that are to hold its slots."""

    slot_override: list[UUID] | None = None
