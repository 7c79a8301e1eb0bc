"""Requests about saved searches."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class SearchFilter(Struct, kw_only=True):
    """``SavedSearchFilter``: one criterion, in words of the page that keeps it."""

    object: str
    property: str
    type: str
    operation: str
    value: Any


class SavedSearchCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PUT /saved_searches/``."""

    name: str
    filters: list[SearchFilter] | None = field(default_factory=list)
