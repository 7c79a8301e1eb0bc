"""Why a run is where it is, in sentences: each cause of waiting has its own, and its remedy."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from reeve.core.agents import SILENT_AFTER_SECONDS, Agent, AgentStatus
from reeve.core.attempts import Attempt, AttemptKind
from reeve.core.runs import FlowRun, RetryType
from reeve.core.states import StateType
from reeve.core.work import Limit, WorkPool, WorkQueue


class Circumstances(Struct, frozen=True, kw_only=True):
    """What bears on a run: where it waits, who serves that, what holds it."""

    run: FlowRun
    attempt: Attempt | None = None
    attempts: int = 0
    holder: Agent | None = None
    pool: WorkPool | None = None
    queue: WorkQueue | None = None
    limits: list[Limit] = []
    serving: list[Agent] = []  # agents that serve the queue, living or not
    ahead: int = 0  # due runs of the same queue that come first


class Account(Struct, frozen=True):
    """The answer: a sentence, the facts behind it, what can be done."""

    summary: str
    reasons: list[str]
    remedies: list[str]


def explain(seen: Circumstances, now: datetime) -> Account:
    """Say why the run is where it is."""
    state = seen.run.state
    if state is None:
        return Account("The run has no state yet.", [], [])
    if state.is_final:
        return _ended(seen)
    if seen.attempt is not None:
        return _held(seen, seen.attempt, now)
    if state.type is StateType.PAUSED:
        return Account("The run is paused.", [state.message or "It waits to be resumed."], ["Resume it."])
    if state.type is StateType.SCHEDULED:
        return _waiting(seen, now)
    return Account(
        f"The run is {state.name} and no attempt holds it.",
        ["It was set to this state by a client, outside of any attempt."],
        [f"reeve cancel --force {seen.run.id}"],
    )


def _ended(seen: Circumstances) -> Account:
    state = seen.run.state
    assert state is not None
    reasons = [state.message] if state.message else []
    if seen.attempts:
        reasons.append(f"It took {seen.attempts} attempt{'s' if seen.attempts > 1 else ''}.")
    if seen.attempt is not None:
        reasons.append("Its process is not observed gone yet: hooks or last logs may still be under way.")
    again = state.type in {StateType.FAILED, StateType.CRASHED}
    return Account(
        f"The run ended: {state.name}.", reasons, [f"reeve runs logs {seen.run.id}"] if again else []
    )


def _held(seen: Circumstances, attempt: Attempt, now: datetime) -> Account:
    state = seen.run.state
    assert state is not None
    if attempt.kind is AttemptKind.FOREIGN:
        return Account(
            f"The run is {state.name}, run by a 2.20 client.",
            ["That client sends no heartbeat: its death cannot be noticed."],
            [f"If its process is gone: reeve runs cancel --force {seen.run.id}"],
        )
    agent = f"agent {seen.holder.name!r} on {seen.holder.host}" if seen.holder else "an agent"
    reasons = [f"Attempt {attempt.number} is held by {agent}."]
    if attempt.launched is None:
        reasons.append("It was claimed and is not launched yet.")
    elif attempt.handle:
        reasons.append(f"Its process is {attempt.handle.get('pid', 'known to the agent')}.")
    if attempt.unreachable and attempt.lease_until is not None:
        silence = round((now - attempt.lease_until).total_seconds())
        reasons.append(f"There is no sign of it: its lease ended {silence} s ago.")
        return Account(
            "The run's agent is unreachable.",
            reasons,
            ["Start the agent again on its machine: it adopts the run, or reports its end."],
        )
    if state.type is StateType.CANCELLING:
        reasons.append(state.message or "Its processes are being ended; Cancelled follows with the proof.")
        return Account("The run is being cancelled.", reasons, [f"reeve runs cancel --force {seen.run.id}"])
    if state.type is StateType.SCHEDULED:
        at = state.details.scheduled_time
        reasons.append(
            f"Its own process tries again at {at:%Y-%m-%d %H:%M:%S} UTC." if at else "It tries again."
        )
        return Account("The run waits for its next try.", reasons, [])
    return Account(f"The run is {state.name}.", reasons, [])


def _waiting(seen: Circumstances, now: datetime) -> Account:
    run, due = seen.run, seen.run.next_scheduled_start_time
    message = run.state.message if run.state else None
    before = [message] if message else []
    if due is not None and due > now:
        left = round((due - now).total_seconds())
        return Account(
            "The run is not due yet.",
            [*before, f"It is due in {left} s, at {due:%Y-%m-%d %H:%M:%S} UTC."],
            [],
        )
    reasons, remedies = _obstacles(seen, now)
    if reasons:
        return Account("The run is due and does not start.", [*before, *reasons], remedies)
    return Account("The run is due and is about to be claimed.", before, [])


def _obstacles(seen: Circumstances, now: datetime) -> tuple[list[str], list[str]]:
    """Return everything that stands in the way of a due run, with what to do about it."""
    pool, queue = seen.pool, seen.queue
    if pool is None or queue is None:
        return (
            ["It is in no work queue, so no agent can claim it."],
            ["Deploy it to a work pool: reeve deploy … -p POOL -q QUEUE"],
        )
    if seen.run.empirical_policy.retry_type is RetryType.IN_PROCESS:
        return (
            ["It waits for a retry in the process of the client that ran it."],
            [f"If that process is gone: reeve runs cancel --force {seen.run.id}"],
        )
    reasons, remedies = [], []
    if pool.is_paused:
        reasons.append(f"Work pool {pool.name!r} is paused.")
        remedies.append(f"reeve pools resume {pool.name}")
    if queue.is_paused:
        reasons.append(f"Work queue {queue.name!r} of pool {pool.name!r} is paused.")
        remedies.append(f"reeve queues resume {queue.name} -p {pool.name}")
    reasons += [
        f"The limit of {limit.name} is full: {limit.occupied} of {limit.size} slots are taken."
        for limit in seen.limits
        if limit.free == 0
    ]
    reasons += _who_serves(seen, pool, queue, now)
    living = [agent for agent in seen.serving if agent.status is AgentStatus.ONLINE]
    if not living:
        remedies.append(f"reeve agent start -p {pool.name} -q {queue.name}")
    if seen.ahead and reasons:
        reasons.append(f"{seen.ahead} due run{'s' if seen.ahead > 1 else ''} of its queue come first.")
    return reasons, remedies


def _who_serves(seen: Circumstances, pool: WorkPool, queue: WorkQueue, now: datetime) -> list[str]:
    living = [agent for agent in seen.serving if agent.status is AgentStatus.ONLINE]
    if living:
        busy = [agent.name for agent in living if agent.limit is not None]
        return (
            [f"{len(living)} agent(s) serve it and may be at their own limit: {', '.join(busy)}."]
            if (busy and seen.ahead)
            else []
        )
    if not seen.serving:
        return [f"No agent serves queue {queue.name!r} of pool {pool.name!r}."]
    last = max(seen.serving, key=lambda agent: agent.last_seen)
    silence = round((now - last.last_seen).total_seconds())
    heard = f"{last.name!r} on {last.host} was last heard of {silence} s ago"
    return [
        f"No living agent serves queue {queue.name!r}: {heard} (silent after {SILENT_AFTER_SECONDS:.0f} s)."
    ]
