"""Requests about flow runs' inputs."""

from __future__ import annotations

from msgspec import Struct, field


class FlowRunInputCreate(Struct, kw_only=True):
    """Body of ``POST /flow_runs/{id}/input``."""

    key: str
    value: str
    sender: str | None = None


class FlowRunInputFilter(Struct, kw_only=True):
    """Body of ``POST /flow_runs/{id}/input/filter``."""

    prefix: str
    limit: int = 1
    exclude_keys: list[str] = field(default_factory=list)
