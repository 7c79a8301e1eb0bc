"""What the agent says of one run goes into that run's log too, with the reports of it (W43)."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from datetime import UTC, datetime

from reeve.wire.requests import Note

_MOST = 100  # lines between two reports; one that cannot be launched is to fill no log
_LONGEST = 4000  # characters of a line

_taken: ContextVar[list[Note] | None] = ContextVar("notes", default=None)


class Notes(logging.Handler):
    """Notes each line that is logged in the task of a run, or in those that it has started."""

    def emit(self, record: logging.LogRecord) -> None:
        """Note a line."""
        notes = _taken.get()
        if notes is not None and len(notes) < _MOST:
            at = datetime.fromtimestamp(record.created, UTC)
            notes.append(Note(level=record.levelno, message=record.getMessage()[:_LONGEST], at=at))


def begin(notes: list[Note]) -> None:
    """Have all lines of this task be added to ``notes`` from now on; whoever reports them clears it."""
    _taken.set(notes)
