from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.core.making import DEPLOYMENT_ID, FLOW_ID, NOW, REFERENCE, flow_run, state, untimed

from reeve.core.attempts import AttemptKind
from reeve.core.bookkeeping import enter_flow_run_state
from reeve.core.crashes import Crash, CrashBudget, CrashReason
from reeve.core.rules.fence import Caller
from reeve.core.rules.flow_runs import FlowRunFacts, after_crash, after_deadline, decide, mark_late
from reeve.core.rules.verdict import Effect, SetStateStatus, Verdict
from reeve.core.runs import FlowRun, FlowRunPolicy, RetryType
from reeve.core.states import ProposedState, State, StateDetails, StateType, propose
from reeve.core.time_limits import Deadline, Then
from reeve.errors import AttemptSupersededError

SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING
COMPLETED, FAILED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CRASHED
CANCELLED, CANCELLING, PAUSED = StateType.CANCELLED, StateType.CANCELLING, StateType.PAUSED
ACCEPT, REJECT = SetStateStatus.ACCEPT, SetStateStatus.REJECT
ABORT, WAIT = SetStateStatus.ABORT, SetStateStatus.WAIT
TYPES = list(StateType)

# api-contract §8.3, word for word.
MATRIX = """
from       | SCHEDULED | PENDING | RUNNING | PAUSED | CANCELLING    | COMPLETED | FAILED | CRASHED | CANCELLED
SCHEDULED  | ok        | ok      | ok      | REJ    | REJ→Cancelled | ok        | ok     | ok      | ok
PENDING    | ok        | ABORT   | ok      | REJ    | ok            | ok        | ok     | ok      | ok
RUNNING    | ok        | ABORT   | ok      | ok     | ok            | ok        | ok     | ok      | ok
PAUSED     | ok        | REJ     | ok      | REJ    | REJ           | ok        | ok     | ok      | ok
CANCELLING | REJ       | REJ     | REJ     | REJ    | REJ           | REJ       | REJ    | REJ     | ok
COMPLETED  | REJ       | REJ     | REJ     | ABORT  | ABORT         | ok        | ok     | ABORT   | ok
FAILED     | ABORT     | ok      | ok      | ABORT  | ABORT         | ok        | ok     | ABORT   | ok
CRASHED    | ABORT     | ok      | ok      | ABORT  | ABORT         | ok        | ok     | ABORT   | ok
CANCELLED  | ABORT     | REJ     | REJ     | ABORT  | ABORT         | REJ       | REJ    | ABORT   | ok
"""


def cells(text: str) -> dict[tuple[StateType, StateType], str]:
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in text.strip().splitlines())
    return {
        (StateType(row[0]), StateType(to)): cell
        for row in rows
        for to, cell in zip(head[1:], row[1:], strict=True)
    }


def ask(
    run: FlowRun, proposed: ProposedState | StateType, *, force: bool = False, **facts: Any
) -> Verdict[FlowRun]:
    wanted = propose(proposed) if isinstance(proposed, StateType) else proposed
    return decide(run, wanted, FlowRunFacts(**facts), NOW, force=force)


def killed(cause: str, reason: CrashReason = CrashReason.SIGNAL, losses: int = 0) -> Crash:
    return Crash(cause=cause, reason=reason, losses=losses)


def shown(verdict: Verdict[FlowRun]) -> str:
    if verdict.status is ACCEPT:
        return "ok"
    status = "REJ" if verdict.status is REJECT else verdict.status.value
    return f"{status}→{verdict.state.name}" if verdict.state else status


def current(type_: StateType) -> State:
    return state(type_, data=REFERENCE if type_ is COMPLETED else None)


@pytest.mark.parametrize(("pair", "cell"), cells(MATRIX).items())
def test_matrix(pair: tuple[StateType, StateType], cell: str) -> None:
    old, new = pair
    verdict = ask(flow_run(current(old)), new)
    assert shown(verdict) == cell
    if cell == "ok":
        assert verdict.state is not None
        assert (verdict.state.type, verdict.state.name) == (new, propose(new).name)


def test_the_matrix_has_every_cell() -> None:
    assert len(cells(MATRIX)) == 81


@pytest.mark.parametrize(("pair", "cell"), cells(MATRIX).items())
def test_matrix_with_a_deployment(pair: tuple[StateType, StateType], cell: str) -> None:
    differences = {(FAILED, SCHEDULED): "ok", (CRASHED, SCHEDULED): "ok", (CANCELLED, SCHEDULED): "REJ"}
    verdict = ask(flow_run(current(pair[0]), deployment_id=DEPLOYMENT_ID), pair[1])
    assert shown(verdict) == differences.get(pair, cell)


@pytest.mark.parametrize("kind", [None, AttemptKind.FOREIGN])
@pytest.mark.parametrize("caller", [Caller.CLIENT, Caller.HOLDER])
def test_a_foreign_attempt_fences_nothing(kind: AttemptKind | None, caller: Caller) -> None:
    for (old, new), cell in cells(MATRIX).items():
        assert shown(ask(flow_run(current(old)), new, attempt=kind, caller=caller)) == cell


@pytest.mark.parametrize("new", TYPES)
def test_a_run_without_a_state_takes_every_one_but_paused(new: StateType) -> None:
    verdict = ask(flow_run(), new)
    if new is PAUSED:
        assert (verdict.status, verdict.reason) == (ABORT, "Cannot pause flows with no state.")
    else:
        assert verdict.status is ACCEPT


def test_scheduled_without_a_time_is_for_now() -> None:
    verdict = ask(flow_run(), SCHEDULED)
    assert verdict.state is not None
    assert verdict.state.details.scheduled_time == NOW


# The rules, one by one


def test_a_repeated_transition_finds_itself_made() -> None:
    transition = UUID(int=77)
    run = flow_run(state(RUNNING, transition_id=transition))
    again = propose(RUNNING, details=StateDetails(transition_id=transition))
    verdict = ask(run, again)
    assert (verdict.status, verdict.state) == (REJECT, None)
    assert verdict.reason == "This run has already made this state transition."
    assert ask(run, propose(RUNNING, details=StateDetails(transition_id=UUID(int=78)))).status is ACCEPT


def test_a_repeated_failure_finds_its_retry() -> None:
    # The answer to FAILED was lost on the wire; the client repeats it, and must not lose the retry.
    failed = propose(FAILED, details=StateDetails(transition_id=UUID(int=77)))
    run = flow_run(RUNNING, run_count=1, empirical_policy=FlowRunPolicy(retries=1))
    waits = entered(ask(run, failed))
    assert ask(waits, failed).reason == "This run has already made this state transition."


@pytest.mark.parametrize("old", [COMPLETED, FAILED, CANCELLED, CRASHED])
@pytest.mark.parametrize("new", [CANCELLING, PAUSED, CRASHED])
def test_what_has_ended_is_not_stopped(old: StateType, new: StateType) -> None:
    verdict = ask(flow_run(current(old)), new)
    assert (verdict.status, verdict.reason) == (ABORT, f"Run is already in terminal state {old.value}.")


@pytest.mark.parametrize("new", [SCHEDULED, PENDING, RUNNING])
@pytest.mark.parametrize(
    ("data", "status"), [(None, ACCEPT), ({"type": "unpersisted"}, ACCEPT), (REFERENCE, REJECT), ([], REJECT)]
)
def test_a_result_that_can_be_read_again_stays(new: StateType, data: Any, status: SetStateStatus) -> None:
    verdict = ask(flow_run(state(COMPLETED, data=data), deployment_id=DEPLOYMENT_ID), new)
    assert verdict.status is status
    assert verdict.reason == ("Run is already COMPLETED." if status is REJECT else None)


def test_a_run_without_a_deployment_is_not_rescheduled() -> None:
    verdict = ask(flow_run(FAILED), SCHEDULED)
    assert verdict.reason == "Cannot reschedule a run without an associated deployment."


@pytest.mark.parametrize(
    ("new", "retry_type"), [(SCHEDULED, RetryType.RESCHEDULE), (PENDING, None), (RUNNING, None)]
)
def test_leaving_a_final_state_makes_the_policy_fresh(new: StateType, retry_type: RetryType | None) -> None:
    used = FlowRunPolicy(retries=3, resuming=True, pause_keys=["a"], retry_type=RetryType.IN_PROCESS)
    run = flow_run(FAILED, deployment_id=DEPLOYMENT_ID, empirical_policy=used)
    fresh = replace(used, resuming=False, pause_keys=[], retry_type=retry_type)
    assert ask(run, new).run.empirical_policy == fresh
    assert ask(run, new, client_api_version=(0, 8, 3)).run.empirical_policy == used
    assert ask(run, COMPLETED).run.empirical_policy == used


def test_an_objection_drops_what_earlier_rules_changed() -> None:
    run = flow_run(CANCELLED, empirical_policy=FlowRunPolicy(pause_keys=["a"]))
    assert ask(run, PENDING).run == run


def test_cancelling_leads_to_cancelled_only() -> None:
    reason = "Cannot transition flows that are cancelling to a state other than Cancelled."
    assert ask(flow_run(CANCELLING), COMPLETED).reason == reason
    assert ask(flow_run(CANCELLED), RUNNING).reason == reason


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("old", "pid", "reason"),
    [
        (state(SCHEDULED), None, "Scheduled flow run has no infrastructure to terminate."),
        (state(SCHEDULED, "Resuming"), "1", "Scheduled flow run has no infrastructure to terminate."),
        (
            state(PAUSED, pause_reschedule=True),
            "1",
            "Suspended flow run has no infrastructure to terminate.",
        ),
        (state(SCHEDULED), "1", None),
    ],
)
def test_what_has_no_process_is_cancelled_at_once(
    old: State, pid: str | None, reason: str | None, force: bool
) -> None:
    verdict = ask(flow_run(old, infrastructure_pid=pid), propose(CANCELLING, message="why"), force=force)
    assert verdict.reason == reason
    assert verdict.status is (REJECT if reason else ACCEPT)
    assert verdict.state is not None
    assert verdict.state.type is (CANCELLED if reason else CANCELLING)
    assert verdict.state.name == ("Cancelled" if reason else "Cancelling")
    assert verdict.state.message == "why"


@pytest.mark.parametrize("kind", [AttemptKind.LEASED, AttemptKind.SELF])
def test_a_process_that_sleeps_until_its_retry_is_cancelled_with_proof(kind: AttemptKind) -> None:
    verdict = ask(flow_run(state(SCHEDULED, "AwaitingRetry")), CANCELLING, attempt=kind)
    assert verdict.status is ACCEPT


def test_the_pid_of_a_closed_lease_does_not_keep_a_run_cancelling() -> None:
    run = flow_run(state(SCHEDULED, "AwaitingRetry"), infrastructure_pid="1", had_lease=True)
    assert shown(ask(run, CANCELLING)) == "REJ→Cancelled"
    assert ask(run, CANCELLING, attempt=AttemptKind.FOREIGN).status is ACCEPT


@pytest.mark.parametrize("old", [PENDING, RUNNING])
def test_pending_is_entered_once(old: StateType) -> None:
    assert ask(flow_run(old), PENDING).reason == (
        f"This run is in a {old.value} state and cannot transition to a PENDING state."
    )


@pytest.mark.parametrize("old", [PENDING, RUNNING, PAUSED, None])
def test_only_a_scheduled_run_is_late(old: StateType | None) -> None:
    verdict = ask(flow_run(old), propose(SCHEDULED, name="Late"))
    assert (verdict.status, verdict.state) == (REJECT, None)
    assert verdict.reason == "Only scheduled flows can be marked late."
    assert ask(flow_run(SCHEDULED), propose(SCHEDULED, name="Late")).status is ACCEPT


def test_marking_late_keeps_the_time() -> None:
    due = NOW - timedelta(seconds=20)
    verdict = mark_late(flow_run(SCHEDULED, next_scheduled_start_time=due), NOW)
    assert verdict.state is not None
    assert (verdict.state.name, verdict.state.details.scheduled_time) == ("Late", due)
    assert mark_late(flow_run(PENDING), NOW).status is REJECT


def pause(name: str | None = None, **details: Any) -> ProposedState:
    return propose(PAUSED, name=name, details=StateDetails(**details))


@pytest.mark.parametrize(("name", "verb"), [(None, "pause"), ("Suspended", "suspend")])
def test_pausing(name: str | None, verb: str) -> None:
    used = FlowRunPolicy(pause_keys=["a"])
    deployed = flow_run(RUNNING, deployment_id=DEPLOYMENT_ID, empirical_policy=used)
    subflow = replace(deployed, parent_task_run_id=UUID(int=5))
    bare = flow_run(RUNNING)
    objections = [
        (flow_run(), pause(name), ABORT, f"Cannot {verb} flows with no state."),
        (flow_run(PENDING), pause(name), REJECT, f"Cannot {verb} flows that are not currently running."),
        (deployed, pause(name, pause_key="a"), REJECT, f"This {verb} has already fired."),
        (subflow, pause(name, pause_reschedule=True), ABORT, f"Cannot {verb} subflows."),
        (bare, pause(name, pause_reschedule=True), ABORT, f"Cannot {verb} flows without a deployment."),
    ]
    for run, proposed, status, reason in objections:
        verdict = ask(run, proposed)
        assert (verdict.status, verdict.reason, verdict.state) == (status, reason, None)
        assert verdict.run == run
    assert ask(subflow, pause(name)).status is ACCEPT
    assert ask(deployed, pause(name, pause_reschedule=True)).status is ACCEPT


def test_a_pause_remembers_its_key() -> None:
    run = flow_run(RUNNING, empirical_policy=FlowRunPolicy(pause_keys=["a"]))
    assert ask(run, pause(pause_key="b")).run.empirical_policy.pause_keys == ["a", "b"]
    assert ask(run, pause(), new_pause_key="dice").run.empirical_policy.pause_keys == ["a", "dice"]
    assert ask(run, pause()).run.empirical_policy.pause_keys == ["a"]


@pytest.mark.parametrize("new", [PENDING, CANCELLING])
def test_a_paused_run_goes_on_or_ends(new: StateType) -> None:
    assert ask(flow_run(PAUSED), new).reason == (
        f"This run cannot transition to the StateType.{new.value} state from the StateType.PAUSED state."
    )


@pytest.mark.parametrize("new", [RUNNING, SCHEDULED, COMPLETED])
def test_resuming_is_noted(new: StateType) -> None:
    verdict = ask(flow_run(PAUSED), new)
    assert verdict.status is ACCEPT
    assert verdict.run.empirical_policy.resuming is True


def test_a_run_that_goes_on_in_its_process_costs_no_retry() -> None:
    # 2.20 counts it, and leaves the mark of resuming behind; both would cost or hide a later retry.
    after = entered(ask(flow_run(PAUSED, run_count=1), RUNNING))
    assert (after.run_count, after.empirical_policy.resuming) == (1, False)


def test_a_suspended_run_needs_a_deployment() -> None:
    verdict = ask(flow_run(state(PAUSED, "Suspended", pause_reschedule=True)), SCHEDULED)
    assert (verdict.status, verdict.state) == (REJECT, None)
    assert verdict.reason == "Cannot reschedule a suspended flow run without a deployment."


def test_a_pause_that_ran_out_has_failed() -> None:
    run = flow_run(state(PAUSED, pause_timeout=NOW - timedelta(seconds=1)))
    verdict = ask(run, RUNNING)
    assert verdict.status is REJECT
    assert verdict.reason == "The flow run pause has timed out and can no longer resume."
    assert verdict.state is not None
    assert (verdict.state.type, verdict.state.name) == (FAILED, "Failed")
    assert verdict.state.message == "The flow was paused and never resumed."
    assert verdict.run == run
    assert ask(flow_run(state(PAUSED, pause_timeout=NOW)), RUNNING).status is ACCEPT


def test_pending_keeps_the_scheduled_time() -> None:
    due, own = NOW - timedelta(hours=1), NOW - timedelta(hours=2)
    run = flow_run(state(SCHEDULED, scheduled_time=due))
    kept = ask(run, PENDING).state
    assert kept is not None
    assert kept.details.scheduled_time == due
    brought = ask(run, propose(PENDING, details=StateDetails(scheduled_time=own))).state
    assert brought is not None
    assert brought.details.scheduled_time == own


@pytest.mark.parametrize("old", [SCHEDULED, PENDING])
@pytest.mark.parametrize(("ahead", "delay"), [(61.4, 61), (0.6, 1), (0.4, None), (0, None), (-5, None)])
def test_a_run_waits_for_its_time(old: StateType, ahead: float, delay: int | None) -> None:
    verdict = ask(flow_run(state(old, scheduled_time=NOW + timedelta(seconds=ahead))), RUNNING)
    assert verdict.delay_seconds == delay
    assert verdict.status is (WAIT if delay else ACCEPT)
    assert verdict.reason == ("Scheduled time is in the future" if delay else None)
    assert (verdict.state is None) == (delay is not None)


def test_a_failure_with_retries_left_is_retried_in_its_process() -> None:
    policy = FlowRunPolicy(retries=2, retry_delay=30, resuming=True, pause_keys=["a"])
    run = flow_run(RUNNING, run_count=2, empirical_policy=policy)
    verdict = ask(run, propose(FAILED, message="boom", data={"type": "unpersisted"}))
    assert (verdict.status, verdict.reason) == (REJECT, "Retrying")
    assert verdict.state == ProposedState(
        type=SCHEDULED,
        name="AwaitingRetry",
        message="boom",
        data={"type": "unpersisted"},
        details=StateDetails(scheduled_time=NOW + timedelta(seconds=30)),
    )
    assert verdict.run.empirical_policy == replace(
        policy, resuming=False, pause_keys=[], retry_type=RetryType.IN_PROCESS
    )
    assert verdict.effects == frozenset()
    old_client = ask(run, FAILED, client_api_version=(0, 8, 2))
    assert old_client.effects == {Effect.RESET_FAILED_TASKS}


@pytest.mark.parametrize(("retries", "run_count"), [(None, 1), (0, 1), (2, 3)])
def test_a_failure_without_retries_left_is_one(retries: int | None, run_count: int) -> None:
    run = flow_run(RUNNING, run_count=run_count, empirical_policy=FlowRunPolicy(retries=retries))
    assert ask(run, FAILED).status is ACCEPT


# What reeve adds


@pytest.mark.parametrize("old", [RUNNING, PAUSED])
def test_a_run_rescheduled_after_an_in_process_retry_is_for_any_agent(old: StateType) -> None:
    policy = FlowRunPolicy(retry_type=RetryType.IN_PROCESS)
    run = flow_run(old, deployment_id=DEPLOYMENT_ID, empirical_policy=policy)
    assert ask(run, SCHEDULED).run.empirical_policy.retry_type is RetryType.RESCHEDULE
    untouched = flow_run(old, deployment_id=DEPLOYMENT_ID)
    assert ask(untouched, SCHEDULED).run.empirical_policy.retry_type is None


@pytest.mark.parametrize("new", [PENDING, RUNNING])
def test_a_full_limit_closes_the_other_ways_in(new: StateType) -> None:
    run = flow_run(SCHEDULED)
    verdict = ask(run, new, limit_full="gpu")
    assert (verdict.status, verdict.state, verdict.run) == (ABORT, None, run)
    assert verdict.reason == 'The concurrency limit "gpu" is full.'
    assert ask(run, new, limit_full="gpu", by_claim=True).status is ACCEPT


def test_who_finds_no_room_for_its_retry_leaves_it_to_any_agent() -> None:
    policy = FlowRunPolicy(retry_type=RetryType.IN_PROCESS)
    run = flow_run(SCHEDULED, deployment_id=DEPLOYMENT_ID, empirical_policy=policy)
    verdict = ask(run, RUNNING, limit_full="gpu")
    assert verdict.status is ABORT
    assert verdict.run.empirical_policy.retry_type is RetryType.RESCHEDULE


@pytest.mark.parametrize("new", [PENDING, RUNNING])
@pytest.mark.parametrize("old", [COMPLETED, FAILED, CRASHED])
def test_a_run_that_had_a_lease_runs_again_only_by_a_claim(old: StateType, new: StateType) -> None:
    run = flow_run(old, had_lease=True, deployment_id=DEPLOYMENT_ID)
    verdict = ask(run, new)
    assert verdict.status is ABORT
    assert verdict.reason is not None
    assert "only by a new claim" in verdict.reason
    assert ask(run, new, by_claim=True).status is ACCEPT
    assert ask(run, SCHEDULED).status is ACCEPT
    assert ask(run, new, force=True).status is ACCEPT


# Force


def test_force_knows_no_matrix() -> None:
    for old in TYPES:
        for new in TYPES:
            expected = "REJ→Cancelled" if (old, new) == (SCHEDULED, CANCELLING) else "ok"
            assert shown(ask(flow_run(current(old)), new, force=True)) == expected


@pytest.mark.parametrize("old", [FAILED, CRASHED])
def test_a_failure_forced_to_completed_has_an_unknown_result(old: StateType) -> None:
    verdict = ask(flow_run(state(old, data=REFERENCE)), COMPLETED, force=True)
    assert verdict.state is not None
    assert verdict.state.data == {"type": "unknown", "value": None}
    kept = ask(flow_run(state(old, data={"type": "literal"})), propose(COMPLETED, data=1), force=True)
    assert kept.state is not None
    assert kept.state.data == 1


# The fence


HELD = pytest.mark.parametrize("kind", [AttemptKind.LEASED, AttemptKind.SELF])


@HELD
def test_the_holder_has_the_whole_matrix(kind: AttemptKind) -> None:
    differences = {
        (SCHEDULED, CANCELLING): "ok",  # it sleeps in the process
        (SCHEDULED, CRASHED): "REJ",  # it waits for another claim already
    }
    for pair, cell in cells(MATRIX).items():
        verdict = ask(flow_run(current(pair[0])), pair[1], attempt=kind, caller=Caller.HOLDER)
        assert shown(verdict) == differences.get(pair, cell), pair


@HELD
@pytest.mark.parametrize("old", TYPES)
def test_a_second_execution_gives_up(old: StateType, kind: AttemptKind) -> None:
    for new in (PENDING, RUNNING):
        verdict = ask(flow_run(old), new, attempt=kind)
        assert (verdict.status, verdict.state) == (ABORT, None)
        assert verdict.reason == "An open attempt executes this run already."


@HELD
@pytest.mark.parametrize("new", [SCHEDULED, PAUSED, COMPLETED, FAILED, CRASHED, CANCELLED])
def test_without_the_token_a_held_run_is_not_written(new: StateType, kind: AttemptKind) -> None:
    with pytest.raises(AttemptSupersededError, match=f"only its process may propose {new.value}"):
        ask(flow_run(RUNNING), new, attempt=kind)


@HELD
def test_an_operator_may_cancel_or_force(kind: AttemptKind) -> None:
    assert ask(flow_run(RUNNING), CANCELLING, attempt=kind).status is ACCEPT
    assert ask(flow_run(RUNNING), CRASHED, attempt=kind, force=True).status is ACCEPT


@HELD
@pytest.mark.parametrize("force", [False, True])
def test_the_older_word_for_cancelling_means_the_same(kind: AttemptKind, force: bool) -> None:
    verdict = ask(flow_run(RUNNING), propose(CANCELLED, name="Cancelling"), attempt=kind, force=force)
    assert verdict.state is not None
    assert verdict.state.type is CANCELLING
    own = ask(flow_run(RUNNING), propose(CANCELLED, name="Cancelling"), attempt=kind, caller=Caller.HOLDER)
    assert own.state is not None
    assert own.state.type is CANCELLED


@HELD
@pytest.mark.parametrize("new", [RUNNING, SCHEDULED])
def test_the_resume_route_passes_the_fence(new: StateType, kind: AttemptKind) -> None:
    run = flow_run(PAUSED)
    assert ask(run, new, attempt=kind, by_resume=True).status is ACCEPT
    with pytest.raises(AttemptSupersededError):
        ask(run, SCHEDULED, attempt=kind, by_resume=True, caller=Caller.SUPERSEDED)


@pytest.mark.parametrize("kind", [None, *AttemptKind])
@pytest.mark.parametrize("new", TYPES)
def test_a_superseded_attempt_writes_nothing(new: StateType, kind: AttemptKind | None) -> None:
    facts: dict[str, Any] = {"attempt": kind, "caller": Caller.SUPERSEDED}
    for old in TYPES:
        run = flow_run(old)
        with pytest.raises(AttemptSupersededError):
            ask(run, new, force=True, **facts)
        if new is RUNNING:
            verdict = ask(run, new, **facts)
            assert (verdict.status, verdict.state) == (ABORT, None)
            assert verdict.reason == "This attempt of the run is over; its process ends here."
        else:
            with pytest.raises(AttemptSupersededError):
                ask(run, new, **facts)


# Crash retry


def in_process(old: State | StateType, **fields: Any) -> FlowRun:
    policy = FlowRunPolicy(retries=5, retry_type=RetryType.IN_PROCESS, resuming=True, pause_keys=["a"])
    return flow_run(old, empirical_policy=policy, **{"deployment_id": DEPLOYMENT_ID, **fields})


@pytest.mark.parametrize("old", [PENDING, RUNNING, PAUSED])
def test_a_crash_is_retried_while_the_budget_lasts(old: StateType) -> None:
    run = in_process(old, crash_count=1, run_count=2)
    verdict = after_crash(run, CrashBudget(retries=2), killed("out of memory"), NOW)
    assert verdict.status is ACCEPT
    assert verdict.state == ProposedState(
        type=SCHEDULED,
        name="AwaitingRetry",
        message="out of memory",
        details=StateDetails(scheduled_time=NOW),
    )
    policy = replace(run.empirical_policy, resuming=False, pause_keys=[], retry_type=RetryType.RESCHEDULE)
    assert verdict.run == replace(run, crash_count=2, empirical_policy=policy)


def test_a_crash_waits_for_its_delay_and_counts_for_its_reasons() -> None:
    budget = CrashBudget(retries=2, delay=60, on=frozenset({CrashReason.OUT_OF_MEMORY}))
    run = in_process(RUNNING)
    retried = after_crash(run, budget, killed("no memory", CrashReason.OUT_OF_MEMORY), NOW).state
    assert retried is not None
    assert (retried.name, retried.details.scheduled_time) == ("AwaitingRetry", NOW + timedelta(seconds=60))
    assert after_crash(
        run, budget, killed("exited with code 1", CrashReason.EXIT_CODE), NOW
    ).state == propose(CRASHED, message="exited with code 1")


def test_a_run_that_was_lost_with_its_agent_three_times_is_quarantined() -> None:
    budget = CrashBudget(retries=99)
    lost = after_crash(in_process(RUNNING), budget, killed("lost.", CrashReason.AGENT_LOST, losses=2), NOW)
    assert lost.state is not None
    assert lost.state.name == "AwaitingRetry"
    lost = after_crash(in_process(RUNNING), budget, killed("lost.", CrashReason.AGENT_LOST, losses=3), NOW)
    assert lost.state == propose(
        CRASHED,
        message="lost. Quarantined: its agent was lost with it 3 times, "
        "so it is not started again by itself.",
    )


@pytest.mark.parametrize(
    ("then", "retries", "ends"),
    [
        (Then.FAIL, 2, "Failed"),
        (Then.CANCEL, 2, "Cancelled"),
        (Then.RETRY, 2, "AwaitingRetry"),
        (Then.RETRY, 0, "Failed"),
    ],
)
def test_a_time_limit_that_is_over_says_what_follows(then: Then, retries: int, ends: str) -> None:
    passed = Deadline(at=NOW, then=then, message="It ran longer than its limit of 1 h.")
    verdict = after_deadline(in_process(RUNNING), CrashBudget(retries=retries), passed, NOW)
    assert verdict.state is not None
    assert (verdict.state.name, verdict.state.message) == (ends, passed.message)
    assert verdict.run.crash_count == (1 if ends == "AwaitingRetry" else 0)
    ended = flow_run(COMPLETED)
    assert after_deadline(ended, CrashBudget(), passed, NOW).state is None


def test_a_run_whose_time_to_start_is_over_does_not_start() -> None:
    passed = Deadline(at=NOW, then=Then.FAIL, message="It did not start in time.")
    held: dict[str, Any] = {"attempt": AttemptKind.LEASED, "caller": Caller.HOLDER, "overdue": passed}
    verdict = ask(flow_run(PENDING), RUNNING, **held)
    assert (verdict.status, verdict.reason) == (ABORT, passed.message)
    # The engine of 2.20 reports its own SIGTERM as a crash.
    verdict = ask(flow_run(RUNNING), CRASHED, **held)
    assert verdict.state is not None
    assert (verdict.status, verdict.state.name, verdict.state.message) == (REJECT, "Failed", passed.message)
    assert ask(flow_run(RUNNING), COMPLETED, **held).status is ACCEPT


def test_cancelled_without_proof_says_so() -> None:
    gone = Crash(cause="lost", reason=CrashReason.AGENT_LOST, proven=False)
    verdict = after_crash(in_process(CANCELLING), CrashBudget(), gone, NOW)
    assert verdict.state is not None
    assert (verdict.state.name, "unconfirmed" in (verdict.state.message or "")) == ("Cancelled", True)


@pytest.mark.parametrize("run", [in_process(RUNNING, crash_count=2), in_process(RUNNING, deployment_id=None)])
def test_a_crash_without_budget_or_deployment_is_final(run: FlowRun) -> None:
    verdict = after_crash(run, CrashBudget(retries=2), killed("killed"), NOW)
    assert verdict.state == propose(CRASHED, message="killed")
    assert verdict.run == replace(run, crash_count=run.crash_count + 1)


def test_a_crash_in_cancelling_is_the_proof() -> None:
    verdict = after_crash(in_process(CANCELLING), CrashBudget(retries=2), killed("SIGTERM"), NOW)
    assert verdict.state == propose(CANCELLED, message="Cancelled; all of its processes are observed gone.")


def test_who_dies_asleep_keeps_the_retry_and_its_time() -> None:
    due = NOW + timedelta(minutes=5)
    run = in_process(state(SCHEDULED, "AwaitingRetry", scheduled_time=due))
    verdict = after_crash(run, CrashBudget(retries=0), killed("killed"), NOW)
    assert verdict.state is not None
    assert (verdict.state.type, verdict.state.name, verdict.state.message) == (
        SCHEDULED,
        "AwaitingRetry",
        "killed",
    )
    assert verdict.state.details.scheduled_time == due
    assert verdict.run.empirical_policy.retry_type is RetryType.RESCHEDULE
    assert verdict.run.crash_count == 0
    nobody_may_claim = replace(run, deployment_id=None)
    assert after_crash(nobody_may_claim, CrashBudget(retries=2), killed("killed"), NOW).state == propose(
        CRASHED, message="killed"
    )


@pytest.mark.parametrize(
    "run",
    [
        flow_run(),
        *(flow_run(type_, deployment_id=DEPLOYMENT_ID) for type_ in TYPES if type_.is_final),
        flow_run(SCHEDULED, deployment_id=DEPLOYMENT_ID),
        flow_run(state(PAUSED, "Suspended", pause_reschedule=True), deployment_id=DEPLOYMENT_ID),
    ],
)
def test_a_process_that_was_not_needed_any_more_changes_nothing(run: FlowRun) -> None:
    assert after_crash(run, CrashBudget(retries=2), killed("killed"), NOW) == Verdict(status=ACCEPT, run=run)


@pytest.mark.parametrize("old", [PENDING, RUNNING])
def test_a_proposed_crash_is_retried_too(old: StateType) -> None:
    verdict = ask(in_process(old), propose(CRASHED, message="SIGTERM"), budget=CrashBudget(retries=1))
    assert (verdict.status, verdict.reason) == (REJECT, "Retrying")
    assert verdict.state == propose(
        SCHEDULED, name="AwaitingRetry", message="SIGTERM", details=StateDetails(scheduled_time=NOW)
    )
    assert verdict.run.crash_count == 1
    spent = ask(in_process(old, crash_count=1), CRASHED, budget=CrashBudget(retries=1))
    assert (spent.status, spent.run.crash_count) == (ACCEPT, 2)


def test_a_crash_of_a_suspended_runs_process_is_not_the_runs() -> None:
    run = flow_run(state(PAUSED, "Suspended", pause_reschedule=True), deployment_id=DEPLOYMENT_ID)
    verdict = ask(
        run, CRASHED, attempt=AttemptKind.LEASED, caller=Caller.HOLDER, budget=CrashBudget(retries=1)
    )
    assert (verdict.status, verdict.state, verdict.run) == (REJECT, None, run)


# Properties


def entered(verdict: Verdict[FlowRun]) -> FlowRun:
    if verdict.state is None:
        return verdict.run
    new = State(
        id=FLOW_ID,
        type=verdict.state.type,
        name=verdict.state.name,
        timestamp=NOW,
        details=verdict.state.details,
    )
    return enter_flow_run_state(verdict.run, new)


names = st.sampled_from([None, "Late", "AwaitingRetry", "Resuming", "Suspended", "Unreachable"])
times = st.sampled_from([None, NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)])
details = st.builds(
    StateDetails,
    scheduled_time=times,
    pause_timeout=times,
    pause_reschedule=st.booleans(),
    pause_key=st.sampled_from([None, "a"]),
    transition_id=st.sampled_from([None, UUID(int=77)]),
)
data = st.sampled_from([None, {"type": "unpersisted"}, REFERENCE])
types = st.sampled_from(TYPES)
proposals = st.builds(propose, types, name=names, data=data, details=details)
policies = st.builds(
    FlowRunPolicy,
    retries=st.sampled_from([None, 0, 2]),
    retry_delay=st.sampled_from([None, 5]),
    pause_keys=st.sampled_from([[], ["a"]]),
    resuming=st.sampled_from([None, False, True]),
    retry_type=st.sampled_from([None, *RetryType]),
)
runs = st.builds(
    flow_run,
    st.none()
    | st.builds(
        lambda proposed: State(
            id=FLOW_ID,
            type=proposed.type,
            name=proposed.name,
            timestamp=NOW - timedelta(minutes=1),
            data=proposed.data,
            details=proposed.details,
        ),
        proposals,
    ),
    empirical_policy=policies,
    deployment_id=st.sampled_from([None, DEPLOYMENT_ID]),
    parent_task_run_id=st.sampled_from([None, UUID(int=5)]),
    infrastructure_pid=st.sampled_from([None, "1"]),
    run_count=st.integers(0, 3),
    crash_count=st.integers(0, 2),
    had_lease=st.booleans(),
)
facts_of_all_kinds = st.builds(
    FlowRunFacts,
    attempt=st.sampled_from([None, *AttemptKind]),
    caller=st.sampled_from(Caller),
    by_claim=st.booleans(),
    by_resume=st.booleans(),
    limit_full=st.sampled_from([None, "gpu"]),
    budget=st.builds(CrashBudget, retries=st.integers(0, 2)),
    overdue=st.none()
    | st.builds(Deadline, at=st.just(NOW), then=st.sampled_from(Then), message=st.just("m")),
    client_api_version=st.sampled_from([(0, 8, 2), (0, 8, 3), (0, 8, 4)]),
)


def outcome(
    run: FlowRun, proposed: ProposedState, facts: FlowRunFacts, force: bool
) -> Verdict[FlowRun] | None:
    try:
        return decide(run, proposed, facts, NOW, force=force)
    except AttemptSupersededError:
        assert facts.caller is Caller.SUPERSEDED or (
            facts.held and facts.caller is Caller.CLIENT and not force
        )
        return None


@untimed
@given(runs, proposals, facts_of_all_kinds, st.booleans())
def test_every_verdict_says_what_it_must(
    run: FlowRun, proposed: ProposedState, facts: FlowRunFacts, force: bool
) -> None:
    verdict = outcome(run, proposed, facts, force)
    if verdict is None:
        return
    assert (verdict.reason is None) == (verdict.status is ACCEPT)
    assert (verdict.delay_seconds is not None) == (verdict.status is WAIT)
    if verdict.status is ACCEPT:
        assert verdict.state is not None
        assert verdict.state.type is proposed.type
    if verdict.status in {ABORT, WAIT}:
        assert verdict.state is None
    if verdict.state is not None and verdict.state.type is SCHEDULED:
        assert verdict.state.details.scheduled_time is not None
    assert verdict.run.state == run.state


@untimed
@given(runs, proposals, facts_of_all_kinds)
def test_final_is_final_but_for_a_recorded_retry(
    run: FlowRun, proposed: ProposedState, facts: FlowRunFacts
) -> None:
    verdict = outcome(run, proposed, facts, force=False)
    if verdict is None or verdict.state is None or run.state is None or not run.state.is_final:
        return
    assert run.state.type is not CANCELLED or verdict.state.type is CANCELLED
    if run.had_lease and not verdict.state.type.is_final and not facts.by_claim:
        assert verdict.state.type is SCHEDULED
        assert run.deployment_id is not None


@untimed
@given(runs, proposals, facts_of_all_kinds)
def test_an_attempt_without_the_right_enters_nothing(
    run: FlowRun, proposed: ProposedState, facts: FlowRunFacts
) -> None:
    verdict = outcome(run, proposed, facts, force=False)
    if verdict is None or verdict.state is None:
        return
    assert facts.caller is not Caller.SUPERSEDED
    if facts.held and facts.caller is Caller.CLIENT and not facts.by_resume:
        assert verdict.state.type in {CANCELLING, CANCELLED}


@untimed
@given(runs, st.lists(st.tuples(proposals, facts_of_all_kinds, st.booleans()), max_size=8))
def test_a_run_only_counts_up(run: FlowRun, proposed: list[tuple[ProposedState, FlowRunFacts, bool]]) -> None:
    for proposal, facts, force in proposed:
        verdict = outcome(run, proposal, facts, force)
        if verdict is None:
            continue
        after = entered(verdict)
        assert run.run_count <= after.run_count <= run.run_count + 1
        assert run.crash_count <= after.crash_count <= run.crash_count + 1
        assert after.total_run_time >= run.total_run_time
        run = after


@untimed
@given(runs, st.integers(0, 3))
def test_after_a_crash_a_run_has_ended_or_can_be_claimed(run: FlowRun, crash_retries: int) -> None:
    verdict = after_crash(run, CrashBudget(retries=crash_retries), killed("killed"), NOW)
    if verdict.state is None:
        return
    assert verdict.state.type in {SCHEDULED, CRASHED, CANCELLED}
    if verdict.state.type is SCHEDULED:
        assert verdict.run.deployment_id is not None
        assert verdict.run.empirical_policy.retry_type is RetryType.RESCHEDULE
        assert verdict.run.empirical_policy.resuming is False
        assert entered(verdict).run_count == run.run_count


@pytest.mark.parametrize(
    ("retriable", "name"), [(None, "AwaitingRetry"), (True, "AwaitingRetry"), (False, "Failed")]
)
def test_a_failure_that_must_not_be_retried_is_final(retriable: bool | None, name: str) -> None:
    run = flow_run(RUNNING, run_count=1, empirical_policy=FlowRunPolicy(retries=2))
    verdict = ask(run, propose(FAILED, details=StateDetails(retriable=retriable)))
    assert verdict.state is not None
    assert verdict.state.name == name
