"""A reporter for runs without a server: the server's own rules, kept in this process."""

from __future__ import annotations

import random
import threading
from datetime import datetime
from uuid import UUID, uuid4

from reeve import clock
from reeve.core import bookkeeping
from reeve.core.rules import flow_runs, task_runs
from reeve.core.rules.verdict import RunT, SetStateStatus, Verdict
from reeve.core.runs import FlowRun, TaskRun
from reeve.core.states import ProposedState, State, StateType, propose
from reeve.sdk.engine.run import (
    Aborted,
    Accepted,
    Answer,
    FlowRunSpec,
    Kind,
    Opened,
    Rejected,
    TaskRunSpec,
    Wait,
)


class Nowhere:
    """Retries, and whatever else the rules decide, behave as with a server because they are the server's.

    Runs are forgotten as they end.
    """

    blocks = False

    def __init__(self) -> None:
        self._flow_runs: dict[UUID, FlowRun] = {}
        self._task_runs: dict[UUID, TaskRun] = {}
        self._lock = threading.Lock()

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

    def propose(self, kind: Kind, run_id: UUID, state: ProposedState) -> Answer:
        """Judge a state by the rules and enter it."""
        with self._lock:
            now = clock.now()
            if kind is Kind.FLOW:
                return self._propose_flow_state(self._flow_runs[run_id], state, now)
            return self._propose_task_state(self._task_runs[run_id], state, now)

    def look(self, flow_run_id: UUID) -> StateType | None:
        """Return None: nobody but this process could have changed a state."""
        del flow_run_id
        return None

    def _propose_flow_state(self, run: FlowRun, state: ProposedState, now: datetime) -> Answer:
        verdict = flow_runs.decide(run, state, flow_runs.FlowRunFacts(), now)
        after = verdict.run
        if verdict.state is not None:
            after = bookkeeping.enter_flow_run_state(after, _entered(verdict.state, now))
        _keep(self._flow_runs, after)
        return _answer(verdict, after.state, now)

    def _propose_task_state(self, run: TaskRun, state: ProposedState, now: datetime) -> Answer:
        flow = self._flow_runs.get(run.flow_run_id) if run.flow_run_id else None
        facts = task_runs.TaskRunFacts(
            flow_run_state=flow.state if flow else None,
            flow_run_run_count=flow.run_count if flow else 0,
            dice=random.random(),  # noqa: S311  # spreads retries, protects nothing
        )
        verdict = task_runs.decide(run, state, facts, now)
        after = verdict.run
        if verdict.state is not None:
            after = bookkeeping.enter_task_run_state(after, _entered(verdict.state, now))
        _keep(self._task_runs, after)
        return _answer(verdict, after.state, now)


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
