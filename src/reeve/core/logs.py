"""Log lines: what a run said, through its logger or to its standard streams."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's log; ``level`` is that of Python's logging."""

    id: UUID
    created: datetime
    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
