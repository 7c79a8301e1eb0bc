from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.making import NOW, REFERENCE, RUN_ID, TASK_ID, flow_run, state, task_run, untimed

from reeve.core.bookkeeping import (
    enter_flow_run_state,
    enter_task_run_state,
    estimated_run_time,
    estimated_start_time_delta,
    parent_task_state,
)
from reeve.core.runs import FlowRun, FlowRunPolicy, TaskRun
from reeve.core.states import ProposedState, State, StateDetails, StateType

SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING
COMPLETED, FAILED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CRASHED
CANCELLED, CANCELLING, PAUSED = StateType.CANCELLED, StateType.CANCELLING, StateType.PAUSED


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def walk(*states: State) -> FlowRun:
    run = flow_run()
    for entered in states:
        run = enter_flow_run_state(run, entered)
    return run


def test_a_life_without_trouble() -> None:
    due = later(60)
    run = walk(state(SCHEDULED, at=NOW, scheduled_time=due))
    assert (run.expected_start_time, run.next_scheduled_start_time) == (due, due)
    run = enter_flow_run_state(run, state(PENDING, at=later(61)))
    assert (run.expected_start_time, run.next_scheduled_start_time) == (due, None)
    assert (run.start_time, run.run_count) == (None, 0)
    run = enter_flow_run_state(run, state(RUNNING, at=later(62)))
    assert (run.start_time, run.run_count, run.end_time) == (later(62), 1, None)
    run = enter_flow_run_state(run, state(COMPLETED, at=later(72)))
    assert (run.end_time, run.total_run_time) == (later(72), timedelta(seconds=10))
    assert run.state is not None
    assert (run.state.type, run.state.timestamp) == (COMPLETED, later(72))


def test_a_retry_adds_to_the_time_and_keeps_the_start() -> None:
    run = walk(
        state(RUNNING, at=NOW),
        state(SCHEDULED, "AwaitingRetry", at=later(5), scheduled_time=later(30)),
        state(RUNNING, at=later(30)),
        state(FAILED, at=later(37)),
    )
    assert (run.start_time, run.end_time, run.run_count) == (NOW, later(37), 2)
    assert run.total_run_time == timedelta(seconds=12)
    assert (run.expected_start_time, run.next_scheduled_start_time) == (NOW, None)


def test_leaving_a_final_state_clears_the_end() -> None:
    ended = walk(state(RUNNING, at=NOW), state(FAILED, at=later(5)))
    assert enter_flow_run_state(ended, state(SCHEDULED, at=later(9))).end_time is None
    assert enter_flow_run_state(ended, state(COMPLETED, at=later(9))).end_time == later(5)


@pytest.mark.parametrize("final", [CANCELLED, FAILED])
def test_a_run_that_never_ran_has_no_end(final: StateType) -> None:
    run = walk(state(SCHEDULED, at=NOW, scheduled_time=later(60)), state(final, at=later(1)))
    assert (run.start_time, run.end_time, run.total_run_time) == (None, None, timedelta())


def test_a_resumed_run_is_not_counted_again() -> None:
    run = flow_run(
        state(PAUSED), run_count=1, empirical_policy=FlowRunPolicy(resuming=True, pause_keys=["a"])
    )
    scheduled = enter_flow_run_state(run, state(SCHEDULED, "Resuming", at=NOW, scheduled_time=NOW))
    assert scheduled.empirical_policy.resuming is True
    running = enter_flow_run_state(scheduled, state(RUNNING, at=later(1)))
    assert running.run_count == 1
    assert running.empirical_policy == FlowRunPolicy(resuming=False, pause_keys=["a"])
    assert enter_flow_run_state(running, state(RUNNING, at=later(2))).run_count == 2
    assert enter_flow_run_state(scheduled, state(CANCELLED)).empirical_policy.resuming is False


def test_silence_and_its_end_are_no_starts() -> None:
    run = walk(
        state(RUNNING, at=NOW),
        state(RUNNING, "Unreachable", at=later(20)),
        state(RUNNING, at=later(30)),
    )
    assert (run.run_count, run.total_run_time) == (1, timedelta(seconds=30))
    assert enter_flow_run_state(run, state(RUNNING, at=later(31))).run_count == 2
    assert walk(state(PENDING), state(RUNNING, "Unreachable")).run_count == 1


def test_a_clock_that_was_set_back_takes_no_time_away() -> None:
    run = walk(state(RUNNING, at=later(10)), state(FAILED, at=NOW))
    assert run.total_run_time == timedelta()
    running = walk(state(RUNNING, at=later(10)))
    assert estimated_run_time(running, NOW) == timedelta()


def test_a_state_knows_its_run() -> None:
    parent = UUID(int=5)
    foreign: dict[str, Any] = {"flow_run_id": UUID(int=98), "task_run_id": UUID(int=99), "pause_key": "a"}
    run = enter_flow_run_state(flow_run(parent_task_run_id=parent), state(PAUSED, **foreign))
    assert run.state is not None
    assert run.state.details == StateDetails(flow_run_id=RUN_ID, task_run_id=parent, pause_key="a")
    task = enter_task_run_state(task_run(), state(PAUSED, **foreign))
    assert task.state is not None
    assert task.state.details == StateDetails(flow_run_id=RUN_ID, task_run_id=TASK_ID, pause_key="a")


def test_a_subflows_state_is_its_parent_tasks() -> None:
    entered = state(FAILED, "Boom", message="why", data=REFERENCE)
    run = enter_flow_run_state(flow_run(parent_task_run_id=TASK_ID), entered)
    assert parent_task_state(run) == ProposedState(
        type=FAILED,
        name="Boom",
        message="why",
        data=REFERENCE,
        details=StateDetails(flow_run_id=RUN_ID, task_run_id=TASK_ID, child_flow_run_id=RUN_ID),
    )


def test_task_runs_count_every_start() -> None:
    run = task_run()
    for entered in (state(PENDING, at=NOW), state(RUNNING, at=later(1)), state(RUNNING, at=later(3))):
        run = enter_task_run_state(run, entered)
    assert (run.run_count, run.start_time, run.total_run_time) == (2, later(1), timedelta(seconds=2))
    run = enter_task_run_state(run, state(COMPLETED, at=later(4)))
    assert (run.end_time, run.total_run_time, run.run_count) == (later(4), timedelta(seconds=3), 2)
    assert run.expected_start_time == NOW


def test_estimated_run_time() -> None:
    spent = timedelta(seconds=7)
    running = flow_run(state(RUNNING, at=NOW), total_run_time=spent)
    assert estimated_run_time(running, later(3)) == timedelta(seconds=10)
    assert estimated_run_time(flow_run(PENDING, total_run_time=spent), later(3)) == spent
    assert estimated_run_time(flow_run(), NOW) == timedelta()
    assert estimated_run_time(task_run(state(RUNNING, at=NOW)), later(3)) == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("run", "late"),
    [
        (flow_run(), 0),
        (flow_run(SCHEDULED, expected_start_time=later(-20)), 20),
        (flow_run(SCHEDULED, expected_start_time=later(20)), 0),
        (flow_run(CANCELLED, expected_start_time=later(-20)), 0),
        (flow_run(RUNNING, expected_start_time=later(-20), start_time=later(-15)), 5),
        (flow_run(COMPLETED, expected_start_time=later(-20), start_time=later(-15)), 5),
        (flow_run(COMPLETED, expected_start_time=later(-20), start_time=later(-25)), 0),
        (task_run(PENDING, expected_start_time=later(-20)), 20),
    ],
)
def test_estimated_start_time_delta(run: FlowRun | TaskRun, late: float) -> None:
    assert estimated_start_time_delta(run, NOW) == timedelta(seconds=late)


@untimed
@given(st.lists(st.tuples(st.sampled_from(StateType), st.integers(0, 100)), min_size=1, max_size=12))
def test_the_fields_agree_with_the_state(steps: list[tuple[StateType, int]]) -> None:
    clock, ran, run, task = NOW, timedelta(), flow_run(), task_run()
    for type_, seconds in steps:
        elapsed = timedelta(seconds=seconds)
        clock += elapsed
        if run.state is not None and run.state.type is RUNNING:
            ran += elapsed
        entered = state(type_, at=clock, scheduled_time=clock if type_ is SCHEDULED else None)
        run, task = enter_flow_run_state(run, entered), enter_task_run_state(task, entered)
        assert run.state is not None
        assert (run.end_time is not None) == (type_.is_final and run.start_time is not None)
        assert run.next_scheduled_start_time == (clock if type_ is SCHEDULED else None)
        assert run.total_run_time == task.total_run_time == ran
        assert run.expected_start_time is not None
    starts = sum(type_ is RUNNING for type_, _ in steps)
    assert run.run_count == task.run_count == starts
    assert (run.start_time is not None) == (starts > 0)
