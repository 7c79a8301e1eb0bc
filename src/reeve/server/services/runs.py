"""Flow runs: asked for, proposed states, resumed, cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from random import randrange
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.attempts import Attempt
from reeve.core.events import Event, EventKind
from reeve.core.names import slug
from reeve.core.rules.flow_runs import FlowRunFacts, decide
from reeve.core.rules.verdict import SetStateStatus, Verdict
from reeve.core.runs import CreatedBy, FlowRun, FlowRunPolicy
from reeve.core.states import RESUMING, ProposedState, State, StateType
from reeve.core.states import propose as proposal
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.ids import new_id
from reeve.server.services import batches, proposals, sealing
from reeve.server.services.context import Context, Principal
from reeve.server.services.fence import holding
from reeve.server.services.hub import pool_topic
from reeve.server.services.proposals import Asked
from reeve.server.services.states import (
    Decision,
    copy_to_parent,
    keep_result,
    new_state,
    proposed_state,
    tell,
)
from reeve.server.storage import (
    attempts,
    deployments,
    events,
    runs,
    schedules,
    work,
)

if TYPE_CHECKING:
    from reeve.core.deployments import Deployment
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import (
        CancelRun,
        DeploymentFlowRunCreate,
        FlowRunCreate,
        FlowRunUpdate,
        Resume,
    )


async def create_flow_run(
    ctx: Context, principal: Principal, body: FlowRunCreate, created_by: CreatedBy | None
) -> tuple[FlowRun, bool]:
    """Create a run of a flow, PENDING unless told otherwise; the same idempotency key finds the first one.

    Raises IntegrityError for an unknown flow, ForbiddenError for a parent of another run.
    """

    async def create(tx: Transaction) -> tuple[FlowRun, bool]:
        now = await tx.now()
        parameters = await sealing.of_run(tx, ctx.keyring, body.deployment_id, body.parameters)
        run = FlowRun(
            id=new_id(),
            created=now,
            updated=now,
            name=body.name or slug(randrange),
            flow_id=body.flow_id,
            deployment_id=body.deployment_id,
            flow_version=body.flow_version,
            parameters=parameters,
            idempotency_key=body.idempotency_key,
            context=body.context,
            empirical_policy=body.empirical_policy or FlowRunPolicy(),
            tags=body.tags,
            parent_task_run_id=body.parent_task_run_id,
            infrastructure_document_id=body.infrastructure_document_id,
            created_by=created_by,
            job_variables={},
        )
        state = proposed_state(body.state) if body.state else proposal(StateType.PENDING)
        return await _create(tx, principal, run, state, now)

    return await ctx.store.write(create)


async def create_run_of_deployment(
    ctx: Context,
    principal: Principal,
    deployment_id: UUID,
    body: DeploymentFlowRunCreate,
    created_by: CreatedBy | None,
) -> tuple[FlowRun, bool]:
    """Ask for a run of a deployment, SCHEDULED now unless told otherwise.

    Raises NotFoundError, and InvalidInputError when the parameters do not fit the deployment's schema.
    """

    async def create(tx: Transaction) -> tuple[FlowRun, bool]:
        now = await tx.now()
        deployment = await deployments.read(tx, deployment_id)
        if deployment is None:
            raise NotFoundError("Deployment not found")
        given = {**deployment.parameters, **(body.parameters or {})}
        parameters = sealing.sealed(ctx.keyring, deployment, given, deployment.parameters)
        enforce = body.enforce_parameter_schema
        if deployment.enforce_parameter_schema if enforce is None else enforce:
            sealing.check(ctx.keyring, deployment, parameters, whole=True)
        run = run_of(deployment, now, parameters=parameters)
        run = replace(
            run,
            name=body.name or run.name,
            idempotency_key=body.idempotency_key,
            context=body.context or {},
            empirical_policy=body.empirical_policy or FlowRunPolicy(),
            tags=sorted({*deployment.tags, *body.tags}),
            parent_task_run_id=body.parent_task_run_id,
            infrastructure_document_id=body.infrastructure_document_id or run.infrastructure_document_id,
            created_by=created_by,
            job_variables=body.job_variables or {},
        )
        if body.work_queue_name and body.work_queue_name != run.work_queue_name:
            queue = await work.ensure_queue(tx, run.work_pool_id, body.work_queue_name, now)
            run = replace(run, work_queue_id=queue.id, work_queue_name=queue.name)
        state = proposed_state(body.state) if body.state else proposal(StateType.SCHEDULED)
        return await _create(tx, principal, run, state, now)

    return await ctx.store.write(create)


def run_of(deployment: Deployment, now: datetime, *, parameters: dict[str, Any]) -> FlowRun:
    """Return a new run with what it takes over from its deployment."""
    return FlowRun(
        id=new_id(),
        created=now,
        updated=now,
        name=slug(randrange),
        flow_id=deployment.flow_id,
        deployment_id=deployment.id,
        deployment_version=deployment.version,
        work_pool_id=deployment.work_pool_id,
        work_pool_name=deployment.work_pool_name,
        work_queue_id=deployment.work_queue_id,
        work_queue_name=deployment.work_queue_name,
        parameters=parameters,
        infrastructure_document_id=deployment.infrastructure_document_id,
    )


async def read(ctx: Context, run_id: UUID) -> FlowRun:
    """Return a run; raises NotFoundError."""
    run = await ctx.store.read(lambda tx: runs.read(tx, run_id))
    if run is None:
        raise NotFoundError("Flow run not found")
    return run


async def read_for(ctx: Context, principal: Principal, run_id: UUID) -> FlowRun:
    """Return a run as the one who asks may have it; raises NotFoundError."""
    return await sealing.for_reader(ctx, principal, await read(ctx, run_id))


async def states(ctx: Context, run_id: UUID) -> list[State]:
    """Return all states of a run, oldest first; none for an unknown run."""
    return await ctx.store.read(lambda tx: runs.states(tx, run_id))


async def read_state(ctx: Context, state_id: UUID) -> State:
    """Return a state of any run; raises NotFoundError."""
    state = await ctx.store.read(lambda tx: runs.state(tx, state_id))
    if state is None:
        raise NotFoundError("Flow run state not found")
    return state


async def update(ctx: Context, principal: Principal, run_id: UUID, body: FlowRunUpdate) -> None:
    """Change what was sent of a run.

    Raises NotFoundError, ForbiddenError, and InvalidInputError for job variables of a run that is not
    SCHEDULED or has no deployment.
    """

    async def change(tx: Transaction) -> None:
        run = await proposals.locked(tx, run_id, NotFoundError("Flow run not found"))
        await holding(tx, principal, run)
        scheduled = run.state is not None and run.state.type is StateType.SCHEDULED
        if body.job_variables is not UNSET and not (scheduled and run.deployment_id):
            raise InvalidInputError(
                "Job variables can only be set on a SCHEDULED run of a deployment.", field="job_variables"
            )
        if isinstance(body.parameters, dict):
            parameters = await sealing.of_run(
                tx, ctx.keyring, run.deployment_id, body.parameters, run.parameters
            )
            changed = replace(body, parameters=parameters)
        else:
            changed = body
        await runs.update(tx, _updated(run, changed, await tx.now()))

    await ctx.store.write(change)


def _updated(run: FlowRun, body: FlowRunUpdate, now: datetime) -> FlowRun:
    def sent(value: Any, current: Any, empty: Any) -> Any:
        return current if value is UNSET else empty if value is None else value

    return replace(
        run,
        updated=now,
        name=sent(body.name, run.name, run.name),
        flow_version=sent(body.flow_version, run.flow_version, None),
        parameters=sent(body.parameters, run.parameters, {}),
        empirical_policy=sent(body.empirical_policy, run.empirical_policy, FlowRunPolicy()),
        tags=sent(body.tags, run.tags, []),
        infrastructure_pid=sent(body.infrastructure_pid, run.infrastructure_pid, None),
        job_variables=sent(body.job_variables, run.job_variables, None),
    )


async def delete(ctx: Context, run_id: UUID) -> None:
    """Delete a run with its states, tasks, attempts and logs; its agent is told to end its process."""

    async def remove(tx: Transaction) -> None:
        run = await runs.read(tx, run_id)
        if run is None or not await runs.delete(tx, run_id):
            raise NotFoundError("Flow run not found")
        if run.auto_scheduled and run.deployment_id:
            await schedules.look_at_once(tx, run.deployment_id)  # it is made again, as in 2.20
        if run.work_pool_id:
            tx.wake(pool_topic(run.work_pool_id))

    await ctx.store.write(remove)


async def propose(ctx: Context, asked: Asked) -> Decision[FlowRun]:
    """Judge a proposed state and write what comes of it (design §3).

    Raises RunNotFoundError, AttemptSupersededError, ForbiddenError.
    """
    return await ctx.store.write(lambda tx: proposals.judge(tx, asked))


async def propose_all(ctx: Context, all_: Sequence[Asked]) -> list[Decision[FlowRun] | BaseException]:
    """Judge proposed states, each as ``propose`` does; return what came of each."""
    return await batches.each(ctx.store, all_, proposals.read_all, proposals.judge)


async def resume(ctx: Context, principal: Principal, run_id: UUID, body: Resume) -> Decision[FlowRun]:
    """Let a paused run go on: a suspended one by a new claim, another in its own process."""

    async def judge(tx: Transaction) -> Decision[FlowRun]:
        run = await proposals.locked(tx, run_id)
        state = run.state
        if state is None or state.type is not StateType.PAUSED:
            verdict = Verdict(
                status=SetStateStatus.ABORT,
                run=run,
                reason="Cannot resume a flow run that is not paused.",
            )
            return Decision(verdict, None, run)
        keyset = state.details.run_input_keyset
        if keyset and body.run_input is not None:  # the engine reads the whole of it under this key
            await runs.put_input(tx, run_id, keyset["response"], body.run_input, await tx.now())
        wanted = (
            proposal(StateType.SCHEDULED, name=RESUMING)
            if state.details.pause_reschedule
            else proposal(StateType.RUNNING)
        )
        return await proposals.propose(tx, principal, run_id, wanted, by_resume=True)

    return await ctx.store.write(judge)


async def cancel(ctx: Context, run_id: UUID, body: CancelRun) -> Decision[FlowRun]:
    """Ask for a run to be cancelled; with ``force`` it ends now, without proof (protocol §8)."""

    async def judge(tx: Transaction) -> Decision[FlowRun]:
        if not body.force:
            return await proposals.propose(tx, proposals.OPERATOR, run_id, proposal(StateType.CANCELLING))
        run = await proposals.locked(tx, run_id)
        now = await tx.now()
        by = body.by or "an operator"
        await events.record(
            tx,
            [
                Event(
                    id=new_id(), at=now, kind=EventKind.CANCEL_FORCED, flow_run_id=run.id, payload={"by": by}
                )
            ],
        )
        message = f"Cancelled by {by}, unproven: what its process still does was not observed."
        return await proposals.propose(
            tx, proposals.OPERATOR, run_id, proposal(StateType.CANCELLED, message=message), force=True
        )

    return await ctx.store.write(judge)


async def _create(
    tx: Transaction, principal: Principal, run: FlowRun, state: ProposedState, now: datetime
) -> tuple[FlowRun, bool]:
    if run.idempotency_key is not None:
        known = await runs.by_idempotency_key(tx, run.flow_id, run.idempotency_key)
        if known is not None:
            return known, False
    if principal.attempt_id is not None and run.parent_task_run_id is not None:
        await holding(tx, principal, run)
    verdict = decide(run, state, FlowRunFacts(), now, force=True)
    assert verdict.state is not None
    run = bookkeeping.enter_flow_run_state(verdict.run, new_state(verdict.state, now))
    if not await runs.insert(tx, run):
        assert run.idempotency_key is not None
        known = await runs.by_idempotency_key(tx, run.flow_id, run.idempotency_key)
        if known is None:
            raise ConflictError("Another request is just creating a run with this idempotency key; repeat.")
        return known, False
    if proposals.opens_foreign(run, principal):
        run = await proposals.open_foreign(tx, run, now)
        await runs.amend(tx, run)
    await tell(tx, [run], now)
    await keep_result(tx, run.state, now)
    await copy_to_parent(tx, run, now)
    return run, True


async def create_held(tx: Transaction, run: FlowRun, attempt: Attempt, now: datetime) -> tuple[FlowRun, bool]:
    """Create a run that a process executes already, Pending, with that process's attempt.

    The same idempotency key finds the first one.
    """
    run, is_new = await _create(tx, Principal(attempt.id), run, proposal(StateType.PENDING), now)
    if is_new:
        await attempts.insert(tx, [replace(attempt, flow_run_id=run.id)])
        run = replace(run, attempt_id=attempt.id)
        await runs.amend(tx, run)
    return run, is_new
