"""Answers about the service itself."""

from __future__ import annotations

from msgspec import Struct


class ServerInfo(Struct, kw_only=True):
    """Who answers: reeve's version, the 2.20 API version, the database in use."""

    name: str
    version: str
    api_version: str
    database: str
