"""What becomes of a state proposed for a task run (api-contract §8.4, protocol §4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec.structs import replace

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
from reeve.core.rules.verdict import Effect, Verdict
from reeve.core.runs import TaskRun, TaskRunPolicy
from reeve.core.states import (
    AWAITING_RETRY,
    CACHED,
    NOT_READY,
    RERUNNING,
    RETRYING,
    ProposedState,
    State,
    StateDetails,
    propose,
)

_KEEPS_SLOTS = frozenset({RUNNING, CANCELLING})


class TaskRunFacts(fence.FenceFacts, frozen=True, kw_only=True):
    """What the rules must know beyond the task run itself.

    ``cached`` is the newest unexpired COMPLETED state under the proposed cache key. ``zero_tag`` or
    ``full_tag`` names the first limit, by tag, that stands in the way of RUNNING: its size is 0, or others
    hold all of its slots. ``slot_wait_seconds`` is how long a client waits for a slot. ``dice`` is a random
    number from 0 to 1 for the jitter of a retry.
    """

    flow_run_state: State | None = None
    flow_run_run_count: int = 0
    cached: State | None = None
    zero_tag: str | None = None
    full_tag: str | None = None
    slot_wait_seconds: int = 30  # the default of 2.20 (api-contract §8.4)
    dice: float = 0.5


_Step: TypeAlias = Step[TaskRun, TaskRunFacts]
_Outcome: TypeAlias = Outcome[TaskRun, TaskRunFacts]
TaskRunRule: TypeAlias = Rule[TaskRun, TaskRunFacts]


def decide(
    run: TaskRun, proposed: ProposedState, facts: TaskRunFacts, now: datetime, *, force: bool = False
) -> Verdict[TaskRun]:
    """Judge a proposed state; ``force`` leaves only the minimal policy, except for runs without a flow run.

    Raises AttemptSupersededError when the flow run belongs to an attempt that is not the caller's.
    """
    rules = MINIMAL if force else CORE
    verdict = judge(rules if run.flow_run_id else AUTONOMOUS, run, proposed, facts, now)
    if verdict.state is None or verdict.state.type in _KEEPS_SLOTS:
        return verdict
    return replace(verdict, effects=verdict.effects | {Effect.RELEASE_SLOTS})


def _fence(step: _Step) -> _Outcome:
    """The tasks of a held run are written by its holder alone."""
    fence.check_holder(step.facts, step.proposed.type)
    return step


def _forced_fence(step: _Step) -> _Outcome:
    """Force is for operators and for the holder, never for an attempt that is over."""
    fence.check_superseded(step.facts)
    return step


def _cache_lookup(step: _Step) -> _Outcome:
    """What was computed under the same key is not computed again."""
    wanted, cached = step.proposed.details, step.facts.cached
    if not wanted.cache_key or wanted.refresh_cache or cached is None:
        return step
    copy = propose(cached.type, name=CACHED, message=cached.message, data=cached.data, details=cached.details)
    return step.reject("Retrieved state from cache", copy)


def _leaving_final(step: _Step) -> _Outcome:
    """A task that has a result is done; any other runs again, with fresh retries."""
    current, wanted = step.current, step.proposed.type
    if wanted in {CANCELLING, PAUSED, CRASHED}:
        return step.abort(f"Run is already {current.type}.")
    if current.type is COMPLETED and shared.is_persisted(current.data):
        return step.reject("This run is already completed.")
    if wanted.is_final:
        return step
    again = step.amend(run=replace(step.amended, run_count=0))
    flow_retries = step.facts.flow_run_run_count > step.run.flow_run_run_count
    return again.rename(RETRYING) if wanted is RUNNING and flow_retries else again


def _flow_must_run(step: _Step) -> _Outcome:
    """A task starts only inside a flow run that is RUNNING."""
    flow = step.facts.flow_run_state
    if flow is not None and flow.type is RUNNING:
        return step
    if flow is None or flow.type is not PAUSED:
        return step.abort("The enclosing flow must be running to begin task execution.")
    details = StateDetails(
        pause_timeout=flow.details.pause_timeout, pause_reschedule=flow.details.pause_reschedule
    )
    return step.reject(
        f"The flow is paused, new tasks can execute after resuming flow run: {step.run.flow_run_id}.",
        propose(PAUSED, name=NOT_READY, details=details),
    )


def _tag_slots(step: _Step) -> _Outcome:
    """A task occupies a slot of every limit on its tags, or waits for one."""
    facts = step.facts
    if facts.zero_tag is not None:
        return step.abort(
            f'The concurrency limit on tag "{facts.zero_tag}" is 0 and will deadlock '
            "if the task tries to run again."
        )
    if facts.full_tag is not None:
        return step.wait(
            f"Concurrency limit for the {facts.full_tag} tag has been reached", facts.slot_wait_seconds
        )
    return step.amend(effect=Effect.TAKE_SLOTS)


def _retry(step: _Step) -> _Outcome:
    """A failed task with retries left waits for the next one; a crashed one where its engine says so.

    An engine that is interrupted crashes its tasks, too, and will not try them again.
    """
    run, policy = step.run, step.run.empirical_policy
    told = step.proposed.details.retriable
    if told is False or (told is None and step.proposed.type is CRASHED):
        return step
    if policy.retries is None or run.run_count > policy.retries:
        return step
    at = step.now + timedelta(seconds=_retry_delay(policy, run.run_count, step.facts.dice))
    return step.reject("Retrying", shared.awaiting_retry(step.proposed, at))


def _retry_delay(policy: TaskRunPolicy, run_count: int, dice: float) -> float:
    delay = policy.retry_delay or 0
    if isinstance(delay, list):
        delay = delay[min(max(run_count, 1), len(delay)) - 1]
    # Even over delay ± its jitter, so that the mean stays what the user asked for.
    spread = (policy.retry_jitter_factor or 0) * (2 * dice - 1)
    return max(delay * (1 + spread), 0)


def _name_reruns(step: _Step) -> _Outcome:
    """A task that runs again says so in its state's name."""
    if step.amended.run_count == 0:
        return step
    retries = step.run.state is not None and step.run.state.name == AWAITING_RETRY
    return step.rename(RETRYING if retries else RERUNNING)


def _track_flow_attempt(step: _Step) -> _Outcome:
    """A task remembers in which try of its flow run it ran last."""
    return step.amend(run=replace(step.amended, flow_run_run_count=step.facts.flow_run_run_count))


def _store_cache(step: _Step) -> _Outcome:
    """A result with a key is there for the next task that asks for it."""
    return step.amend(effect=Effect.STORE_CACHE) if step.proposed.details.cache_key else step


_TO_RUNNING = frozenset({RUNNING})

_FLOW_MUST_RUN: TaskRunRule = Rule("flow must run", FROM_ANY, _TO_RUNNING, _flow_must_run)
_PREVENT_PENDING: TaskRunRule = Rule(
    "prevent pending",
    frozenset({PENDING, RUNNING, CANCELLING, CANCELLED}),
    frozenset({PENDING}),
    shared.prevent_pending,
)

# The order is the answer: the first rule that objects decides.
_ORDER: tuple[TaskRunRule, ...] = (
    Rule("fence", FROM_ANY, TO_ANY, _fence),
    # Not in 2.20, whose clients give task runs no transition ids: a RUNNING sent twice costs them a retry.
    Rule("duplicate transition", FROM_ANY - {None}, TO_ANY, shared.duplicate),
    _PREVENT_PENDING,
    Rule("cache lookup", FROM_ANY, _TO_RUNNING, _cache_lookup),
    Rule("leaving terminal", FROM_FINAL, TO_ANY, _leaving_final),
    _FLOW_MUST_RUN,
    Rule("tag slots", FROM_ANY, _TO_RUNNING, _tag_slots),
    Rule("copy scheduled time", frozenset({SCHEDULED}), frozenset({PENDING}), shared.copy_scheduled_time),
    Rule(
        "wait for scheduled time",
        frozenset({SCHEDULED, PENDING}),
        _TO_RUNNING,
        shared.wait_for_scheduled_time,
    ),
    Rule("retry", frozenset({RUNNING}), frozenset({FAILED, CRASHED}), _retry),
    Rule("name reruns", FROM_ANY, _TO_RUNNING, _name_reruns),
    Rule("track flow attempt", FROM_ANY, _TO_RUNNING, _track_flow_attempt),
    Rule("store cache", FROM_ANY, frozenset({COMPLETED}), _store_cache),
)

CORE = tuple(rule for rule in _ORDER if rule is not _PREVENT_PENDING)

# For task runs without a flow run.
AUTONOMOUS = tuple(rule for rule in _ORDER if rule is not _FLOW_MUST_RUN)

MINIMAL: tuple[TaskRunRule, ...] = (
    Rule("fence", FROM_ANY, TO_ANY, _forced_fence),
    Rule("forget result", frozenset({FAILED, CRASHED}), frozenset({COMPLETED}), shared.forget_result),
)
