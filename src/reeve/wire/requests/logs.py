"""Requests about log lines."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class LogCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """One line of the bare list that ``POST /logs/`` takes."""

    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
