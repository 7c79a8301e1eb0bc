"""A proposed state of a flow run, in its transaction: judged, written, and what it does to the attempt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from msgspec import Struct
from msgspec.structs import replace

from reeve.core.attempts import Attempt, AttemptKind, AttemptState, overdue
from reeve.core.crashes import CrashBudget
from reeve.core.events import Event, EventKind
from reeve.core.rules.fence import EXECUTING, Caller
from reeve.core.rules.flow_runs import FlowRunFacts, decide
from reeve.core.runs import FlowRun
from reeve.core.states import ProposedState, StateType, is_overdue_pause
from reeve.core.states import propose as proposal
from reeve.core.time_limits import Then
from reeve.core.work import Limit
from reeve.errors import NotFoundError
from reeve.ids import new_id
from reeve.server.services.context import Principal
from reeve.server.services.fence import Holding, holding
from reeve.server.services.hub import SCHEDULED_RUNS_TOPIC, held_topic, pool_topic, room_topic, run_topic
from reeve.server.services.states import (
    Decision,
    enter,
    force_task,
    started,
)
from reeve.server.storage import (
    attempts,
    claims,
    deployments,
    events,
    notifications,
    runs,
    schedule_policies,
    task_runs,
)

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction

OPERATOR = Principal()
USUAL = frozenset({StateType.RUNNING, StateType.COMPLETED, StateType.FAILED})  # these concern no other run
PARENT_CANCELLED = "The parent flow run was cancelled."  # api-contract §10


class RunNotFoundError(NotFoundError):
    """There is no flow run with this id."""


async def locked(tx: Transaction, run_id: UUID, missing: Exception | None = None) -> FlowRun:
    run = await runs.lock(tx, run_id)
    if run is None:
        raise missing or RunNotFoundError(f"Flow run with id {run_id} not found")
    return run


async def propose(
    tx: Transaction,
    principal: Principal,
    run_id: UUID,
    proposed: ProposedState,
    *,
    force: bool = False,
    by_resume: bool = False,
    api_version: tuple[int, int, int] = (0, 8, 4),
) -> Decision[FlowRun]:
    run = await attempts.lock_of_run(tx, run_id)
    if run is None:
        raise RunNotFoundError(f"Flow run with id {run_id} not found")
    now = await tx.now()
    if run.attempt_id is not None:
        await attempts.read_of_locked(tx, run.attempt_id)
    held = await holding(tx, principal, run)
    own = held.attempt if held.attempt and held.attempt.flow_run_id == run.id else None
    facts = FlowRunFacts(
        attempt=held.attempt.kind if held.attempt else None,
        caller=held.caller,
        client_api_version=api_version,
        new_pause_key=uuid4().hex,
        by_resume=by_resume,
        limit_full=await _full_limit(tx, run, proposed),
        budget=await crash_budget(tx, run) if proposed.type is StateType.CRASHED else CrashBudget(),
        overdue=overdue(own, run, now) if own else None,
    )
    before = run.state
    decision = await enter(tx, decide(run, proposed, facts, now, force=force), now)
    if decision.written:
        await _follow_up(tx, decision.run, held, principal, now, force=force)
        await cancel_subflows(tx, decision.run)
    elif decision.run != run:
        await runs.amend(tx, decision.run)
    return replace(decision, state=decision.state or before)


async def _follow_up(
    tx: Transaction, run: FlowRun, held: Holding, principal: Principal, now: datetime, *, force: bool
) -> None:
    """Do to the attempt what the new state means for it."""
    assert run.state is not None
    attempt, type_ = held.attempt, run.state.type
    if attempt is not None and attempt.flow_run_id != run.id:
        return  # a subflow lives in its parent's attempt
    if attempt is None:
        if opens_foreign(run, principal):
            await runs.amend(tx, await open_foreign(tx, run, now))
    elif attempt.kind is AttemptKind.FOREIGN:
        if not _keeps_foreign(run):
            await close(tx, run, attempt, AttemptState.ENDED, None, now)
    elif held.caller is Caller.HOLDER and type_ is StateType.RUNNING:
        await started(tx, attempt, run, now)
    elif held.caller is Caller.HOLDER and type_.is_final and attempt.kind is AttemptKind.SELF:
        # Its process goes on with other things: nobody will see it end.
        await close(tx, run, attempt, AttemptState.ENDED, None, now)
    elif force and held.caller is Caller.CLIENT and type_.is_final:
        # Who overrules the holder closes its attempt: what it reports from now on is refused.
        await close(tx, run, attempt, AttemptState.LOST, run.state.message, now)


class Asked(Struct, frozen=True):
    """A state that somebody proposes for a run."""

    principal: Principal
    run_id: UUID
    state: ProposedState
    force: bool = False
    api_version: tuple[int, int, int] = (0, 8, 4)


async def judge(tx: Transaction, asked: Asked) -> Decision[FlowRun]:
    """Judge one proposal, see ``propose``."""
    return await propose(
        tx, asked.principal, asked.run_id, asked.state, force=asked.force, api_version=asked.api_version
    )


async def read_all(tx: Transaction, all_: Sequence[Asked]) -> Callable[[Asked], bool]:
    """Lock what is proposed for, and return which proposals concern one run alone, and its own attempt."""
    found = await attempts.lock_of_runs(tx, [*{asked.run_id for asked in all_}])
    locked = {run.id: run for run in found}
    await notifications.active(tx)  # a statement that reads has what was judged before it written at once

    def is_usual(asked: Asked) -> bool:
        run = locked.get(asked.run_id)
        return (
            run is not None
            and run.attempt_id is not None
            and run.attempt_id == asked.principal.attempt_id
            and run.parent_task_run_id is None
            and asked.state.type in USUAL
            and not asked.force
        )

    return is_usual


async def expire_pause(tx: Transaction, run_id: UUID) -> None:
    """Fail a run whose pause nobody ended in time; another one, or one without an end, is left alone."""
    run = await runs.lock(tx, run_id)
    if run is None or not is_overdue_pause(run.state, await tx.now()):
        return
    failed = proposal(StateType.FAILED, message="The flow was paused and never resumed.")
    await propose(tx, OPERATOR, run_id, failed, force=True)


async def give_up_start(tx: Transaction, run_id: UUID) -> None:
    """Fail or cancel a waiting run that by now should have started, as its deployment wants it."""
    run = await runs.lock(tx, run_id)
    if run is None or run.attempt_id or not run.deployment_id or run.start_time is not None:
        return
    if run.state is None or run.state.type is not StateType.SCHEDULED:
        return
    deployment = await deployments.read(tx, run.deployment_id)
    late = deployment and deployment.options.limits.start(run.expected_start_time)
    if late and late.at <= await tx.now():
        type_ = StateType.CANCELLED if late.then is Then.CANCEL else StateType.FAILED
        await propose(tx, OPERATOR, run_id, proposal(type_, message=late.message), force=True)


async def order(tx: Transaction, run_id: UUID, state: ProposedState, *, force: bool) -> None:
    """Propose a state on the server's own account; with ``force`` the run enters it whatever it does."""
    await propose(tx, OPERATOR, run_id, state, force=force)


async def cancel_subflows(tx: Transaction, run: FlowRun) -> None:
    """Have the subflows end too that have processes of their own, when their parent is cancelled.

    2.20 tells them 20 s after the parent has ended (api-contract §10); the others end with its process.
    """
    if run.state is None or run.state.type not in {StateType.CANCELLING, StateType.CANCELLED}:
        return
    waiting = [run.id]
    while waiting:
        for child in await runs.left_running(tx, waiting.pop()):
            if child.deployment_id is None:  # it lives in its parent's process; it may have children as well
                waiting.append(child.id)
            else:
                cancelling = proposal(StateType.CANCELLING, message=PARENT_CANCELLED)
                await propose(tx, OPERATOR, child.id, cancelling, force=True)


async def cancel_children(tx: Transaction, run_id: UUID, limit: int) -> bool:
    """Cancel what a cancelled run left behind: subflows and ``limit`` of its task runs.

    A subflow with a deployment has its own process, which is told; the others ended with that of their
    parent. Returns whether there may be more task runs.
    """
    run = await runs.lock(tx, run_id)
    if run is None or run.state is None or run.state.type is not StateType.CANCELLED:
        return False
    now = await tx.now()
    for child in await runs.left_running(tx, run_id):
        type_ = StateType.CANCELLED if child.deployment_id is None else StateType.CANCELLING
        await propose(tx, OPERATOR, child.id, proposal(type_, message=PARENT_CANCELLED), force=True)
    ended = proposal(StateType.CANCELLED, message=PARENT_CANCELLED)
    unfinished = await task_runs.unfinished(tx, run_id, limit)
    for task in unfinished:
        await force_task(tx, task, ended, now)
    return len(unfinished) == limit


async def close(
    tx: Transaction, run: FlowRun, attempt: Attempt, state: AttemptState, cause: str | None, now: datetime
) -> FlowRun:
    """Close an attempt: its run is free, its slots are, and what waits for them is woken."""
    await attempts.update(tx, replace(attempt, state=state, closed=now, cause=cause or attempt.cause))
    run = replace(run, attempt_id=None)
    await runs.amend(tx, run)
    await events.record(
        tx,
        [
            Event(
                id=new_id(),
                at=now,
                kind=EventKind.ATTEMPT_CLOSED,
                flow_run_id=run.id,
                attempt_id=attempt.id,
                agent_id=attempt.agent_id,
                payload={"state": state, "cause": cause},
            )
        ],
    )
    tx.wake(run_topic(run.id))
    if attempt.agent_id:
        tx.wake(held_topic(attempt.agent_id))
    if attempt.work_pool_id:
        tx.wake(room_topic(attempt.work_pool_id))
    if attempt.deployment_id and (pool_id := await claims.pool_of_limited(tx, attempt.deployment_id)):
        tx.wake(pool_topic(pool_id))
    if run.auto_scheduled:
        tx.wake(SCHEDULED_RUNS_TOPIC)  # the next of its schedule may wait for that
    return run


async def crash_budget(tx: Transaction, run: FlowRun) -> CrashBudget:
    """Return how often a run may be started again after its process died."""
    deployment = await deployments.read(tx, run.deployment_id) if run.deployment_id else None
    return deployment.options.budget if deployment else CrashBudget()


async def _full_limit(tx: Transaction, run: FlowRun, proposed: ProposedState) -> str | None:
    """Return the full limit in which a run would need a new place (protocol §2); it stays locked."""
    if proposed.type not in EXECUTING or run.attempt_id:
        return None
    if run.auto_scheduled and (schedule_id := await schedule_policies.schedule_of_held(tx, run.id)):
        return f"schedule {schedule_id}"
    limits: list[Limit] = []
    pool = await claims.pool(tx, run.work_pool_id) if run.work_pool_id and run.work_queue_id else None
    if pool is not None:
        queues = await claims.queues(tx, pool.id)
        limits.append(await claims.lock_pool(tx, pool))
        limits += [await claims.lock_queue(tx, queue) for queue in queues if queue.id == run.work_queue_id]
    if run.deployment_id:
        limits += (await claims.lock_deployments(tx, [run.deployment_id])).values()
    return next((limit.name for limit in limits if limit.free == 0), None)


def opens_foreign(run: FlowRun, principal: Principal) -> bool:
    """Whether a client without a token has just begun to execute the run (protocol §1)."""
    return (
        principal.is_operator
        and run.attempt_id is None
        and run.parent_task_run_id is None
        and run.state is not None
        and run.state.type in EXECUTING
    )


def _keeps_foreign(run: FlowRun) -> bool:
    """Whether a foreign attempt's process is still at work: also while it sleeps until its own retry."""
    assert run.state is not None
    type_ = run.state.type
    if type_ is StateType.SCHEDULED:
        return run.empirical_policy.retry_type == "in_process"
    return type_ in EXECUTING or type_ is StateType.CANCELLING


async def _code_version(tx: Transaction, run: FlowRun) -> str | None:
    if run.deployment_id is None:
        return None
    terms = await deployments.terms(tx, [run.deployment_id])
    return terms[run.deployment_id].code_version if terms else None


async def open_foreign(tx: Transaction, run: FlowRun, now: datetime) -> FlowRun:
    numbers = await attempts.last_numbers(tx, [run.id])
    attempt = Attempt(
        id=new_id(),
        flow_run_id=run.id,
        number=numbers.get(run.id, 0) + 1,
        kind=AttemptKind.FOREIGN,
        state=AttemptState.CLAIMED,
        opened=now,
        work_pool_id=run.work_pool_id,
        work_queue_id=run.work_queue_id,
        deployment_id=run.deployment_id,
        code_version=await _code_version(tx, run),
    )
    await attempts.insert(tx, [attempt])
    return replace(run, attempt_id=attempt.id)
