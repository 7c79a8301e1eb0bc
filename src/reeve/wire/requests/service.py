"""Requests about the service itself."""

from __future__ import annotations

from msgspec import Struct


class Confirmation(Struct, kw_only=True):
    """Body of ``/admin/database/*``."""

    confirm: bool = False
