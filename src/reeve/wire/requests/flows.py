"""Requests about flows."""

from __future__ import annotations

from msgspec import Struct, field


class FlowCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /flows/``."""

    name: str
    tags: list[str] = field(default_factory=list)
