"""Requests about flows."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field


class FlowCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /flows/``."""

    name: str
    tags: list[str] = field(default_factory=list)


class FlowUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /flows/{id}``: only what was sent is written."""

    tags: list[str] | UnsetType = UNSET
