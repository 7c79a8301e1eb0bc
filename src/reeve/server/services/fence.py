"""Who asks about a run, and who holds it: the facts of the fence (protocol §4)."""

from __future__ import annotations

from msgspec import Struct

from reeve.core.attempts import Attempt
from reeve.core.rules.fence import Caller
from reeve.core.runs import FlowRun
from reeve.errors import ForbiddenError
from reeve.server.services.context import Principal
from reeve.server.storage import attempts, runs
from reeve.server.storage.store import Transaction


class Holding(Struct, frozen=True):
    """The open attempt that a run lives in, if any, and who asks."""

    attempt: Attempt | None
    caller: Caller


async def holding(tx: Transaction, principal: Principal, run: FlowRun) -> Holding:
    """Say who holds a run: its own open attempt, or for a subflow the one that its parent lives in.

    A subflow with a deployment has a process of its own, and waits for it without any holder. Raises
    ForbiddenError when the caller's attempt belongs to another run altogether.
    """
    lineage = [run.id]
    attempt_id, lives_in_parent = run.attempt_id, run.deployment_id is None
    above = run.parent_task_run_id
    while attempt_id is None and above is not None:
        parent = await runs.parent_of(tx, above)
        if parent is None:
            break
        lineage.append(parent.id)
        if lives_in_parent:
            attempt_id, lives_in_parent = parent.attempt_id, not parent.has_deployment
        above = parent.parent_task_run_id
    attempt = await attempts.read(tx, attempt_id) if attempt_id else None
    if principal.attempt_id is None:
        return Holding(attempt, Caller.CLIENT)
    if attempt is not None and attempt.id == principal.attempt_id:
        return Holding(attempt, Caller.HOLDER)
    asking = await attempts.read(tx, principal.attempt_id)
    if asking is None or asking.flow_run_id not in lineage:
        raise ForbiddenError("This key speaks for the attempt of another run; it may not write this one.")
    return Holding(attempt, Caller.SUPERSEDED)
