"""Entering states: what a verdict writes, and what follows from it, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Generic
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.attempts import Attempt, AttemptState, timed
from reeve.core.events import Event, EventKind
from reeve.core.rules import task_runs as task_rules
from reeve.core.rules.shared import is_persisted
from reeve.core.rules.verdict import Effect, RunT, Verdict
from reeve.core.runs import FlowRun, TaskRun
from reeve.core.states import AWAITING_RETRY, ProposedState, State, StateDetails, StateType, propose
from reeve.ids import new_id
from reeve.server.services import notifications
from reeve.server.services.hub import TASKS_TOPIC, agent_topic, pool_topic, run_topic
from reeve.server.storage import artifacts, attempts, events, runs, slots, task_runs
from reeve.server.storage.store import Transaction
from reeve.wire.codec import iso
from reeve.wire.requests import StateCreate
from reeve.wire.responses import Artifact

ARTIFACT_WORDS = frozenset({"artifact_type", "artifact_description"})  # in a result that a client describes
WITHOUT_CHILDREN = "runs without children"
CHILDREN = 500  # task runs ended in one statement, so that no transaction holds all of a huge run


class Decision(Struct, Generic[RunT], frozen=True):
    """A verdict, the state to show for it, and whether it wrote one (api-contract §2: 201 or 200)."""

    verdict: Verdict[RunT]
    state: State | None
    run: RunT

    @property
    def written(self) -> bool:
        """Whether a new state was entered."""
        return self.verdict.state is not None


def proposed_state(body: StateCreate) -> ProposedState:
    """Read a proposed state out of a request; its id and time are the server's to give."""
    return propose(
        body.type, name=body.name, message=body.message, data=body.data, details=body.state_details
    )


def new_state(proposed: ProposedState, now: datetime) -> State:
    """Give an accepted state its id and its time."""
    return State(
        id=new_id(),
        type=proposed.type,
        name=proposed.name,
        timestamp=now,
        message=proposed.message,
        data=proposed.data,
        details=proposed.details,
    )


async def enter(tx: Transaction, verdict: Verdict[FlowRun], now: datetime) -> Decision[FlowRun]:
    """Write what a verdict on a flow run says."""
    run = verdict.run
    if verdict.state is None:
        return Decision(verdict, run.state, run)
    run = bookkeeping.enter_flow_run_state(run, new_state(verdict.state, now))
    run = replace(run, updated=now)
    await runs.enter(tx, [run])
    await tell(tx, [run], now)
    if Effect.RESET_FAILED_TASKS in verdict.effects:
        await _reset_failed_tasks(tx, run.id, now)
    await keep_result(tx, run.state, now)
    if verdict.state.type.is_final:
        await slots.release_run(tx, run.id)
    await copy_to_parent(tx, run, now)
    return Decision(verdict, run.state, run)


async def tell(tx: Transaction, entered: list[FlowRun], now: datetime) -> None:
    """Record that runs entered their states, and wake those who wait for it."""
    await events.record(tx, [_entered_event(run, now) for run in entered])
    await notifications.queue(tx, entered, now)
    for run in entered:
        tx.wake(run_topic(run.id))
        if run.work_pool_id and run.state and run.state.type is StateType.SCHEDULED:
            tx.wake(pool_topic(run.work_pool_id))
        if run.attempt_id and run.state and run.state.type is StateType.CANCELLING:
            # Its holder, by name: with its queue the run has lost its pool (W30).
            holder = await attempts.read(tx, run.attempt_id)
            if holder and holder.agent_id:
                tx.wake(agent_topic(holder.agent_id))


async def enter_task(tx: Transaction, verdict: Verdict[TaskRun], now: datetime) -> Decision[TaskRun]:
    """Write what a verdict on a task run says."""
    run = verdict.run
    if verdict.state is None:
        return Decision(verdict, run.state, run)
    run = replace(bookkeeping.enter_task_run_state(run, new_state(verdict.state, now)), updated=now)
    await task_runs.enter(tx, [run])
    await keep_result(tx, run.state, now)
    if Effect.RELEASE_SLOTS in verdict.effects:
        await slots.release(tx, run.id)
    if Effect.STORE_CACHE in verdict.effects and run.state is not None:
        await task_runs.store_cache(tx, run.state)
    tell_subscribers(tx, run)
    return Decision(verdict, run.state, run)


def tell_subscribers(tx: Transaction, run: TaskRun) -> None:
    """Wake those who serve tasks when a task run outside of flows waits for one of them."""
    if run.flow_run_id is None and run.state is not None and run.state.type is StateType.SCHEDULED:
        tx.wake(TASKS_TOPIC)


async def force_task(tx: Transaction, run: TaskRun, state: ProposedState, now: datetime) -> None:
    """Have a task run enter a state that the server itself decides on."""
    verdict = task_rules.decide(run, state, task_rules.TaskRunFacts(), now, force=True)
    await enter_task(tx, verdict, now)


async def end_children(tx: Transaction, run: FlowRun, type_: StateType, cause: str, now: datetime) -> None:
    """End what ran inside a process that is gone: its open task runs and its subflow runs."""
    if run.id in tx.memo.get(WITHOUT_CHILDREN, ()) or not await task_runs.parents(tx, [run.id]):
        return
    ended = propose(type_, message=cause)
    while unfinished := await task_runs.unfinished(tx, run.id, CHILDREN):
        for task in unfinished:
            await force_task(tx, task, ended, now)
    for child in await runs.children(tx, run.id):
        # A child with a deployment is a run of its own, with its own attempt.
        if child.deployment_id is None and not (child.state and child.state.is_final):
            await end_children(tx, child, type_, cause, now)
            entered = bookkeeping.enter_flow_run_state(child, new_state(ended, now))
            await runs.enter(tx, [replace(entered, updated=now)])
            await tell(tx, [entered], now)


def without_children(tx: Transaction, run_ids: Iterable[UUID], parents: set[UUID]) -> set[UUID]:
    """Note, and return, which of these runs have nothing inside to be ended: all but ``parents``."""
    alone = {*run_ids} - parents
    tx.memo[WITHOUT_CHILDREN] = alone
    return alone


async def keep_result(tx: Transaction, state: State | None, now: datetime) -> None:
    """Keep the result of an entered state as an artifact, without the words that are meant for that."""
    if state is None or not is_persisted(state.data):
        return
    described = state.data if isinstance(state.data, dict) else {}
    plain = {name: value for name, value in described.items() if name not in ARTIFACT_WORDS}
    at = iso(now)
    artifact = Artifact(
        id=new_id(),
        created=at,
        updated=at,
        type=_text(described.get("artifact_type")),
        description=_text(described.get("artifact_description")),
        data=plain if described else state.data,
        flow_run_id=state.details.flow_run_id,
        task_run_id=state.details.task_run_id,
    )
    await artifacts.insert(tx, artifact)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


async def copy_to_parent(tx: Transaction, run: FlowRun, now: datetime) -> None:
    """A subflow's state is its parent task run's too (api-contract §8.5)."""
    parent = await task_runs.lock(tx, run.parent_task_run_id) if run.parent_task_run_id else None
    if parent is not None:
        await force_task(tx, parent, bookkeeping.parent_task_state(run), now)


async def _reset_failed_tasks(tx: Transaction, run_id: UUID, now: datetime) -> None:
    """Clients before API 0.8.3 expect failed tasks to wait with their flow (api-contract §8.2 #11)."""
    waiting = propose(StateType.SCHEDULED, name=AWAITING_RETRY, details=StateDetails(scheduled_time=now))
    for task in await task_runs.failed(tx, run_id):
        entered = bookkeeping.enter_task_run_state(task, new_state(waiting, now))
        await task_runs.enter(tx, [replace(entered, run_count=0, updated=now)])


def _entered_event(run: FlowRun, now: datetime) -> Event:
    assert run.state is not None
    return Event(
        id=new_id(),
        at=now,
        kind=EventKind.STATE_ENTERED,
        flow_run_id=run.id,
        attempt_id=run.attempt_id,
        payload={"type": run.state.type, "name": run.state.name, "message": run.state.message},
    )


async def started(tx: Transaction, attempt: Attempt, run: FlowRun, now: datetime) -> None:
    """Note on an open attempt, whose run is locked, that its process was granted Running, the first time."""
    if attempt.started is None:
        attempt = replace(attempt, started=now, state=AttemptState.STARTED)
        await attempts.update(tx, timed(attempt, run))
