"""Records: log lines that a run wrote to a file, and its agent sends on (protocol §7)."""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from reeve.core.attempts import Attempt
from reeve.core.logs import LogLine
from reeve.errors import ForbiddenError
from reeve.ids import new_id
from reeve.server.services.context import Principal
from reeve.server.services.scope import check_writes
from reeve.server.storage.store import Transaction
from reeve.wire.codec import decode
from reeve.wire.requests import LogCreate

STREAM = "records"  # whose lines say themselves what they are
_DAMAGED = "reeve.records"


async def lines(tx: Transaction, attempt: Attempt, text: str, at: datetime) -> list[LogLine]:
    """Read lines of JSON; those that their attempt may not write belong to its own run.

    They are divided by the newline alone: other ends of lines are part of them. What a full disk has cut is
    shown as it is, as of ``at``.
    """
    now = await tx.now()
    found: list[LogLine] = []
    may_write: dict[tuple[UUID | None, UUID | None], bool] = {}
    for each in filter(None, text.split("\n")):
        try:
            said = decode(each.encode(), LogCreate)
        except msgspec.DecodeError:
            said = LogCreate(name=_DAMAGED, level=logging.WARNING, message=each, timestamp=at)
        line = LogLine(
            id=new_id(),
            created=now,
            name=said.name,
            level=said.level,
            message=said.message,
            timestamp=said.timestamp,
            flow_run_id=attempt.flow_run_id,
        )
        about = (said.flow_run_id, said.task_run_id)
        if about not in may_write:
            may_write[about] = about[0] is not None and await _may_write(tx, attempt, *about)
        found.append(replace(line, flow_run_id=about[0], task_run_id=about[1]) if may_write[about] else line)
    return found


async def _may_write(
    tx: Transaction, attempt: Attempt, run_id: UUID | None, task_run_id: UUID | None
) -> bool:
    try:
        await check_writes(tx, Principal(attempt.id), [run_id], [task_run_id])
    except ForbiddenError:
        return False
    return True
