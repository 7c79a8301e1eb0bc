from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.core.making import NOW, REFERENCE, RUN_ID, state, task_run, untimed

from reeve.core.attempts import AttemptKind
from reeve.core.rules.fence import Caller
from reeve.core.rules.task_runs import AUTONOMOUS, CORE, TaskRunFacts, decide
from reeve.core.rules.verdict import Effect, SetStateStatus, Verdict
from reeve.core.runs import TaskRun, TaskRunPolicy
from reeve.core.states import ProposedState, State, StateDetails, StateType, propose
from reeve.errors import AttemptSupersededError

SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING
COMPLETED, FAILED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CRASHED
CANCELLED, CANCELLING, PAUSED = StateType.CANCELLED, StateType.CANCELLING, StateType.PAUSED
ACCEPT, REJECT = SetStateStatus.ACCEPT, SetStateStatus.REJECT
ABORT, WAIT = SetStateStatus.ABORT, SetStateStatus.WAIT
TYPES = list(StateType)

# api-contract §8.4, word for word; a name in brackets is the one that the state gets.
MATRIX = """
from       | SCHEDULED | PENDING | RUNNING        | PAUSED | CANCELLING | COMPLETED | FAILED | CRASHED | CANCELLED
SCHEDULED  | ok        | ok      | ok             | ok     | ok         | ok        | ok     | ok      | ok
PENDING    | ok        | ok      | ok             | ok     | ok         | ok        | ok     | ok      | ok
RUNNING    | ok        | ok      | ok (Rerunning) | ok     | ok         | ok        | ok     | ok      | ok
PAUSED     | ok        | ok      | ok             | ok     | ok         | ok        | ok     | ok      | ok
CANCELLING | ok        | ok      | ok             | ok     | ok         | ok        | ok     | ok      | ok
COMPLETED  | REJ       | REJ     | REJ            | ABORT  | ABORT      | REJ       | REJ    | ABORT   | REJ
FAILED     | ok        | ok      | ok (Retrying)  | ABORT  | ABORT      | ok        | ok     | ABORT   | ok
CRASHED    | ok        | ok      | ok (Retrying)  | ABORT  | ABORT      | ok        | ok     | ABORT   | ok
CANCELLED  | ok        | ok      | ok (Retrying)  | ABORT  | ABORT      | ok        | ok     | ABORT   | ok
"""  # noqa: E501 - one line per state


def cells() -> dict[tuple[StateType, StateType], str]:
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in MATRIX.strip().splitlines())
    return {
        (StateType(row[0]), StateType(to)): cell
        for row in rows
        for to, cell in zip(head[1:], row[1:], strict=True)
    }


def ask(
    run: TaskRun, proposed: ProposedState | StateType, *, force: bool = False, **facts: Any
) -> Verdict[TaskRun]:
    """Ask as a task of a running flow run that is in its first try."""
    wanted = propose(proposed) if isinstance(proposed, StateType) else proposed
    told = {"flow_run_state": state(RUNNING), "flow_run_run_count": 1, **facts}
    return decide(run, wanted, TaskRunFacts(**told), NOW, force=force)


def shown(verdict: Verdict[TaskRun], wanted: StateType) -> str:
    if verdict.status is not ACCEPT:
        status = "REJ" if verdict.status is REJECT else verdict.status.value
        return f"{status}→{verdict.state.name}" if verdict.state else status
    assert verdict.state is not None
    assert verdict.state.type is wanted
    return "ok" if verdict.state.name == propose(wanted).name else f"ok ({verdict.state.name})"


def in_matrix(old: StateType) -> TaskRun:
    """A run that has been RUNNING as often as its state implies."""
    data = REFERENCE if old is COMPLETED else None
    return task_run(state(old, data=data), run_count=1 if old is RUNNING else 0)


@pytest.mark.parametrize(("pair", "cell"), cells().items())
def test_matrix(pair: tuple[StateType, StateType], cell: str) -> None:
    assert shown(ask(in_matrix(pair[0]), pair[1]), pair[1]) == cell


def test_the_matrix_has_every_cell() -> None:
    assert len(cells()) == 81


@pytest.mark.parametrize(("pair", "cell"), cells().items())
def test_the_matrix_of_a_run_without_a_flow_run(pair: tuple[StateType, StateType], cell: str) -> None:
    old, new = pair
    expected = cell.replace("ok (Retrying)", "ok")  # there is no flow run to retry
    if new is PENDING and old in {PENDING, RUNNING, CANCELLING, CANCELLED}:
        expected = "ABORT"
    run = replace(in_matrix(old), flow_run_id=None)
    facts: dict[str, Any] = {"flow_run_state": None, "flow_run_run_count": 0}
    assert shown(ask(run, new, **facts), new) == expected
    assert shown(ask(run, new, force=True, **facts), new) == expected


def test_a_run_without_a_flow_run_is_submitted_once() -> None:
    verdict = ask(task_run(PENDING, flow_run_id=None), PENDING)
    assert verdict.reason == "This run is in a PENDING state and cannot transition to a PENDING state."


def test_a_run_without_a_flow_run_has_all_other_rules() -> None:
    order = [rule for rule in CORE if rule.name != "flow must run"]
    assert [rule for rule in AUTONOMOUS if rule.name != "prevent pending"] == order


# The rules, one by one


def with_key(type_: StateType, **details: Any) -> ProposedState:
    return propose(type_, details=StateDetails(cache_key="k", **details))


@pytest.mark.parametrize("old", [PENDING, COMPLETED])
@pytest.mark.parametrize("flow_run_id", [RUN_ID, None])
def test_a_cached_result_is_taken(old: StateType, flow_run_id: UUID | None) -> None:
    cached = state(COMPLETED, message="as before", data=REFERENCE, cache_key="k")
    run = replace(in_matrix(old), flow_run_id=flow_run_id)
    verdict = ask(run, with_key(RUNNING), cached=cached, zero_tag="db")
    assert (verdict.status, verdict.reason) == (REJECT, "Retrieved state from cache")
    assert verdict.state == propose(
        COMPLETED, name="Cached", message="as before", data=REFERENCE, details=StateDetails(cache_key="k")
    )
    assert verdict.effects == {Effect.RELEASE_SLOTS}


def test_without_a_key_or_with_refresh_the_cache_is_not_asked() -> None:
    cached = state(COMPLETED, data=REFERENCE)
    assert ask(task_run(PENDING), RUNNING, cached=cached).status is ACCEPT
    assert ask(task_run(PENDING), with_key(RUNNING, refresh_cache=True), cached=cached).status is ACCEPT
    assert ask(task_run(PENDING), with_key(RUNNING)).status is ACCEPT


@pytest.mark.parametrize("old", [COMPLETED, FAILED, CANCELLED, CRASHED])
@pytest.mark.parametrize("new", [CANCELLING, PAUSED, CRASHED])
def test_what_has_ended_is_not_stopped(old: StateType, new: StateType) -> None:
    verdict = ask(in_matrix(old), new)
    assert (verdict.status, verdict.reason) == (ABORT, f"Run is already {old.value}.")


@pytest.mark.parametrize("new", [SCHEDULED, RUNNING, COMPLETED, FAILED])
@pytest.mark.parametrize(("data", "status"), [(None, ACCEPT), ({"type": "unpersisted"}, ACCEPT), (1, REJECT)])
def test_a_result_that_can_be_read_again_stays(new: StateType, data: Any, status: SetStateStatus) -> None:
    verdict = ask(task_run(state(COMPLETED, data=data)), new)
    assert verdict.status is status
    assert verdict.reason == ("This run is already completed." if status is REJECT else None)


def test_leaving_a_final_state_starts_the_retries_afresh() -> None:
    run = task_run(FAILED, run_count=3, flow_run_run_count=1)
    assert ask(run, SCHEDULED).run.run_count == 0
    assert ask(run, COMPLETED).run.run_count == 3
    same_try = ask(run, RUNNING)
    assert shown(same_try, RUNNING) == "ok"
    next_try = ask(run, RUNNING, flow_run_run_count=2)
    assert shown(next_try, RUNNING) == "ok (Retrying)"
    assert (next_try.run.run_count, next_try.run.flow_run_run_count) == (0, 2)
    assert ask(run, RUNNING, flow_run_state=state(FAILED)).run == run


@pytest.mark.parametrize("flow", [None, *(type_ for type_ in TYPES if type_ not in {RUNNING, PAUSED})])
def test_a_task_starts_only_in_a_running_flow(flow: StateType | None) -> None:
    verdict = ask(task_run(PENDING), RUNNING, flow_run_state=state(flow) if flow else None)
    assert (verdict.status, verdict.state) == (ABORT, None)
    assert verdict.reason == "The enclosing flow must be running to begin task execution."


def test_a_task_of_a_paused_flow_is_not_ready() -> None:
    until = NOW + timedelta(hours=1)
    paused = state(PAUSED, "Suspended", pause_timeout=until, pause_reschedule=True, pause_key="a")
    verdict = ask(task_run(PENDING), RUNNING, flow_run_state=paused)
    assert verdict.status is REJECT
    assert verdict.reason == (f"The flow is paused, new tasks can execute after resuming flow run: {RUN_ID}.")
    assert verdict.state == propose(
        PAUSED, name="NotReady", details=StateDetails(pause_timeout=until, pause_reschedule=True)
    )
    assert verdict.effects == {Effect.RELEASE_SLOTS}


def test_a_limit_of_zero_aborts() -> None:
    verdict = ask(task_run(PENDING), RUNNING, zero_tag="db")
    assert (verdict.status, verdict.state, verdict.effects) == (ABORT, None, frozenset())
    assert verdict.reason == (
        'The concurrency limit on tag "db" is 0 and will deadlock if the task tries to run again.'
    )


def test_a_full_limit_waits() -> None:
    verdict = ask(task_run(PENDING), RUNNING, full_tag="db")
    assert (verdict.status, verdict.delay_seconds, verdict.effects) == (WAIT, 30, frozenset())
    assert verdict.reason == "Concurrency limit for the db tag has been reached"
    assert ask(task_run(PENDING), RUNNING, full_tag="db", slot_wait_seconds=5).delay_seconds == 5


def test_slots_are_taken_with_running_and_given_up_after_it() -> None:
    due = NOW + timedelta(hours=1)
    assert ask(task_run(PENDING), RUNNING).effects == {Effect.TAKE_SLOTS}
    waits = ask(task_run(state(PENDING, scheduled_time=due)), RUNNING)
    assert (waits.status, waits.effects) == (WAIT, frozenset())
    for new in TYPES:
        for force in (False, True):
            effects = ask(task_run(RUNNING), new, force=force).effects
            assert (Effect.RELEASE_SLOTS in effects) == (new not in {RUNNING, CANCELLING})


def test_pending_keeps_the_scheduled_time() -> None:
    due = NOW - timedelta(hours=1)
    kept = ask(task_run(state(SCHEDULED, scheduled_time=due)), PENDING).state
    assert kept is not None
    assert kept.details.scheduled_time == due


@pytest.mark.parametrize("old", [SCHEDULED, PENDING])
def test_a_task_waits_for_its_time(old: StateType) -> None:
    verdict = ask(task_run(state(old, scheduled_time=NOW + timedelta(seconds=10))), RUNNING)
    assert (verdict.status, verdict.delay_seconds, verdict.state) == (WAIT, 10, None)
    assert verdict.reason == "Scheduled time is in the future"


@pytest.mark.parametrize(
    ("delay", "run_count", "jitter", "dice", "seconds"),
    [
        (None, 1, None, 0.9, 0),
        (10, 1, None, 0.9, 10),
        ([1, 5, 25], 1, None, 0.9, 1),
        ([1, 5, 25], 2, None, 0.9, 5),
        ([1, 5, 25], 4, None, 0.9, 25),
        ([], 1, None, 0.9, 0),
        (10, 1, 0.5, 0.0, 5),
        (10, 1, 0.5, 0.5, 10),
        (10, 1, 0.5, 1.0, 15),
        (10, 1, 3.0, 0.0, 0),
    ],
)
def test_a_failure_with_retries_left_is_retried(
    delay: int | list[int] | None, run_count: int, jitter: float | None, dice: float, seconds: float
) -> None:
    policy = TaskRunPolicy(retries=4, retry_delay=delay, retry_jitter_factor=jitter)
    run = task_run(RUNNING, run_count=run_count, empirical_policy=policy)
    verdict = ask(run, propose(FAILED, message="boom"), dice=dice)
    assert (verdict.status, verdict.reason) == (REJECT, "Retrying")
    assert verdict.state == propose(
        SCHEDULED,
        name="AwaitingRetry",
        message="boom",
        details=StateDetails(scheduled_time=NOW + timedelta(seconds=seconds)),
    )
    assert verdict.effects == {Effect.RELEASE_SLOTS}


@pytest.mark.parametrize(
    ("retries", "run_count", "type_", "retriable", "status"),
    [
        (None, 1, FAILED, None, ACCEPT),
        (1, 2, FAILED, None, ACCEPT),
        (1, 1, FAILED, False, ACCEPT),
        (1, 1, FAILED, None, REJECT),
        (1, 1, FAILED, True, REJECT),
        (1, 1, CRASHED, None, ACCEPT),
        (1, 1, CRASHED, False, ACCEPT),
        (1, 1, CRASHED, True, REJECT),
        (1, 2, CRASHED, True, ACCEPT),
    ],
)
def test_who_is_retried(
    retries: int | None, run_count: int, type_: StateType, retriable: bool | None, status: SetStateStatus
) -> None:
    run = task_run(RUNNING, run_count=run_count, empirical_policy=TaskRunPolicy(retries=retries))
    assert ask(run, propose(type_, details=StateDetails(retriable=retriable))).status is status


@pytest.mark.parametrize(
    ("old", "run_count", "cell"),
    [
        (state(SCHEDULED, "AwaitingRetry"), 1, "ok (Retrying)"),
        (state(PENDING), 2, "ok (Rerunning)"),
        (state(SCHEDULED, "AwaitingRetry"), 0, "ok"),
        (None, 1, "ok (Rerunning)"),
    ],
)
def test_running_again_has_a_name(old: State | None, run_count: int, cell: str) -> None:
    assert shown(ask(task_run(old, run_count=run_count), RUNNING), RUNNING) == cell


def test_a_task_remembers_the_try_of_its_flow() -> None:
    assert ask(task_run(PENDING), RUNNING, flow_run_run_count=4).run.flow_run_run_count == 4
    assert ask(task_run(PENDING), FAILED, flow_run_run_count=4).run.flow_run_run_count == 0


def test_a_result_with_a_key_is_stored() -> None:
    assert Effect.STORE_CACHE in ask(task_run(RUNNING), with_key(COMPLETED)).effects
    assert Effect.STORE_CACHE not in ask(task_run(RUNNING), COMPLETED).effects
    assert Effect.STORE_CACHE not in ask(task_run(RUNNING), with_key(FAILED)).effects
    assert Effect.STORE_CACHE not in ask(task_run(RUNNING), with_key(COMPLETED), force=True).effects


def test_a_repeated_running_costs_no_retry() -> None:
    transition = UUID(int=77)
    again = propose(RUNNING, details=StateDetails(transition_id=transition))
    verdict = ask(task_run(state(RUNNING, transition_id=transition), run_count=1), again)
    assert (verdict.status, verdict.state) == (REJECT, None)
    assert verdict.reason == "This run has already made this state transition."


# Force and fence


def test_force_knows_no_matrix() -> None:
    for old in TYPES:
        for new in TYPES:
            assert shown(ask(in_matrix(old), new, force=True, zero_tag="db"), new) == "ok"


@pytest.mark.parametrize("old", [FAILED, CRASHED])
def test_a_failure_forced_to_completed_has_an_unknown_result(old: StateType) -> None:
    verdict = ask(task_run(state(old, data=REFERENCE)), COMPLETED, force=True)
    assert verdict.state is not None
    assert verdict.state.data == {"type": "unknown", "value": None}


@pytest.mark.parametrize("new", TYPES)
@pytest.mark.parametrize("kind", [AttemptKind.LEASED, AttemptKind.SELF])
def test_only_the_holder_writes_its_tasks(kind: AttemptKind, new: StateType) -> None:
    run = task_run(PENDING)
    assert ask(run, new, attempt=kind, caller=Caller.HOLDER).status is ACCEPT
    with pytest.raises(AttemptSupersededError):
        ask(run, new, attempt=kind, caller=Caller.SUPERSEDED)
    with pytest.raises(AttemptSupersededError):
        ask(run, new, attempt=kind, caller=Caller.SUPERSEDED, force=True)
    assert ask(run, new, attempt=kind, force=True).status is ACCEPT
    if new is CANCELLING:
        assert ask(run, new, attempt=kind).status is ACCEPT
    else:
        with pytest.raises(AttemptSupersededError):
            ask(run, new, attempt=kind)


# Properties

details = st.builds(
    StateDetails,
    scheduled_time=st.sampled_from([None, NOW, NOW + timedelta(hours=1)]),
    cache_key=st.sampled_from([None, "k"]),
    refresh_cache=st.sampled_from([None, True]),
    retriable=st.sampled_from([None, False, True]),
)
proposals = st.builds(
    propose,
    st.sampled_from(TYPES),
    name=st.sampled_from([None, "AwaitingRetry"]),
    data=st.sampled_from([None, {"type": "unpersisted"}, REFERENCE]),
    details=details,
)
states = st.builds(
    lambda of: State(id=RUN_ID, type=of.type, name=of.name, timestamp=NOW, data=of.data, details=of.details),
    proposals,
)
runs = st.builds(
    task_run,
    st.none() | states,
    flow_run_id=st.sampled_from([None, RUN_ID]),
    run_count=st.integers(0, 3),
    empirical_policy=st.builds(
        TaskRunPolicy,
        retries=st.sampled_from([None, 2]),
        retry_delay=st.sampled_from([None, 5, [1, 2]]),
        retry_jitter_factor=st.sampled_from([None, 0.5, 2.0]),
    ),
)
facts_of_all_kinds = st.builds(
    TaskRunFacts,
    attempt=st.sampled_from([None, *AttemptKind]),
    caller=st.sampled_from(Caller),
    flow_run_state=st.none() | states,
    flow_run_run_count=st.integers(0, 3),
    cached=st.sampled_from([None, state(COMPLETED, data=REFERENCE)]),
    zero_tag=st.sampled_from([None, "db"]),
    full_tag=st.sampled_from([None, "gpu"]),
    dice=st.floats(0, 1),
)


@untimed
@given(runs, proposals, facts_of_all_kinds, st.booleans())
def test_every_verdict_says_what_it_must(
    run: TaskRun, proposed: ProposedState, facts: TaskRunFacts, force: bool
) -> None:
    try:
        verdict = decide(run, proposed, facts, NOW, force=force)
    except AttemptSupersededError:
        assert facts.caller is Caller.SUPERSEDED or (facts.held and facts.caller is Caller.CLIENT)
        return
    assert (verdict.reason is None) == (verdict.status is ACCEPT)
    assert (verdict.delay_seconds is not None) == (verdict.status is WAIT)
    assert (verdict.state is not None) == bool(verdict.status is ACCEPT or verdict.effects)
    if verdict.status in {ABORT, WAIT}:
        assert verdict.state is None
        assert verdict.run == run
    if Effect.TAKE_SLOTS in verdict.effects:
        assert verdict.state is not None
        assert verdict.state.type is RUNNING
        assert facts.zero_tag is None
        assert facts.full_tag is None
    if verdict.state is not None and verdict.state.name == "AwaitingRetry" and verdict.status is REJECT:
        assert verdict.state.details.scheduled_time is not None
        assert verdict.state.details.scheduled_time >= NOW
