"""What the process of an attempt tells of its tasks: many at once, after the fact.

The process has asked the same rules that are asked here for a single state, where these need nothing that the
server alone knows (docs/decisions/0023-task-runners.md). So what it tells has happened; the fence alone is
checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.rules.fence import Caller
from reeve.core.runs import FlowRun, TaskRun, TaskRunPolicy, check_policy
from reeve.core.states import State, StateType
from reeve.errors import AttemptSupersededError, ForbiddenError, NotFoundError
from reeve.server.services.context import Context, Principal
from reeve.server.services.fence import holding
from reeve.server.services.states import keep_result
from reeve.server.storage import runs, task_runs
from reeve.wire import requests, responses

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction


async def take(
    ctx: Context, principal: Principal, attempt_id: UUID, body: requests.TaskRunReports
) -> responses.TaskRunReceipt:
    """Store task runs and the states they have entered; what is stored already is passed over.

    Raises ForbiddenError for another attempt's key or run, AttemptSupersededError once it is over,
    NotFoundError for an unknown run, IntegrityError for a task run whose call is another's already.
    """
    if principal.attempt_id not in {None, attempt_id}:
        raise ForbiddenError("This key speaks for another attempt.")
    for made in body.made:
        check_policy(made.empirical_policy)

    async def store(tx: Transaction) -> responses.TaskRunReceipt:
        now = await tx.now()
        around = await _flow_runs(tx, principal, attempt_id, _named(body, await _known(tx, body)))
        # Read again, later than the locks: a repetition may have waited for what it repeats.
        known = await _known(tx, body)
        stored = await task_runs.known_states(tx, [each.id for each in body.entered])
        new = {made.id: _made(made, now) for made in body.made if made.id not in known}
        after = {**known, **new}
        states = []
        for entered in body.entered:
            if entered.id not in stored:
                after[entered.task_run_id] = _enter(after[entered.task_run_id], entered, around, now)
                states.append(after[entered.task_run_id].state)
        changed = [run for id_, run in after.items() if run is not known.get(id_)]
        await task_runs.tell(
            tx,
            [run for run in changed if run.id in new],
            [run for run in changed if run.id not in new],
            [state for state in states if state is not None],
        )
        for state in states:
            await keep_result(tx, state, now)
        halted = [run.id for run in around.values() if not _is_running(run)]
        return responses.TaskRunReceipt(halted=halted)

    return await ctx.store.write(store)


async def _known(tx: Transaction, body: requests.TaskRunReports) -> dict[UUID, TaskRun]:
    """Return the task runs that are stored already; NotFoundError for those that nobody has made."""
    made = {made.id for made in body.made}
    found = await task_runs.by_ids(tx, sorted({*made, *(each.task_run_id for each in body.entered)}))
    known = {run.id: run for run in found}
    for each in body.entered:
        if each.task_run_id not in known and each.task_run_id not in made:
            raise NotFoundError(f"Task run with id {each.task_run_id} not found")
    return known


def _named(body: requests.TaskRunReports, known: dict[UUID, TaskRun]) -> set[UUID]:
    inside = {run.flow_run_id for run in known.values()}
    if None in inside:
        raise ForbiddenError("A task run outside of flows belongs to no attempt.")
    return {*(made.flow_run_id for made in body.made), *(id_ for id_ in inside if id_ is not None)}


async def _flow_runs(
    tx: Transaction, principal: Principal, attempt_id: UUID, run_ids: Iterable[UUID]
) -> dict[UUID, FlowRun]:
    """Lock the flow runs, which must be the attempt's."""
    found = {}
    for run_id in sorted(run_ids):
        run = await runs.lock(tx, run_id)
        if run is None:
            raise NotFoundError(f"Flow run with id {run_id} not found")
        held = await holding(tx, principal, run)
        if held.caller is Caller.SUPERSEDED or held.attempt is None or held.attempt.id != attempt_id:
            raise AttemptSupersededError
        found[run_id] = run
    return found


def _made(made: requests.MadeTaskRun, now: datetime) -> TaskRun:
    return TaskRun(
        id=made.id,
        created=now,
        updated=now,
        name=made.name,
        task_key=made.task_key,
        dynamic_key=made.dynamic_key,
        flow_run_id=made.flow_run_id,
        empirical_policy=made.empirical_policy or TaskRunPolicy(),
        task_inputs={
            name: [{"input_type": "task_run", "id": str(id_)} for id_ in ids]
            for name, ids in made.task_inputs.items()
        },
    )


def _enter(
    run: TaskRun, entered: requests.EnteredState, around: dict[UUID, FlowRun], now: datetime
) -> TaskRun:
    at = now - timedelta(seconds=entered.age)
    if run.state is not None:
        at = max(at, run.state.timestamp)  # the order that is told holds, whatever the clocks did
    else:
        run = replace(run, created=at)
    if entered.type is StateType.RUNNING and run.flow_run_id is not None:
        run = replace(run, flow_run_run_count=around[run.flow_run_id].run_count)
    state = State(
        id=entered.id,
        type=entered.type,
        name=entered.name,
        timestamp=at,
        message=entered.message,
        data=entered.data,
        details=entered.state_details,
    )
    return replace(bookkeeping.enter_task_run_state(run, state), updated=now)


def _is_running(run: FlowRun) -> bool:
    return run.state is not None and run.state.type is StateType.RUNNING
