"""A reporter for runs without a server: the server's own rules, kept in this process."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid4

from msgspec.structs import replace

from reeve import clock
from reeve.core import bookkeeping
from reeve.core.rules import flow_runs, task_runs
from reeve.core.rules.shared import is_persisted
from reeve.core.rules.verdict import Effect, RunT, SetStateStatus, Verdict
from reeve.core.runs import FlowRun, TaskRun
from reeve.core.states import ProposedState, State, StateType, propose
from reeve.errors import ReeveError
from reeve.sdk.engine.run import (
    Aborted,
    Accepted,
    Answer,
    FlowRunSpec,
    Kind,
    Opened,
    Rejected,
    Shelf,
    TaskRunSpec,
    Wait,
)

_NO_ONE = UUID(int=0)
_REFUSED = 1000  # whoever comes back does so at once, and there are not as many threads


class Nowhere:
    """Retries, and whatever else the rules decide, behave as with a server because they are the server's.

    Runs are forgotten as they end.
    """

    def __init__(self) -> None:
        self._flow_runs: dict[UUID, FlowRun] = {}
        self._task_runs: dict[UUID, TaskRun] = {}
        self._shelves: dict[UUID, Shelf] = {}
        # Those with a result that a later try of their flow run will ask for again.
        self._kept: dict[UUID, dict[tuple[str, str], TaskRun]] = {}
        self._refused: dict[UUID, tuple[TaskRun, Shelf | None]] = {}
        self._lock = threading.Lock()

    def blocks(self, report: object) -> bool:
        """Nobody is asked who is not here."""
        del report
        return False

    @property
    def server(self) -> None:
        """Nobody hears."""
        return

    def open_flow_run(self, spec: FlowRunSpec) -> Opened:
        """Make a flow run that is Pending."""
        now, id_ = clock.now(), uuid4()
        name = spec.run_name or f"{spec.flow_name}-{id_.hex[:6]}"
        self._flow_runs[id_] = FlowRun(
            id=id_,
            created=now,
            updated=now,
            name=name,
            flow_id=id_,
            state=_entered(propose(StateType.PENDING), now),
            empirical_policy=spec.policy,
        )
        return Opened(id_, name)

    def open_task_run(self, spec: TaskRunSpec) -> Opened:
        """Make a task run that is Pending."""
        now, id_ = clock.now(), uuid4()
        earlier = self._kept.get(spec.flow_run_id or _NO_ONE, {}).get((spec.key, spec.position))
        if spec.shelf is not None:
            self._shelves[earlier.id if earlier else id_] = spec.shelf
        if earlier is not None:
            self._task_runs[earlier.id] = earlier
            return Opened(earlier.id, earlier.name)
        name = spec.run_name or f"{spec.name}-{spec.position}"
        self._task_runs[id_] = TaskRun(
            id=id_,
            created=now,
            updated=now,
            name=name,
            task_key=spec.key,
            dynamic_key=spec.position,
            # One that is not known here is a server's: its rules are kept there.
            flow_run_id=spec.flow_run_id if spec.flow_run_id in self._flow_runs else None,
            state=_entered(propose(StateType.PENDING), now),
            empirical_policy=spec.policy,
        )
        return Opened(id_, name)

    def propose(self, kind: Kind, run_id: UUID, state: ProposedState, *, force: bool = False) -> Answer:
        """Judge a state by the rules and enter it."""
        with self._lock:
            now = clock.now()
            if kind is Kind.FLOW:
                return self._propose_flow_state(self._flow_runs[run_id], state, now)
            if force:
                self._take_back(run_id, now)
            return self._propose_task_state(self._task_runs[run_id], state, now)

    def look(self, flow_run_id: UUID) -> StateType | None:
        """Return None: nobody but this process could have changed a state."""
        del flow_run_id
        return None

    def forget(self, task_run_id: UUID) -> None:
        """Judge a task run no more: others do."""
        with self._lock:
            self._task_runs.pop(task_run_id, None)

    def _propose_flow_state(self, run: FlowRun, state: ProposedState, now: datetime) -> Answer:
        verdict = flow_runs.decide(run, state, flow_runs.FlowRunFacts(), now)
        after = verdict.run
        if verdict.state is not None:
            after = bookkeeping.enter_flow_run_state(after, _entered(verdict.state, now))
        _keep(self._flow_runs, after)
        if after.state is not None and after.state.is_final:
            self._kept.pop(after.id, None)
        return _answer(verdict, after.state, now)

    def _propose_task_state(self, run: TaskRun, state: ProposedState, now: datetime) -> Answer:
        flow = self._flow_runs.get(run.flow_run_id) if run.flow_run_id else None
        facts = task_runs.TaskRunFacts(
            flow_run_state=flow.state if flow else None,
            flow_run_run_count=flow.run_count if flow else 0,
            cached=self._cached(run, state, now),
            dice=random.random(),  # noqa: S311  # spreads retries, protects nothing
        )
        verdict = task_runs.decide(run, state, facts, now)
        after = verdict.run
        if verdict.state is not None:
            after = bookkeeping.enter_task_run_state(after, _entered(verdict.state, now))
        if Effect.STORE_CACHE in verdict.effects:
            self._store_cache(run.id, state)
        _keep(self._task_runs, after)
        if verdict.status is SetStateStatus.REJECT and after.state is not None and after.state.is_final:
            self._refuse(after)
        self._keep_result(after, flow)
        return _answer(verdict, after.state, now)

    def _cached(self, run: TaskRun, state: ProposedState, now: datetime) -> State | None:
        shelf, key = self._shelves.get(run.id), state.details.cache_key
        if state.type is not StateType.RUNNING or shelf is None or key is None:
            return None
        with suppress(ReeveError):  # a cache that cannot be read holds nothing
            data = shelf.find(key, now)
            return None if data is None else _entered(propose(StateType.COMPLETED, data=data), now)
        return None

    def _store_cache(self, run_id: UUID, state: ProposedState) -> None:
        shelf, details = self._shelves.get(run_id), state.details
        if shelf is not None and details.cache_key is not None:
            with suppress(ReeveError):  # the work is done; it is done again the next time
                shelf.keep(details.cache_key, state.data, details.cache_expiration)

    def _refuse(self, run: TaskRun) -> None:
        """Remember a run that has a result already, for who finds that the result is of no use."""
        self._refused[run.id] = run, self._shelves.get(run.id)
        if len(self._refused) > _REFUSED:
            del self._refused[next(iter(self._refused))]

    def _take_back(self, run_id: UUID, now: datetime) -> None:
        """Have a run that has a result be as if it had none."""
        run, shelf = self._refused.pop(run_id)
        self._task_runs[run_id] = replace(run, state=_entered(propose(StateType.PENDING), now))
        if shelf is not None:
            self._shelves[run_id] = shelf

    def _keep_result(self, run: TaskRun, flow: FlowRun | None) -> None:
        if run.state is None or not run.state.is_final:
            return
        self._shelves.pop(run.id, None)
        completed = run.state.type is StateType.COMPLETED and is_persisted(run.state.data)
        if completed and flow is not None and flow.empirical_policy.retries:
            self._kept.setdefault(flow.id, {})[run.task_key, run.dynamic_key] = run


def _keep(runs: dict[UUID, RunT], run: RunT) -> None:
    if run.state is not None and run.state.is_final:
        del runs[run.id]
    else:
        runs[run.id] = run


def _entered(state: ProposedState, now: datetime) -> State:
    return State(
        id=uuid4(),
        type=state.type,
        name=state.name,
        timestamp=now,
        message=state.message,
        data=state.data,
        details=state.details,
    )


def _answer(verdict: Verdict[RunT], state: State | None, now: datetime) -> Answer:
    assert state is not None, "every run is opened with a state"
    current = ProposedState(
        type=state.type, name=state.name, message=state.message, data=state.data, details=state.details
    )
    match verdict.status:
        case SetStateStatus.ACCEPT:
            return Accepted(current)
        case SetStateStatus.REJECT:
            due = state.details.scheduled_time
            return Rejected(current, max((due - now).total_seconds(), 0) if due else 0, verdict.reason)
        case SetStateStatus.WAIT:
            return Wait(verdict.delay_seconds or 0, verdict.reason)
        case SetStateStatus.ABORT:
            return Aborted(verdict.reason)
