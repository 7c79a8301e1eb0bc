"""Who asks about a run, and who holds it: the facts of the fence (protocol §4)."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.core.attempts import Attempt
from reeve.core.rules.fence import Caller
from reeve.errors import ForbiddenError
from reeve.server.services.context import Principal
from reeve.server.storage import attempts, runs
from reeve.server.storage.store import Transaction


class Holding(Struct, frozen=True):
    """The open attempt that a run lives in, if any, and who asks."""

    attempt: Attempt | None
    caller: Caller


async def holding(
    tx: Transaction,
    principal: Principal,
    run_id: UUID,
    parent_task_run_id: UUID | None,
    attempt_id: UUID | None,
) -> Holding:
    """Say who holds a run: its own open attempt, or the one that its parent lives in (a subflow).

    Raises ForbiddenError when the caller's attempt belongs to another run altogether.
    """
    lineage = [run_id]
    while attempt_id is None and parent_task_run_id is not None:
        parent = await runs.parent_of(tx, parent_task_run_id)
        if parent is None:
            break
        above, parent_task_run_id, attempt_id = parent
        lineage.append(above)
    attempt = await attempts.read(tx, attempt_id) if attempt_id else None
    if principal.attempt_id is None:
        return Holding(attempt, Caller.CLIENT)
    if attempt is not None and attempt.id == principal.attempt_id:
        return Holding(attempt, Caller.HOLDER)
    asking = await attempts.read(tx, principal.attempt_id)
    if asking is None or asking.flow_run_id not in lineage:
        raise ForbiddenError("This key speaks for the attempt of another run; it may not write this one.")
    return Holding(attempt, Caller.SUPERSEDED)
