"""The engine's logic without an engine: what it asks for, answer by answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from reeve.core.states import ProposedState, StateDetails, StateType, propose
from reeve.sdk.engine import script
from reeve.sdk.engine.outcomes import Raised, Returned, TimedOut
from reeve.sdk.engine.reports import Look, Propose
from reeve.sdk.engine.run import Aborted, Accepted, Kind, Rejected, Run, Wait
from reeve.sdk.engine.script import Call, Consult, Effect, Sleep
from reeve.sdk.engine.server import read_answer
from reeve.sdk.states import RunAbortedError, RunStopped, RunTimedOutError, State, Terminated
from reeve.wire import responses

RUN_ID = UUID(int=1)
ACCEPT = "accept"


def run(kind: Kind = Kind.FLOW, **more: Any) -> Run:
    """Make a run that nobody executes."""
    return Run(
        kind=kind,
        id=RUN_ID,
        name="r",
        body=lambda: None,
        scope=lambda _: nullcontext(),
        aside=lambda _: nullcontext(),
        **more,
    )


def play(
    answers: Sequence[Any], kind: Kind = Kind.FLOW, *, asked: list[Any] | None = None, **more: Any
) -> tuple[list[Any], State[Any]]:
    """Give the script one answer after the other; return what it asked for, and its value."""
    asked = [] if asked is None else asked
    steps = script.execute(run(kind, **more))
    effect = next(steps)
    try:
        for answer in answers:
            asked.append(effect)
            if isinstance(answer, BaseException):
                effect = steps.throw(answer)
            else:
                effect = steps.send(_accept(effect) if answer is ACCEPT else answer)
    except StopIteration as end:
        return asked, end.value
    raise AssertionError(f"the script wants more: {effect}")


def _accept(effect: Effect) -> Accepted:
    assert isinstance(effect, Propose)
    return Accepted(effect.state)


def told(asked: list[Any]) -> list[str]:
    """Say what was asked for in a few words."""
    return [
        one.state.name
        if isinstance(one, Propose)
        else f"sleep {one.seconds:g}"
        if isinstance(one, Sleep)
        else "consult"
        if isinstance(one, Consult)
        else "look"
        if isinstance(one, Look)
        else "call"
        for one in asked
    ]


def rejected(type_: StateType, name: str | None = None, delay: float = 0) -> Rejected:
    return Rejected(propose(type_, name=name), delay, "because")


def test_a_run_completes() -> None:
    asked, state = play([ACCEPT, Returned(5), ACCEPT])
    assert told(asked) == ["Running", "call", "Completed"]
    assert state.result() == 5
    assert asked[2].state.data == {"type": "unpersisted"}  # the value stays here


def test_a_renamed_state_is_taken_by_its_new_name() -> None:
    running = Accepted(propose(StateType.RUNNING, name="Retrying"))
    _, state = play([running, Returned(5), Accepted(propose(StateType.COMPLETED, name="Fine"))])
    assert (state.name, state.value) == ("Fine", 5)


def test_who_grants_a_retry_says_when() -> None:
    error = ValueError("x")
    again = rejected(StateType.SCHEDULED, "AwaitingRetry", delay=7)
    asked, state = play([ACCEPT, Raised(error), again, None, ACCEPT, TimedOut(3), ACCEPT])
    assert told(asked) == ["Running", "call", "Failed", "sleep 7", "Running", "call", "TimedOut"]
    assert state.message == "Flow run exceeded timeout of 3 second(s)"
    with pytest.raises(RunTimedOutError):
        state.result()


def test_wait_means_the_same_again_later() -> None:
    asked, _ = play([Wait(30, "no slot"), None, ACCEPT, Returned(None), Wait(1, "busy"), None, ACCEPT])
    assert told(asked) == ["Running", "sleep 30", "Running", "call", "Completed", "sleep 1", "Completed"]


def test_abort_ends_the_process_of_a_flow_run() -> None:
    with pytest.raises(RunStopped, match="r' ends here: over"):
        play([Aborted("over")])
    with pytest.raises(RunStopped):
        play([ACCEPT, Returned(1), Aborted("over")])


def test_abort_of_a_task_is_an_error_of_its_flow() -> None:
    with pytest.raises(RunAbortedError, match="Task run 'r' ends here: limit 0"):
        play([Aborted("limit 0")], Kind.TASK)


def test_a_state_that_ends_the_run_instead_is_taken() -> None:
    asked, state = play([rejected(StateType.COMPLETED, "Cached")], Kind.TASK)
    assert told(asked) == ["Running"]
    assert (state.name, state.value) == ("Cached", None)


@pytest.mark.parametrize("type_", [StateType.CANCELLING, StateType.PAUSED, StateType.PENDING])
def test_a_flow_run_that_may_not_run_stops_without_user_code(type_: StateType) -> None:
    with pytest.raises(RunStopped, match=type_.value.capitalize()):
        play([rejected(type_)])


def test_a_task_of_a_paused_flow_asks_again() -> None:
    paused = rejected(StateType.PAUSED, "NotReady")
    asked, _ = play([paused, None, paused, None, ACCEPT, Returned(1), ACCEPT], Kind.TASK)
    pause = f"sleep {script.PAUSE_SECONDS:g}"
    assert told(asked) == ["Running", pause, "Running", pause, "Running", "call", "Completed"]


@pytest.mark.parametrize(
    ("interrupt", "message"),
    [
        (KeyboardInterrupt(), "Execution was aborted by an interrupt signal."),
        (SystemExit(3), "Execution was aborted by Python system exit call."),
    ],
)
def test_an_interrupt_is_reported_as_a_crash(interrupt: BaseException, message: str) -> None:
    steps = script.execute(run())
    next(steps)
    assert isinstance(steps.send(Accepted(propose(StateType.RUNNING))), Call)
    effect = steps.throw(interrupt)
    assert isinstance(effect, Propose)
    assert (effect.state.type, effect.state.message) == (StateType.CRASHED, message)
    with pytest.raises(type(interrupt)):
        steps.send(Accepted(effect.state))


@pytest.mark.parametrize("silent", [Terminated(), RunStopped("over"), GeneratorExit()])
def test_the_end_that_others_tell_is_not_reported(silent: BaseException) -> None:
    with pytest.raises(type(silent)):
        play([ACCEPT, silent])


# What the server's answers mean.


def answer(
    status: str, state: ProposedState | None, proposed: ProposedState, transition: UUID, **details: Any
) -> Any:
    wire = None
    if state is not None:
        wire = responses.State(
            id=uuid4(),
            type=state.type,
            name=state.name,
            timestamp="2026-01-31T08:00:00+00:00",
            message=state.message,
            data=None,
            state_details=msgspec.convert(msgspec.to_builtins(state.details), responses.StateDetails),
        )
    result = responses.OrchestrationResult(state=wire, status=status, details={"type": "x", **details})
    return read_answer(result, transition, proposed)


def test_answers_are_read() -> None:
    running, transition = propose(StateType.RUNNING), uuid4()
    assert answer("ACCEPT", propose(StateType.RUNNING, name="Retrying"), running, transition) == Accepted(
        propose(StateType.RUNNING, name="Retrying")
    )
    assert answer("WAIT", None, running, transition, delay_seconds=30, reason="full") == Wait(30, "full")
    assert answer("ABORT", None, running, transition, reason="over") == Aborted("over")
    paused = propose(StateType.PAUSED)
    assert answer("REJECT", paused, running, transition, reason="no") == Rejected(paused, 0, "no")


def test_a_delay_is_counted_by_the_servers_clock_alone() -> None:
    due = propose(
        StateType.SCHEDULED,
        name="AwaitingRetry",
        details=msgspec.convert({"scheduled_time": "2026-01-31T08:00:10.500000+00:00"}, StateDetails),
    )
    got = answer("REJECT", due, propose(StateType.FAILED), uuid4(), reason="Retrying")
    assert isinstance(got, Rejected)
    assert got.delay == 10.5


def test_a_transition_already_made_was_accepted() -> None:
    failed, transition = propose(StateType.FAILED), uuid4()
    details = StateDetails(transition_id=transition)
    made = propose(StateType.FAILED, details=details)
    assert answer("REJECT", made, failed, transition) == Accepted(made)
    # A retry that was granted to the first request carries its transition too, and is no acceptance.
    retry = propose(StateType.SCHEDULED, name="AwaitingRetry", details=details)
    assert answer("REJECT", retry, failed, transition) == Rejected(retry, 0, None)
    other = propose(StateType.FAILED, details=StateDetails(transition_id=uuid4()))
    assert isinstance(answer("REJECT", other, failed, transition), Rejected)
