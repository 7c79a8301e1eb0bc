"""Why a run is where it is, in sentences: each cause of waiting has its own, and its remedy.

What keeps a run from starting is a cause; the list of them is complete: without them the run starts. What a
reader wants to know besides is a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import chain

from msgspec import Struct

from reeve.core.agents import SILENT_AFTER_SECONDS, Agent, AgentMode, AgentStatus
from reeve.core.attempts import Attempt, AttemptKind, deadline, overdue
from reeve.core.deployments import Deployment
from reeve.core.runs import FlowRun, RetryType
from reeve.core.states import StateType
from reeve.core.work import Limit, WorkPool, WorkQueue


class CauseKind(StrEnum):
    """What can keep a run from starting, as programs call it."""

    NOT_DUE = "NOT_DUE"
    RETRY_NOT_DUE = "RETRY_NOT_DUE"
    RETRY_ELSEWHERE = "RETRY_ELSEWHERE"
    RUN_PAUSED = "RUN_PAUSED"
    NO_QUEUE = "NO_QUEUE"
    POOL_PAUSED = "POOL_PAUSED"
    QUEUE_PAUSED = "QUEUE_PAUSED"
    LIMIT_FULL = "LIMIT_FULL"
    EARLIER_RUN = "EARLIER_RUN"
    NO_AGENT = "NO_AGENT"
    NO_DRIVER = "NO_DRIVER"
    AGENT_PAUSED = "AGENT_PAUSED"
    AGENT_DRAINING = "AGENT_DRAINING"
    AGENT_FULL = "AGENT_FULL"
    RUNS_AHEAD = "RUNS_AHEAD"
    BEING_CLAIMED = "BEING_CLAIMED"
    BEING_LAUNCHED = "BEING_LAUNCHED"
    UNREACHABLE = "UNREACHABLE"
    NOT_HELD = "NOT_HELD"


class Cause(Struct, frozen=True):
    """One thing that keeps a run from starting, and what to do about it, if anything."""

    kind: CauseKind
    sentence: str
    remedy: str | None = None


class Occupied(Struct, frozen=True):
    """A limit, the names of the first runs that fill it, and the command that changes it."""

    limit: Limit
    holders: list[str] = []
    set_by: str | None = None


class Serving(Struct, frozen=True):
    """An agent that serves the queue, living or not, with what it holds.

    ``lacks``: the kind of infrastructure that the run needs and this agent has no driver for (W48).
    """

    agent: Agent
    held: int = 0
    holders: list[str] = []
    lacks: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether it has no free slot."""
        return self.agent.limit is not None and self.held >= self.agent.limit


class Circumstances(Struct, frozen=True, kw_only=True):
    """What bears on a run: where it waits, who serves that, what holds it."""

    run: FlowRun
    attempt: Attempt | None = None
    attempts: int = 0
    holder: Agent | None = None
    deployment: Deployment | None = None
    pool: WorkPool | None = None
    queue: WorkQueue | None = None
    limits: list[Occupied] = []
    serving: list[Serving] = []
    behind: str | None = None  # the earlier run of its schedule that it waits for
    ahead: int = 0  # due runs of the same queue that come first
    ahead_elsewhere: int = 0  # due runs of queues that come first


class Account(Struct, frozen=True):
    """The answer: a sentence, what keeps the run from starting, the facts besides, what can be done."""

    summary: str
    causes: list[Cause] = []
    notes: list[str] = []
    more_remedies: list[str] = []

    @property
    def remedies(self) -> list[str]:
        """What can be done, each once."""
        return list(dict.fromkeys([*(one.remedy for one in self.causes if one.remedy), *self.more_remedies]))


def explain(seen: Circumstances, now: datetime) -> Account:
    """Say why the run is where it is."""
    state = seen.run.state
    if state is None:
        cause = Cause(CauseKind.NOT_HELD, "No client has proposed a state for it yet.")
        return Account("The run has no state yet.", [cause])
    if state.is_final:
        return _ended(seen)
    if seen.attempt is not None:
        return _held(seen, seen.attempt, now)
    if state.type is StateType.PAUSED:
        sentence = state.message or "It waits to be resumed."
        remedy = f"reeve runs resume {seen.run.id}"
        return Account("The run is paused.", [Cause(CauseKind.RUN_PAUSED, sentence, remedy)])
    if state.type is StateType.SCHEDULED:
        return _waiting(seen, now)
    return Account(
        f"The run is {state.name} and no attempt holds it.",
        [
            Cause(
                CauseKind.NOT_HELD,
                "It was set to this state by a client, outside of any attempt.",
                f"reeve runs cancel --force {seen.run.id}",
            )
        ],
    )


# --- ended, held


def _ended(seen: Circumstances) -> Account:
    state = seen.run.state
    assert state is not None
    notes = [state.message] if state.message else []
    if seen.attempts:
        notes.append(f"It took {seen.attempts} attempt{'s' if seen.attempts > 1 else ''}.")
    if seen.attempt is not None:
        notes.append("Its process is not observed gone yet: hooks or last logs may still be under way.")
    failed = state.type in {StateType.FAILED, StateType.CRASHED}
    remedies = [f"reeve runs logs {seen.run.id}"] if failed else []
    return Account(f"The run ended: {state.name}.", [], notes, remedies)


def _held(seen: Circumstances, attempt: Attempt, now: datetime) -> Account:
    state = seen.run.state
    assert state is not None
    if attempt.kind is AttemptKind.FOREIGN:
        return Account(
            f"The run is {state.name}, run by a 2.20 client.",
            _not_started(seen, CauseKind.BEING_LAUNCHED, "That client has not started it yet."),
            ["That client sends no heartbeat: its death cannot be noticed."],
            [f"If its process is gone: reeve runs cancel --force {seen.run.id}"],
        )
    notes = [f"Attempt {attempt.number} is held by {_holder(seen, attempt)}."]
    causes = _not_started(seen, CauseKind.BEING_LAUNCHED, "It was claimed and has not started yet.")
    if attempt.launched is not None and seen.run.infrastructure_pid:
        notes.append(f"Its process is {seen.run.infrastructure_pid}.")
    if attempt.unreachable and attempt.lease_until is not None:
        silence = round((now - attempt.lease_until).total_seconds())
        sentence = f"There is no sign of it: its lease ended {silence} s ago."
        whose, remedy = _silent(seen, attempt)
        return Account(
            f"The run's {whose} is unreachable.", [Cause(CauseKind.UNREACHABLE, sentence, remedy)], notes
        )
    if state.type is StateType.CANCELLING:
        notes.append(state.message or "Its processes are being ended; Cancelled follows with the proof.")
        remedy = f"reeve runs cancel --force {seen.run.id}"
        return Account("The run is being cancelled.", [], notes, [remedy])
    if passed := overdue(attempt, seen.run, now):
        notes.append(f"{passed.message} Its processes are being ended; then it is to {passed.then}.")
        return Account(f"The run is {state.name}, and its time is over.", causes, notes)
    if next_ := deadline(attempt, seen.run):
        notes.append(f"Its next time limit ends at {_clock(next_.at)}.")
    if state.type is StateType.SCHEDULED:
        at = state.details.scheduled_time
        when = f"Its own process tries again at {_clock(at)}." if at else "Its own process tries again."
        return Account("The run waits for its next try.", [Cause(CauseKind.RETRY_NOT_DUE, when)], notes)
    remedies = [f"reeve runs resume {seen.run.id}"] if state.type is StateType.PAUSED else []
    return Account(f"The run is {state.name}.", causes, notes, remedies)


def _holder(seen: Circumstances, attempt: Attempt) -> str:
    if attempt.kind is AttemptKind.SELF and attempt.handle:
        return f"the process that called it (pid {attempt.handle['pid']} on {attempt.handle['host']})"
    return f"agent {seen.holder.name!r} on {seen.holder.host}" if seen.holder else "an agent"


def _silent(seen: Circumstances, attempt: Attempt) -> tuple[str, str]:
    """Return who is not heard of, and what to do about it."""
    if attempt.kind is AttemptKind.SELF:
        return "process", f"If its machine is gone: reeve runs cancel --force {seen.run.id}"
    return "agent", "Start the agent again on its machine: it adopts the run, or reports its end."


def _not_started(seen: Circumstances, kind: CauseKind, sentence: str) -> list[Cause]:
    is_pending = seen.run.state is not None and seen.run.state.type is StateType.PENDING
    return [Cause(kind, sentence)] if is_pending else []


# --- waiting


def _waiting(seen: Circumstances, now: datetime) -> Account:
    run, due = seen.run, seen.run.next_scheduled_start_time
    notes = [run.state.message] if run.state and run.state.message else []
    if seen.deployment is not None and seen.deployment.paused:
        since = _since(seen.deployment.paused_since)
        notes.append(
            f"Its deployment is paused{since}: no new runs are scheduled; this one starts all the same."
        )
    obstacles = list(_obstacles(seen, now))
    if due is not None and due > now:
        # Whoever reads this before the time wants to know what else will be in the way then.
        return Account("The run is not due yet.", [_not_due(run, due, now), *obstacles], notes)
    if all(one.kind is CauseKind.RUNS_AHEAD for one in obstacles):
        causes = [*obstacles, _being_claimed(seen, now)]
        return Account("The run is due and is about to be claimed.", causes, notes)
    return Account("The run is due and does not start.", obstacles, notes)


def _not_due(run: FlowRun, due: datetime, now: datetime) -> Cause:
    left = (due - now).total_seconds()
    when = f"in {left:.0f} s, at {_clock(due)}" if left >= 1 else "within a second"
    if run.run_count or run.crash_count:
        return Cause(CauseKind.RETRY_NOT_DUE, f"It waits for its next try, due {when}.")
    return Cause(CauseKind.NOT_DUE, f"It is due {when}.")


def _obstacles(seen: Circumstances, now: datetime) -> Iterator[Cause]:
    """Give everything that stands in the way of a due run."""
    pool, queue = seen.pool, seen.queue
    if pool is None or queue is None:
        remedy = "Deploy it to a work pool: reeve deploy … -p POOL -q QUEUE"
        yield Cause(CauseKind.NO_QUEUE, "It is in no work queue, so no agent can claim it.", remedy)
        return
    if seen.run.empirical_policy.retry_type is RetryType.IN_PROCESS:
        yield Cause(
            CauseKind.RETRY_ELSEWHERE,
            "It waits for a retry in the process of the client that ran it.",
            f"If that process is gone: reeve runs cancel --force {seen.run.id}",
        )
        return
    if pool.is_paused:
        sentence = f"Work pool {pool.name!r} is paused{_since(pool.paused_since)}."
        yield Cause(CauseKind.POOL_PAUSED, sentence, f"reeve pools resume {pool.name}")
    if queue.is_paused:
        sentence = f"Work queue {queue.name!r} of pool {pool.name!r} is paused{_since(queue.paused_since)}."
        yield Cause(CauseKind.QUEUE_PAUSED, sentence, f"reeve queues resume {queue.name} -p {pool.name}")
    if seen.behind is not None:
        sentence = f"Its schedule lets no two runs overlap, and its earlier run {seen.behind} has not ended."
        yield Cause(CauseKind.EARLIER_RUN, sentence)
    yield from (_full(one) for one in seen.limits if one.limit.free == 0)
    yield from _ahead(seen)
    yield from _who_takes_it(seen, pool, queue, now)


def _full(occupied: Occupied) -> Cause:
    limit = occupied.limit
    remedy = f"To raise the limit of {limit.name}: {occupied.set_by}" if occupied.set_by else None
    if limit.size == 0:
        sentence = f"The limit of {limit.name} is 0: nothing may run."
        return Cause(CauseKind.LIMIT_FULL, sentence, remedy)
    held = _held_by(occupied.holders, limit.occupied)
    sentence = f"The limit of {limit.name} is full: {limit.occupied} of {limit.size} slots are taken{held}."
    return Cause(CauseKind.LIMIT_FULL, sentence, remedy)


def _ahead(seen: Circumstances) -> Iterator[Cause]:
    if seen.ahead:
        come = "run of its queue comes" if seen.ahead == 1 else "runs of its queue come"
        yield Cause(CauseKind.RUNS_AHEAD, f"{seen.ahead} due {come} first.")
    if seen.ahead_elsewhere:
        come = "run of a queue" if seen.ahead_elsewhere == 1 else "runs of queues"
        sentence = f"Ahead of it: {seen.ahead_elsewhere} due {come} with a higher priority."
        yield Cause(CauseKind.RUNS_AHEAD, sentence)


def _who_takes_it(seen: Circumstances, pool: WorkPool, queue: WorkQueue, now: datetime) -> Iterator[Cause]:
    living = [one for one in seen.serving if _is_living(one)]
    if not living:
        yield _nobody(seen.serving, pool, queue, now)
        return
    hindrances = [_hindrances(one) for one in living]
    if all(hindrances):
        yield from chain.from_iterable(hindrances)


def _being_claimed(seen: Circumstances, now: datetime) -> Cause:
    able = [one.agent for one in seen.serving if _is_living(one) and not _hindrances(one)]
    last = max(able, key=lambda agent: agent.last_seen)
    ago = _ago(last.last_seen, now)
    return Cause(
        CauseKind.BEING_CLAIMED,
        f"Agent {last.name!r} on {last.host} serves its queue and has free slots; it was heard of {ago} ago.",
    )


def _is_living(serving: Serving) -> bool:
    return serving.agent.status is AgentStatus.ONLINE


def _hindrances(serving: Serving) -> list[Cause]:
    """Return all the reasons why a living agent that serves the queue takes no run."""
    agent = serving.agent
    is_draining = agent.mode is AgentMode.DRAINING
    found = []
    if is_draining:
        sentence = f"Agent {agent.name!r} is draining: it claims no more, and ends when it holds nothing."
        remedy = "Start it again when it has ended, or another."
        found.append(Cause(CauseKind.AGENT_DRAINING, sentence, remedy))
    if agent.mode is AgentMode.PAUSED:
        remedy = f"reeve agent resume {agent.name}"
        found.append(Cause(CauseKind.AGENT_PAUSED, f"Agent {agent.name!r} is paused.", remedy))
    if serving.lacks is not None:
        sentence = (
            f"Agent {agent.name!r} has no driver for {serving.lacks!r}: it launches {', '.join(agent.kinds)}."
        )
        remedy = f"Start an agent that has a driver for {serving.lacks!r}, or name other infrastructure."
        found.append(Cause(CauseKind.NO_DRIVER, sentence, remedy))
    if serving.is_full and not is_draining:  # a draining one is empty when it starts again
        held = _held_by(serving.holders, serving.held)
        taken = f"{serving.held} of {agent.limit} slots are taken{held}"
        found.append(Cause(CauseKind.AGENT_FULL, f"Agent {agent.name!r} is at its limit: {taken}."))
    return found


def _nobody(serving: Sequence[Serving], pool: WorkPool, queue: WorkQueue, now: datetime) -> Cause:
    remedy = f"reeve agent start -p {pool.name} -q {queue.name}"
    if not serving:
        sentence = f"No agent serves queue {queue.name!r} of pool {pool.name!r}."
        if queue.last_polled is not None:
            sentence += f" It was polled last {_ago(queue.last_polled, now)} ago."
        return Cause(CauseKind.NO_AGENT, sentence, remedy)
    last = max((one.agent for one in serving), key=lambda agent: agent.last_seen)
    ago = _ago(last.last_seen, now)
    if last.status is AgentStatus.STOPPED:
        heard = f"{last.name!r} on {last.host} was stopped {ago} ago"
    else:
        silent = f"silent after {SILENT_AFTER_SECONDS:.0f} s"
        heard = f"{last.name!r} on {last.host} was last heard of {ago} ago ({silent})"
    return Cause(CauseKind.NO_AGENT, f"No living agent serves queue {queue.name!r}: {heard}.", remedy)


# --- words


def _held_by(names: Iterable[str], count: int) -> str:
    shown = list(names)
    if not shown:
        return ""
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f", held by {', '.join(shown)}{more}"


def _since(at: datetime | None) -> str:
    return f" since {_clock(at)}" if at else ""


def _ago(at: datetime, now: datetime) -> str:
    return f"{max((now - at).total_seconds(), 0):.0f} s"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
