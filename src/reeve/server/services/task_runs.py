"""Task runs: created by engines, judged like flow runs, fenced by the attempt of their flow run."""

from __future__ import annotations

import random
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.names import slug
from reeve.core.rules.fence import Caller
from reeve.core.rules.task_runs import TaskRunFacts, decide
from reeve.core.rules.verdict import Effect
from reeve.core.runs import LONGEST_CACHE_KEY, TaskRun, TaskRunPolicy, check_policy
from reeve.core.states import ProposedState, State, StateType
from reeve.core.states import propose as proposal
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.ids import new_id
from reeve.server.services.context import Context, Principal
from reeve.server.services.fence import Holding, holding
from reeve.server.services.states import (
    Decision,
    enter_task,
    keep_result,
    new_state,
    proposed_state,
    tell_subscribers,
)
from reeve.server.storage import runs, slots, task_runs
from reeve.server.storage.dialects.base import IntegrityError
from reeve.wire.codec import instant

if TYPE_CHECKING:
    from reeve.core.runs import FlowRun
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import SetState, TaskRunCreate, TaskRunUpdate


async def create(ctx: Context, principal: Principal, body: TaskRunCreate) -> tuple[TaskRun, bool]:
    """Create a task run, PENDING unless told otherwise; the same keys find the first one.

    Raises IntegrityError for an unknown flow run, ForbiddenError for one of another attempt, and
    InvalidInputError for more than 2.20 takes.
    """
    check_policy(body.empirical_policy)
    if body.cache_key is not None and len(body.cache_key) > LONGEST_CACHE_KEY:
        raise InvalidInputError(
            f"A cache key has at most {LONGEST_CACHE_KEY} characters; use a hash of what is longer.",
            field="cache_key",
        )

    async def insert(tx: Transaction) -> tuple[TaskRun, bool]:
        known = await task_runs.by_key(tx, body.flow_run_id, body.task_key, body.dynamic_key)
        if known is not None:
            return known, False
        if body.flow_run_id is not None:
            flow_run = await runs.read(tx, body.flow_run_id)
            if flow_run is None:
                raise IntegrityError
            await _holding(tx, principal, flow_run)
        now = await tx.now()
        run = TaskRun(
            id=body.id or new_id(),
            created=now,
            updated=now,
            name=body.name or slug(random.randrange),
            task_key=body.task_key,
            dynamic_key=body.dynamic_key,
            flow_run_id=body.flow_run_id,
            cache_key=body.cache_key,
            cache_expiration=instant(body.cache_expiration) if body.cache_expiration else None,
            task_version=body.task_version,
            empirical_policy=body.empirical_policy or TaskRunPolicy(),
            tags=body.tags,
            task_inputs=body.task_inputs,
        )
        state = proposed_state(body.state) if body.state else proposal(StateType.PENDING)
        verdict = decide(run, state, TaskRunFacts(), now, force=True)
        assert verdict.state is not None
        run = bookkeeping.enter_task_run_state(verdict.run, new_state(verdict.state, now))
        if await task_runs.insert(tx, run):
            await keep_result(tx, run.state, now)
            tell_subscribers(tx, run)
            return run, True
        known = await task_runs.by_key(tx, body.flow_run_id, body.task_key, body.dynamic_key)
        if known is None:
            raise ConflictError(f"There is a task run with id {run.id} already.")
        return known, False

    return await ctx.store.write(insert)


async def read(ctx: Context, task_run_id: UUID) -> TaskRun:
    """Return a task run; raises NotFoundError."""
    run = await ctx.store.read(lambda tx: task_runs.read(tx, task_run_id))
    if run is None:
        raise NotFoundError("Task not found")
    return run


async def states(ctx: Context, task_run_id: UUID) -> list[State]:
    """Return all states of a task run, oldest first; none for an unknown one."""
    return await ctx.store.read(lambda tx: task_runs.states(tx, task_run_id))


async def read_state(ctx: Context, state_id: UUID) -> State:
    """Return a state of any task run; raises NotFoundError, with the words that 2.20 has for it."""
    state = await ctx.store.read(lambda tx: task_runs.state(tx, state_id))
    if state is None:
        raise NotFoundError("Flow run state not found")
    return state


async def delete(ctx: Context, task_run_id: UUID) -> None:
    """Delete a task run with its states, and free its slots; raises NotFoundError."""

    async def remove(tx: Transaction) -> None:
        await slots.release(tx, task_run_id)
        if not await task_runs.delete(tx, task_run_id):
            raise NotFoundError("Task not found")

    await ctx.store.write(remove)


async def update(ctx: Context, principal: Principal, task_run_id: UUID, body: TaskRunUpdate) -> None:
    """Rename a task run; raises NotFoundError, ForbiddenError."""

    async def change(tx: Transaction) -> None:
        run = await task_runs.lock(tx, task_run_id)
        if run is None:
            raise NotFoundError("Task run not found")  # elsewhere 2.20 says "Task"
        flow_run = await runs.read(tx, run.flow_run_id) if run.flow_run_id else None
        await _holding(tx, principal, flow_run)
        if body.name is not UNSET and body.name is not None:
            await task_runs.rename(tx, task_run_id, body.name, await tx.now())

    await ctx.store.write(change)


async def propose(
    ctx: Context, principal: Principal, task_run_id: UUID, body: SetState, api_version: tuple[int, int, int]
) -> Decision[TaskRun]:
    """Judge a proposed state and write what comes of it.

    Raises NotFoundError, AttemptSupersededError, ForbiddenError.
    """
    del api_version  # no rule of task runs depends on it

    async def judge(tx: Transaction) -> Decision[TaskRun]:
        run = await task_runs.lock(tx, task_run_id)
        if run is None:
            raise NotFoundError(f"Task run with id {task_run_id} not found")
        now = await tx.now()
        proposed = proposed_state(body.state)
        flow_run = await runs.read(tx, run.flow_run_id) if run.flow_run_id else None
        held = await _holding(tx, principal, flow_run)
        limits = (
            await slots.lock_tag_limits(tx, run.tags, run.id) if proposed.type is StateType.RUNNING else []
        )
        facts = await _facts(tx, flow_run, held, proposed, limits, now)
        before = run.state
        verdict = decide(run, proposed, facts, now, force=body.force)
        decision = await enter_task(tx, verdict, now)
        if Effect.TAKE_SLOTS in verdict.effects:
            await slots.take(tx, limits, run.id, held.attempt.id if held.attempt else None, now)
        return replace(decision, state=decision.state or before)

    return await ctx.store.write(judge)


async def _facts(
    tx: Transaction,
    flow_run: FlowRun | None,
    held: Holding,
    proposed: ProposedState,
    limits: list[slots.TagLimit],
    now: datetime,
) -> TaskRunFacts:
    key = proposed.details.cache_key
    looked_up = proposed.type is StateType.RUNNING and key is not None
    in_the_way = next((limit for limit in limits if limit.taken >= limit.size), None)
    return TaskRunFacts(
        attempt=held.attempt.kind if held.attempt else None,
        caller=held.caller,
        flow_run_state=flow_run.state if flow_run else None,
        flow_run_run_count=flow_run.run_count if flow_run else 0,
        cached=await task_runs.cached_state(tx, key, now) if looked_up and key else None,
        zero_tag=in_the_way.tag if in_the_way and in_the_way.size == 0 else None,
        full_tag=in_the_way.tag if in_the_way and in_the_way.size > 0 else None,
        dice=random.random(),  # noqa: S311  # jitter, no secret
    )


async def _holding(tx: Transaction, principal: Principal, flow_run: FlowRun | None) -> Holding:
    if flow_run is None:
        return Holding(None, Caller.CLIENT)
    return await holding(tx, principal, flow_run)
