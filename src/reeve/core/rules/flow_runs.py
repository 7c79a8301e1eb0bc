"""What becomes of a state proposed for a flow run (api-contract §8.2, protocol §1, §2, §4, §5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeAlias

from msgspec.structs import replace

from reeve.core.crashes import Crash, CrashBudget, CrashReason
from reeve.core.rules import fence, shared
from reeve.core.rules.rule import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    FROM_ANY,
    FROM_FINAL,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TO_ANY,
    Outcome,
    Rule,
    Step,
    judge,
)
from reeve.core.rules.verdict import Effect, SetStateStatus, Verdict
from reeve.core.runs import FlowRun, RetryType
from reeve.core.states import (
    AWAITING_RETRY,
    LATE,
    RESUMING,
    SUSPENDED,
    ProposedState,
    StateDetails,
    default_name,
    propose,
)
from reeve.core.time_limits import Deadline, Then


class FlowRunFacts(fence.FenceFacts, frozen=True, kw_only=True):
    """What the rules must know beyond the run itself.

    ``client_api_version`` is that of the caller's header. ``new_pause_key`` is a random key for a pause
    that names none. ``by_claim`` and ``by_resume`` mark the server's own claim and its resume route.
    ``limit_full`` names a full limit in which the run would need a new place; None when there is room,
    or the run has its place already. ``budget`` is the crash budget of the deployment, ``overdue`` the time
    limit that the run's open attempt has passed.
    """

    client_api_version: tuple[int, int, int] = (0, 8, 4)
    new_pause_key: str | None = None
    by_claim: bool = False
    by_resume: bool = False
    limit_full: str | None = None
    budget: CrashBudget = CrashBudget()
    overdue: Deadline | None = None


GONE = "Cancelled; all of its processes are observed gone."
UNCONFIRMED = "Cancelled, unconfirmed: nobody could see its processes end, and some may still run."

_Step: TypeAlias = Step[FlowRun, FlowRunFacts]
_Outcome: TypeAlias = Outcome[FlowRun, FlowRunFacts]
FlowRunRule: TypeAlias = Rule[FlowRun, FlowRunFacts]


def decide(
    run: FlowRun, proposed: ProposedState, facts: FlowRunFacts, now: datetime, *, force: bool = False
) -> Verdict[FlowRun]:
    """Judge a proposed state; ``force`` leaves only the minimal policy.

    Raises AttemptSupersededError when the run belongs to an attempt that is not the caller's (protocol §4).
    """
    if facts.held and facts.caller is fence.Caller.CLIENT and _asks_to_cancel(proposed):
        proposed = replace(proposed, type=CANCELLING)
    return judge(MINIMAL if force else CORE, run, proposed, facts, now)


def _asks_to_cancel(proposed: ProposedState) -> bool:
    """Whether it is the older name of CANCELLING, by which clients had agents cancel before (A90)."""
    return proposed.type is CANCELLED and proposed.name == default_name(CANCELLING)


def mark_late(run: FlowRun, now: datetime) -> Verdict[FlowRun]:
    """Judge the server's own wish to call a scheduled run late; its scheduled time stays."""
    details = StateDetails(scheduled_time=run.next_scheduled_start_time)
    return judge(LATE_MARKING, run, propose(SCHEDULED, name=LATE, details=details), FlowRunFacts(), now)


def after_crash(run: FlowRun, budget: CrashBudget, crash: Crash, now: datetime) -> Verdict[FlowRun]:
    """Return what becomes of a run whose attempt is gone without having ended it (protocol §1).

    The verdict always accepts; its ``state`` is None where the dead process was not needed any more: the
    run has ended, or waits for a new claim. A crash that is charged is added to ``run.crash_count``; while
    the budget allows it the run waits for another attempt, by any agent. A run without a deployment cannot
    be claimed, so its first crash is final.
    """
    if settled := _without_process(run, proven=crash.proven):
        return settled
    state = run.state
    assert state is not None
    claimable = run.deployment_id is not None
    if state.type is SCHEDULED and claimable:
        # It slept until its in-process retry: that retry is granted already, no crash is charged.
        return _enter(_for_any_agent(run), _crash_retry(crash.cause, state.details.scheduled_time or now))
    charged = replace(run, crash_count=run.crash_count + 1)
    if crash.is_quarantined:
        return _enter(charged, propose(CRASHED, message=_quarantined(crash)))
    if claimable and budget.allows(crash.reason, run.crash_count):
        return _enter(_for_any_agent(charged), _crash_retry(crash.cause, _after(now, budget)))
    return _enter(charged, propose(CRASHED, message=crash.cause))


def after_deadline(
    run: FlowRun, budget: CrashBudget, passed: Deadline, now: datetime, *, proven: bool = True
) -> Verdict[FlowRun]:
    """Return what becomes of a run whose attempt was ended since a time limit is over.

    As with a crash, ``state`` is None where the process was not needed any more.
    """
    if settled := _without_process(run, proven=proven):
        return settled
    message = passed.message
    if passed.then is Then.CANCEL:
        return _enter(run, propose(CANCELLED, message=message))
    retried = passed.then is Then.RETRY and run.deployment_id is not None
    if retried and run.crash_count < budget.retries:
        charged = replace(run, crash_count=run.crash_count + 1)
        return _enter(_for_any_agent(charged), _crash_retry(message, _after(now, budget)))
    return _enter(run, propose(FAILED, message=message))


def _without_process(run: FlowRun, *, proven: bool) -> Verdict[FlowRun] | None:
    """Return what becomes of a run to which the end of its process is no loss; None: it is one."""
    state = run.state
    if state is None or state.is_final or _awaits_claim(run):
        return Verdict(status=SetStateStatus.ACCEPT, run=run)
    if state.type is CANCELLING:
        return _enter(run, propose(CANCELLED, message=GONE if proven else UNCONFIRMED))
    return None


def _quarantined(crash: Crash) -> str:
    return (
        f"{crash.cause} Quarantined: its agent was lost with it {crash.losses} times, "
        "so it is not started again by itself."
    )


def _awaits_claim(run: FlowRun) -> bool:
    state = run.state
    assert state is not None
    if state.type is PAUSED:
        return state.details.pause_reschedule
    return state.type is SCHEDULED and run.empirical_policy.retry_type is not RetryType.IN_PROCESS


def _enter(run: FlowRun, state: ProposedState) -> Verdict[FlowRun]:
    return Verdict(status=SetStateStatus.ACCEPT, run=run, state=state)


def _crash_retry(cause: str, at: datetime) -> ProposedState:
    return propose(SCHEDULED, name=AWAITING_RETRY, message=cause, details=StateDetails(scheduled_time=at))


def _after(now: datetime, budget: CrashBudget) -> datetime:
    return now + timedelta(seconds=budget.delay)


def _for_any_agent(run: FlowRun) -> FlowRun:
    return _with_policy(run, resuming=False, pause_keys=[], retry_type=RetryType.RESCHEDULE)


def _with_policy(run: FlowRun, **changes: Any) -> FlowRun:
    return replace(run, empirical_policy=replace(run.empirical_policy, **changes))


# The fence (protocol §4, §5)


def _fence(step: _Step) -> _Outcome:
    """An open attempt owns its run; who would execute it a second time gives up."""
    facts, wanted = step.facts, step.proposed.type
    if facts.caller is fence.Caller.SUPERSEDED and wanted is RUNNING:
        return step.abort("This attempt of the run is over; its process ends here.")
    if facts.by_resume:
        fence.check_superseded(facts)
        return step
    if facts.caller is fence.Caller.CLIENT and facts.held and wanted in fence.EXECUTING:
        # 2.20 agents and engines end quietly on ABORT, and stumble over 403.
        return step.abort("An open attempt executes this run already.")
    fence.check_holder(facts, wanted)
    return step


def _forced_fence(step: _Step) -> _Outcome:
    """Force is for operators and for the holder, never for an attempt that is over."""
    fence.check_superseded(step.facts)
    return step


def _only_by_claim(step: _Step) -> _Outcome:
    """A run that an agent executed and that has ended runs again only by a new claim (W17)."""
    if not step.run.had_lease or step.facts.by_claim:
        return step
    return step.abort(
        f"This run is {step.current.type} and runs again only by a new claim. Reschedule it instead."
    )


# The core policy, in the order and with the texts of api-contract §8.2


def _leaving_final(step: _Step) -> _Outcome:
    """A run that has ended is only left for a recorded retry, with a fresh policy."""
    current, wanted = step.current, step.proposed.type
    if wanted in {CANCELLING, PAUSED, CRASHED}:
        return step.abort(f"Run is already in terminal state {current.type}.")
    if wanted.is_final:
        return step
    if current.type is COMPLETED and shared.is_persisted(current.data):
        return step.reject("Run is already COMPLETED.")
    if wanted is SCHEDULED and step.run.deployment_id is None:
        return step.abort("Cannot reschedule a run without an associated deployment.")
    if step.facts.client_api_version < (0, 8, 4):
        return step
    retry_type = RetryType.RESCHEDULE if wanted is SCHEDULED else None
    fresh = _with_policy(step.amended, resuming=False, pause_keys=[], retry_type=retry_type)
    return step.amend(run=fresh)


def _cancelling_ends_cancelled(step: _Step) -> _Outcome:
    """From CANCELLING there is one way, and from CANCELLED none."""
    return step.reject("Cannot transition flows that are cancelling to a state other than Cancelled.")


def _cancel_without_process(step: _Step) -> _Outcome:
    """What has no process is CANCELLED at once."""
    current = step.current
    if current.type is PAUSED:
        if not current.details.pause_reschedule:
            return step
        reason = "Suspended flow run has no infrastructure to terminate."
    else:
        if current.name != RESUMING and _has_process(step.run, step.facts):
            return step
        reason = "Scheduled flow run has no infrastructure to terminate."
    cancelled = replace(step.proposed, type=CANCELLED, name=propose(CANCELLED).name)
    return step.reject(reason, cancelled)


def _has_process(run: FlowRun, facts: FlowRunFacts) -> bool:
    # A held run may sleep until its in-process retry without having a pid on the wire; and the pid of a
    # crashed attempt stays on the run, where it would keep it Cancelling for ever.
    if facts.attempt is None and run.had_lease:
        return False
    return facts.held or bool(run.infrastructure_pid)


def _only_scheduled_late(step: _Step) -> _Outcome:
    """Late is what a scheduled run becomes, and no other."""
    if step.proposed.name != LATE or (step.run.state and step.run.state.type is SCHEDULED):
        return step
    return step.reject("Only scheduled flows can be marked late.")


def _pausing(step: _Step) -> _Outcome:
    """Only a running flow pauses, each key once; only a deployed run that is no subflow is suspended."""
    run, details = step.run, step.proposed.details
    verb = "suspend" if step.proposed.name == SUSPENDED else "pause"
    if run.state is None:
        return step.abort(f"Cannot {verb} flows with no state.")
    if run.state.type is not RUNNING:
        return step.reject(f"Cannot {verb} flows that are not currently running.")
    key = details.pause_key or step.facts.new_pause_key
    keys = run.empirical_policy.pause_keys
    if key in keys:
        return step.reject(f"This {verb} has already fired.")
    if details.pause_reschedule and run.parent_task_run_id is not None:
        return step.abort(f"Cannot {verb} subflows.")
    if details.pause_reschedule and run.deployment_id is None:
        return step.abort(f"Cannot {verb} flows without a deployment.")
    return step.amend(run=_with_policy(step.amended, pause_keys=[*keys, key])) if key else step


def _resuming(step: _Step) -> _Outcome:
    """A paused run goes on, is scheduled or ends, unless its pause has run out."""
    current, wanted = step.current, step.proposed.type
    paused = current.name.lower()
    if not (wanted in {RUNNING, SCHEDULED} or wanted.is_final):
        return step.reject(
            f"This run cannot transition to the StateType.{wanted} state "
            f"from the StateType.{current.type} state."
        )
    if current.details.pause_reschedule and step.run.deployment_id is None:
        return step.reject(f"Cannot reschedule a {paused} flow run without a deployment.")
    timeout = current.details.pause_timeout
    if timeout is not None and timeout < step.now:
        failed = propose(FAILED, message=f"The flow was {paused} and never resumed.")
        return step.reject("The flow run pause has timed out and can no longer resume.", failed)
    return step.amend(run=_with_policy(step.amended, resuming=True))


def _retry(step: _Step) -> _Outcome:
    """A failed run with retries left waits for the next one, in its own process."""
    policy = step.run.empirical_policy
    if step.proposed.details.retriable is False:
        return step
    if policy.retries is None or step.run.run_count > policy.retries:
        return step
    at = step.now + timedelta(seconds=policy.retry_delay or 0)
    old_client = step.facts.client_api_version < (0, 8, 3)
    return step.reject(
        "Retrying",
        shared.awaiting_retry(step.proposed, at),
        run=_with_policy(step.run, resuming=False, pause_keys=[], retry_type=RetryType.IN_PROCESS),
        effects=frozenset({Effect.RESET_FAILED_TASKS}) if old_client else frozenset(),
    )


# What reeve adds: time limits, the crash budget, limits, and no run that nobody may claim


def _crash_budget(step: _Step) -> _Outcome:
    """While the crash budget lasts, a crash is another attempt; a run that left its process has none."""
    run, facts = step.run, step.facts
    if step.current.type in {SCHEDULED, PAUSED} and not facts.held:
        return step  # as in 2.20: nobody knows whose crash this is (W28)
    if facts.overdue:
        ended = after_deadline(run, facts.budget, facts.overdue, step.now)
        return step.reject(facts.overdue.message, ended.state, run=ended.run)
    cause = step.proposed.message or "The process of the run crashed."
    reported = Crash(cause=cause, reason=CrashReason.EXIT_CODE)
    crash = after_crash(run, facts.budget, reported, step.now)
    if crash.state is None:
        return step.reject("This run does not need this process any more.")
    if crash.state.type is SCHEDULED:
        return step.reject("Retrying", crash.state, run=crash.run)
    return step.amend(run=crash.run)


def _in_time(step: _Step) -> _Outcome:
    """A run whose time to start is over does not start; what becomes of it is decided when it is gone."""
    return step.abort(step.facts.overdue.message) if step.facts.overdue else step


def _reschedule(step: _Step) -> _Outcome:
    """An in-process retry that is behind the run must not keep it from every agent (api-contract §9.2)."""
    if step.run.empirical_policy.retry_type is not RetryType.IN_PROCESS:
        return step
    return step.amend(run=_with_policy(step.amended, retry_type=RetryType.RESCHEDULE))


def _room(step: _Step) -> _Outcome:
    """Whoever is not a claim finds a full limit closed too; the run stays for any agent (protocol §2)."""
    limit, run = step.facts.limit_full, step.run
    if limit is None or step.facts.by_claim:
        return step
    if run.empirical_policy.retry_type is RetryType.IN_PROCESS and run.deployment_id is not None:
        # ABORT ends the process that came back for its retry.
        run = _with_policy(run, retry_type=RetryType.RESCHEDULE)
    return step.abort(f'The concurrency limit "{limit}" is full.', run=run)


_CANCEL_WITHOUT_PROCESS: FlowRunRule = Rule(
    "cancel without process", frozenset({SCHEDULED, PAUSED}), frozenset({CANCELLING}), _cancel_without_process
)
_ONLY_SCHEDULED_LATE: FlowRunRule = Rule(
    "only scheduled may be late", FROM_ANY, frozenset({SCHEDULED}), _only_scheduled_late
)

# The order is the answer: the first rule that objects decides.
CORE: tuple[FlowRunRule, ...] = (
    Rule("fence", FROM_ANY, TO_ANY, _fence),
    Rule("duplicate transition", FROM_ANY - {None}, TO_ANY, shared.duplicate),
    Rule("leaving terminal", FROM_FINAL, TO_ANY, _leaving_final),
    Rule(
        "cancelling only to cancelled",
        frozenset({CANCELLED, CANCELLING}),
        TO_ANY - {CANCELLED},
        _cancelling_ends_cancelled,
    ),
    Rule("only by claim", FROM_FINAL - {CANCELLED}, fence.EXECUTING, _only_by_claim),
    _CANCEL_WITHOUT_PROCESS,
    Rule(
        "prevent pending",
        frozenset({PENDING, RUNNING, CANCELLING, CANCELLED}),
        frozenset({PENDING}),
        shared.prevent_pending,
    ),
    _ONLY_SCHEDULED_LATE,
    Rule("pausing", FROM_ANY, frozenset({PAUSED}), _pausing),
    Rule("resuming", frozenset({PAUSED}), TO_ANY, _resuming),
    Rule("copy scheduled time", frozenset({SCHEDULED}), frozenset({PENDING}), shared.copy_scheduled_time),
    Rule(
        "wait for scheduled time",
        frozenset({SCHEDULED, PENDING}),
        frozenset({RUNNING}),
        shared.wait_for_scheduled_time,
    ),
    Rule("in time", frozenset({SCHEDULED, PENDING}), frozenset({RUNNING}), _in_time),
    Rule("retry", frozenset({RUNNING}), frozenset({FAILED}), _retry),
    Rule(
        "crash budget",
        frozenset({SCHEDULED, PENDING, RUNNING, PAUSED}),
        frozenset({CRASHED}),
        _crash_budget,
    ),
    Rule("reschedule", frozenset({RUNNING, PAUSED}), frozenset({SCHEDULED}), _reschedule),
    Rule("room", FROM_ANY, fence.EXECUTING, _room),
)

MINIMAL: tuple[FlowRunRule, ...] = (
    Rule("fence", FROM_ANY, TO_ANY, _forced_fence),
    Rule("forget result", frozenset({FAILED, CRASHED}), frozenset({COMPLETED}), shared.forget_result),
    _CANCEL_WITHOUT_PROCESS,
)

LATE_MARKING: tuple[FlowRunRule, ...] = (_ONLY_SCHEDULED_LATE,)
