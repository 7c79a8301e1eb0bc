"""What a run's own fields become when it enters a state (api-contract §8.5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from msgspec.structs import replace

from reeve.core.runs import FlowRun, FlowRunPolicy, TaskRun
from reeve.core.states import UNREACHABLE, ProposedState, State, StateType

RunT = TypeVar("RunT", FlowRun, TaskRun)


def enter_flow_run_state(run: FlowRun, state: State) -> FlowRun:
    """Return the run in its new state.

    ``run`` is the one that the verdict names, so that what the rules changed is kept.
    """
    entered = _enter(run, state, flow_run_id=run.id, task_run_id=run.parent_task_run_id)
    return replace(
        entered,
        run_count=run.run_count + (1 if _starts_again(run, state) else 0),
        empirical_policy=_resumed(run.empirical_policy, state),
    )


def enter_task_run_state(run: TaskRun, state: State) -> TaskRun:
    """Return the task run in its new state; ``run`` is the one that the verdict names."""
    entered = _enter(run, state, flow_run_id=run.flow_run_id, task_run_id=run.id)
    started = state.type is StateType.RUNNING
    return replace(entered, run_count=run.run_count + (1 if started else 0))


def parent_task_state(run: FlowRun) -> ProposedState:
    """Return the state that a subflow's parent task run is forced into: a copy of the subflow's own."""
    state = run.state
    assert state is not None
    return ProposedState(
        type=state.type,
        name=state.name,
        message=state.message,
        data=state.data,
        details=replace(state.details, child_flow_run_id=run.id),
    )


def estimated_run_time(run: FlowRun | TaskRun, now: datetime) -> timedelta:
    """Return the time spent in RUNNING, up to now."""
    if run.state is None or run.state.type is not StateType.RUNNING:
        return run.total_run_time
    return run.total_run_time + max(now - run.state.timestamp, timedelta())


def estimated_start_time_delta(run: FlowRun | TaskRun, now: datetime) -> timedelta:
    """Return how much later than expected the run started, or how late it is by now."""
    if run.expected_start_time is None:
        return timedelta()
    if run.start_time is not None:
        return max(run.start_time - run.expected_start_time, timedelta())
    if run.state is not None and run.state.is_final:
        return timedelta()
    return max(now - run.expected_start_time, timedelta())


def _enter(run: RunT, state: State, **ids: object) -> RunT:
    old, scheduled = run.state, state.type is StateType.SCHEDULED
    due = state.details.scheduled_time if scheduled else None
    start_time = run.start_time
    if start_time is None and state.type is StateType.RUNNING:
        start_time = state.timestamp
    end_time = None
    if state.is_final:
        end_time = run.end_time or (state.timestamp if start_time else None)
    # A clock that was set back must not take time away.
    ran = old is not None and old.type is StateType.RUNNING
    spent = max(state.timestamp - old.timestamp, timedelta()) if old and ran else timedelta()
    return replace(
        run,
        state=replace(state, details=replace(state.details, **ids)),
        start_time=start_time,
        end_time=end_time,
        total_run_time=run.total_run_time + spent,
        expected_start_time=run.expected_start_time or due or state.timestamp,
        next_scheduled_start_time=due,
    )


def _starts_again(run: FlowRun, state: State) -> bool:
    if state.type is not StateType.RUNNING or run.empirical_policy.resuming:
        return False
    # Silence and its end are shown in a RUNNING run's name (protocol §3); neither is a start.
    still_runs = run.state is not None and run.state.type is StateType.RUNNING
    return not (still_runs and run.state is not None and UNREACHABLE in {run.state.name, state.name})


def _resumed(policy: FlowRunPolicy, state: State) -> FlowRunPolicy:
    over = state.type is StateType.RUNNING or state.is_final
    return replace(policy, resuming=False) if policy.resuming and over else policy
