"""What the key of an attempt may write: what belongs to its run and the subflows in it (protocol §4)."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from reeve.errors import AttemptSupersededError, ForbiddenError
from reeve.server.services.context import Principal
from reeve.server.storage import attempts, runs, task_runs
from reeve.server.storage.store import Transaction


async def may_write_run(tx: Transaction, principal: Principal, run_id: UUID) -> bool:
    """Say whether the caller may write to a run: its attempt's own one, or one below it."""
    if principal.attempt_id is None:
        return True
    asking = await attempts.read(tx, principal.attempt_id)
    if asking is None:
        return False
    if asking.flow_run_id == run_id:
        return True
    run = await runs.read(tx, run_id)
    parent = run.parent_task_run_id if run else None
    while parent is not None:
        above = await runs.parent_of(tx, parent)
        if above is None:
            return False
        if above.id == asking.flow_run_id:
            return True
        parent = above.parent_task_run_id
    return False


async def check_writes(
    tx: Transaction, principal: Principal, run_ids: Iterable[UUID | None], task_run_ids: Iterable[UUID | None]
) -> None:
    """Raise ForbiddenError unless the caller may write to all of these; None stands for no run.

    A task run counts as its flow run; one that is not known, or belongs to none, is nobody's.
    """
    if principal.is_operator:
        return
    asked = {run_id for run_id in run_ids if run_id is not None}
    for task_run_id in {each for each in task_run_ids if each is not None}:
        task_run = await task_runs.read(tx, task_run_id)
        if task_run is not None and task_run.flow_run_id is not None:
            asked.add(task_run.flow_run_id)
    for run_id in asked:
        if not await may_write_run(tx, principal, run_id):
            raise ForbiddenError(
                "This key speaks for the attempt of another run; it writes what belongs to its own run only."
            )


async def check_living(tx: Transaction, principal: Principal) -> None:
    """Raise AttemptSupersededError for the key of an attempt that is over."""
    if principal.attempt_id is not None:
        attempt = await attempts.read(tx, principal.attempt_id)
        if attempt is None or not attempt.is_open:
            raise AttemptSupersededError
