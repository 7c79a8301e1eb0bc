"""Attempts after their claim: renewed, reported on, ended (protocol §1, §3, §7, §8)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from reeve import clock
from reeve.core.attempts import Attempt, AttemptKind, AttemptState, overdue, timed
from reeve.core.crashes import Crash, CrashBudget, CrashReason, reason_of
from reeve.core.events import Event, EventKind
from reeve.core.logs import LogLine
from reeve.core.rules import flow_runs as rules
from reeve.core.rules.verdict import SetStateStatus, Verdict
from reeve.core.runs import FlowRun
from reeve.core.states import UNREACHABLE, ProposedState, StateDetails, StateType, default_name
from reeve.core.states import propose as proposal
from reeve.core.time_limits import Deadline
from reeve.errors import (
    AttemptSupersededError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from reeve.ids import new_id
from reeve.server.services import batches, records
from reeve.server.services.context import Context, Principal
from reeve.server.services.hub import run_topic
from reeve.server.services.proposals import cancel_subflows, close, crash_budget
from reeve.server.services.states import end_children, enter, without_children
from reeve.server.services.tokens import attempt_of
from reeve.server.storage import attempts, claims, events, logs, runs, slots, task_runs
from reeve.wire import project, responses
from reeve.wire.codec import instant, iso_or_none
from reeve.wire.requests import Exited, Launched, NotLaunched, StopFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import AnyReport, AttemptReports, Note, Output, OutputChunk, Renew, Reports

log = logging.getLogger("reeve.server")

OUTPUT_LOGGERS = {"stdout": "reeve.stdout", "stderr": "reeve.stderr"}


async def set_code_version(ctx: Context, principal: Principal, attempt_id: UUID, version: str) -> None:
    """Note which code an attempt runs, as its own process says.

    Raises AttemptSupersededError for an attempt that is over, ForbiddenError for another one's key.
    """
    if principal.attempt_id not in {None, attempt_id}:
        raise ForbiddenError("This key speaks for another attempt.")

    async def note(tx: Transaction) -> None:
        if not await attempts.set_code_version(tx, attempt_id, version):
            raise AttemptSupersededError

    await ctx.store.write(note)


async def renew(ctx: Context, body: Renew) -> responses.Renewal:
    """Extend the leases of attempts whose tokens are right; name those to be stopped, and those over."""
    asked = [attempt.id for attempt in body.attempts if attempt_of(ctx.secret, attempt.token) == attempt.id]

    async def extend(tx: Transaction) -> tuple[dict[UUID, bool], list[UUID]]:
        now = await tx.now()
        renewed = await attempts.renew(tx, asked, now + timedelta(seconds=ctx.terms.lease))
        return renewed, await attempts.to_stop(tx, asked, now)

    try:
        renewed, stop = await ctx.store.write(extend) if asked else ({}, [])
        for attempt_id, was_unreachable in renewed.items():
            if was_unreachable:  # by itself: a run is locked before its attempt
                await ctx.store.write(partial(_reachable_again, attempt_id=attempt_id))
    except UnavailableError:
        ctx.presence.renewed(failed_at=clock.boottime())
        raise
    if renewed:
        ctx.presence.renewed()
    forged = [attempt.id for attempt in body.attempts if attempt.id not in asked]
    over = sorted(set(asked) - renewed.keys())
    return responses.Renewal(lease_seconds=ctx.terms.lease, stop=stop, over=[*over, *forged])


class Told(Struct, frozen=True):
    """The reports of one attempt, under the epoch of the agent that sends them."""

    epoch: int
    reports: AttemptReports


async def report(ctx: Context, body: Reports) -> list[responses.Receipt]:
    """Apply the reports of many attempts, those of each in order and once (protocol §7).

    Each attempt is a matter of its own: one that fails has no receipt, and holds up no other. Raises
    ConflictError when a newer epoch of the agent lives.
    """
    (answer,) = await report_all(ctx, [body])
    if isinstance(answer, BaseException):
        raise answer
    return answer


async def report_all(
    ctx: Context, bodies: Sequence[Reports]
) -> list[list[responses.Receipt] | BaseException]:
    """Apply what several requests report, see ``report``; return each one's answer, or its error."""
    told = [Told(body.epoch, one) for body in bodies for one in body.attempts]
    outcomes = iter(await batches.each(ctx.store, told, _read_all, partial(_report, ctx)))
    return [_answer(body, [*islice(outcomes, len(body.attempts))]) for body in bodies]


def _answer(
    body: Reports, outcomes: Sequence[responses.Receipt | BaseException]
) -> list[responses.Receipt] | BaseException:
    receipts: list[responses.Receipt] = []
    for one, outcome in zip(body.attempts, outcomes, strict=True):
        if isinstance(outcome, responses.Receipt):
            receipts.append(outcome)
        elif isinstance(outcome, ConflictError | UnavailableError) or not isinstance(outcome, Exception):
            return outcome
        else:
            log.error("Reports of attempt %s could not be applied", one.id, exc_info=outcome)
    return receipts


async def _read_all(tx: Transaction, all_told: Sequence[Told]) -> Callable[[Told], bool]:
    """Lock what is reported on, and return which reports concern nothing but their attempt and its run."""
    told = [one.reports for one in all_told]
    attempt_ids = [one.id for one in told]
    locked = {run.id: run for run in await runs.lock_all(tx, await attempts.run_ids(tx, attempt_ids))}
    held = {attempt.id: attempt for attempt in await attempts.read_of_all_locked(tx, attempt_ids)}
    ending = [held[one.id].flow_run_id for one in told if one.id in held and _has_exited(one)]
    alone = without_children(tx, ending, await task_runs.parents(tx, ending) if ending else set())
    for deployment_id in {held[one.id].deployment_id for one in told if one.id in held and _has_exited(one)}:
        if deployment_id:  # a statement that reads has what was applied before it written at once
            await claims.pool_of_limited(tx, deployment_id)

    def is_usual(told: Told) -> bool:
        one = told.reports
        run = locked.get(held[one.id].flow_run_id) if one.id in held else None
        if run is None or run.parent_task_run_id is not None:
            return False
        return all(
            isinstance(item, Launched) or (isinstance(item, Exited) and _is_final(run) and run.id in alone)
            for item in one.reports
        )

    return is_usual


def _has_exited(one: AttemptReports) -> bool:
    return any(isinstance(item, Exited) for item in one.reports)


async def _report(ctx: Context, tx: Transaction, told: Told) -> responses.Receipt:
    body = told.reports
    attempt = await attempts.lock(tx, body.id)
    last = max((item.seq for item in body.reports), default=0)
    if attempt is None:
        return responses.Receipt(id=body.id, next_seq=last + 1, closed=True)
    if attempt.is_open and attempt.epoch != told.epoch:
        raise ConflictError("A newer start of this agent holds the attempt.")
    now = await tx.now()
    for item in sorted(body.reports, key=lambda each: each.seq):
        if item.seq == attempt.last_seq + 1 and attempt.is_open:
            await _note(tx, attempt, item.notes, now)
            attempt = await _apply(ctx, tx, replace(attempt, last_seq=item.seq), item, now)
    if not attempt.is_open:  # nothing more is expected; all of it is acknowledged
        return responses.Receipt(id=body.id, next_seq=max(attempt.last_seq, last) + 1, closed=True)
    return responses.Receipt(id=body.id, next_seq=attempt.last_seq + 1, closed=False)


async def _note(tx: Transaction, attempt: Attempt, notes: Sequence[Note], now: datetime) -> None:
    """Write what the agent said of a run to the run's log (W43)."""
    if notes:
        lines = [_line(attempt, "reeve.agent", one.level, one.message, instant(one.at), now) for one in notes]
        await logs.insert(tx, lines, attempt.id)


async def output(ctx: Context, attempt_id: UUID, body: Output) -> None:
    """Store captured output as log lines; what is stored already is passed over.

    Raises NotFoundError for an unknown attempt.
    """

    async def store(tx: Transaction) -> None:
        attempt = await attempts.read(tx, attempt_id)
        if attempt is None:
            raise NotFoundError("There is no such attempt: its run was deleted.")
        for chunk in body.chunks:
            expected = await attempts.lock_output(tx, attempt_id, chunk.stream)
            new = chunk.text.encode()[max(expected - chunk.offset, 0) :]
            if not new:
                continue
            text = new.decode(errors="replace")
            if chunk.stream == records.STREAM:
                lines = await records.lines(tx, attempt, text, instant(chunk.timestamp))
            else:
                lines = _lines(attempt, chunk, text, await tx.now())
            await logs.insert(tx, lines, attempt_id)
            end = chunk.offset + len(chunk.text.encode())
            await attempts.set_output_offset(tx, attempt_id, chunk.stream, end)
        tx.wake(run_topic(attempt.flow_run_id))

    await ctx.store.write(store)


async def of_run(ctx: Context, run_id: UUID) -> list[responses.Attempt]:
    """Return all attempts of a run in order."""
    found = await ctx.store.read(lambda tx: attempts.of_run(tx, run_id))
    return [project.attempt(attempt, agent_name) for attempt, agent_name in found]


async def lose(
    tx: Transaction, attempt: Attempt, cause: str, now: datetime, *, proven: bool = False
) -> Attempt:
    """Close an attempt of which nobody can say what became; see ``crash``."""
    gone = Crash(cause=cause, reason=CrashReason.AGENT_LOST, proven=proven)
    return await crash(tx, attempt, AttemptState.LOST, gone, now)


async def crash(
    tx: Transaction,
    attempt: Attempt,
    state: AttemptState,
    gone: Crash,
    now: datetime,
    passed: Deadline | None = None,
) -> Attempt:
    """Close an attempt whose process is gone, and let its run go on from there (protocol §1).

    A run that has ended, or waits for another claim, is left as it is; one that was to be cancelled is
    Cancelled; else a time limit that has ``passed`` says what follows, or the crash budget.
    """
    run = await runs.lock(tx, attempt.flow_run_id)
    assert run is not None
    budget = CrashBudget() if _is_final(run) else await crash_budget(tx, run)
    passed = passed or overdue(attempt, run, now)
    if passed:
        verdict = rules.after_deadline(run, budget, passed, now, proven=gone.proven)
    else:
        if gone.reason is CrashReason.AGENT_LOST:
            gone = replace(gone, losses=await attempts.losses(tx, run.id) + 1)
        verdict = rules.after_crash(run, budget, gone, now)
    expected = verdict.state is None or verdict.state.type is StateType.CANCELLED
    if not (expected or passed):
        attempt = replace(attempt, crash_reason=gone.reason)
    await _end(tx, attempt, AttemptState.ENDED if expected else state, verdict, gone.cause, now)
    return replace(attempt, closed=now)


async def give_back(
    tx: Transaction, attempt: Attempt, reason: str, tries: int | None, now: datetime
) -> Attempt:
    """Close an attempt that was never launched: its run is scheduled again, up to ``tries`` times if any."""
    run = await runs.lock(tx, attempt.flow_run_id)
    assert run is not None
    if run.state is not None and run.state.type is StateType.CANCELLING:
        wanted = proposal(StateType.CANCELLED, message="Cancelled before its process was launched.")
    elif tries is None or await attempts.returns(tx, run.id) + 1 < tries:
        wanted = _again(run, f"Attempt {attempt.number} was not launched: {reason}", now)
    else:
        wanted = proposal(StateType.CRASHED, message=f"Not launched in {tries} attempts; the last: {reason}")
    verdict = Verdict(status=SetStateStatus.ACCEPT, run=run, state=None if _is_final(run) else wanted)
    await _end(tx, attempt, AttemptState.RETURNED, verdict, reason, now)
    return replace(attempt, closed=now)


async def refuse(tx: Transaction, attempt: Attempt, reason: str, now: datetime) -> Attempt:
    """Close an attempt that can never be launched: its run fails, with the reason (A76)."""
    run = await runs.lock(tx, attempt.flow_run_id)
    assert run is not None
    cancelled = run.state is not None and run.state.type is StateType.CANCELLING
    wanted = (
        proposal(StateType.CANCELLED, message="Cancelled before its process was launched.")
        if cancelled
        else proposal(StateType.FAILED, message=f"Submission failed. {reason}")
    )
    verdict = Verdict(status=SetStateStatus.ACCEPT, run=run, state=None if _is_final(run) else wanted)
    await _end(tx, attempt, AttemptState.RETURNED, verdict, reason, now)
    return replace(attempt, closed=now)


async def unreachable(tx: Transaction, attempt: Attempt, now: datetime) -> None:
    """Show that an attempt is not heard of; its run stays RUNNING (protocol §3)."""
    await attempts.update(tx, replace(attempt, unreachable=True))
    since = attempt.lease_until.isoformat(timespec="seconds") if attempt.lease_until else "long"
    whose = "its process" if attempt.kind is AttemptKind.SELF else "its agent"
    await events.record(
        tx, [_event(EventKind.ATTEMPT_UNREACHABLE, attempt, now, {"since": iso_or_none(attempt.lease_until)})]
    )
    await _rename_running(
        tx, attempt.flow_run_id, UNREACHABLE, f"No sign from {whose}: the lease ended at {since}.", now
    )


async def _reachable_again(tx: Transaction, attempt_id: UUID) -> None:
    attempt = await attempts.lock(tx, attempt_id)
    if attempt is None or not attempt.is_open or not attempt.unreachable:
        return
    await attempts.update(tx, replace(attempt, unreachable=False))
    await _rename_running(tx, attempt.flow_run_id, default_name(StateType.RUNNING), None, await tx.now())


async def _rename_running(
    tx: Transaction, run_id: UUID, name: str, message: str | None, now: datetime
) -> None:
    run = await runs.lock(tx, run_id)
    if run is None or run.state is None or run.state.type is not StateType.RUNNING:
        return
    state = proposal(StateType.RUNNING, name=name, message=message)
    await enter(tx, Verdict(status=SetStateStatus.ACCEPT, run=run, state=state), now)


async def _apply(ctx: Context, tx: Transaction, attempt: Attempt, item: AnyReport, now: datetime) -> Attempt:
    match item:
        case Launched():
            return await _launched(tx, attempt, item, now)
        case NotLaunched(reason=reason) if attempt.started is not None:
            # It has said Running: user code has begun, and a run is given back only when none has.
            return await lose(tx, attempt, f"It had begun when its launch was given up: {reason}", now)
        case NotLaunched(reason=reason, permanent=True):
            return await refuse(tx, attempt, reason, now)
        case NotLaunched(reason=reason):
            tries = None if item.given_back else ctx.terms.launch_tries
            return await give_back(tx, attempt, reason, tries, now)
        case StopFailed(reason=reason):
            return await _stop_failed(tx, attempt, reason, now)
        case Exited():
            return await _exited(tx, attempt, item, now)


async def _launched(tx: Transaction, attempt: Attempt, item: Launched, now: datetime) -> Attempt:
    state = AttemptState.STARTED if attempt.started else AttemptState.LAUNCHED
    run = await runs.lock(tx, attempt.flow_run_id)
    assert run is not None
    launched = min(attempt.started or now, now)  # what has begun was launched, though it is told later
    attempt = timed(replace(attempt, state=state, launched=launched, handle=item.handle), run)
    await attempts.update(tx, attempt)
    await runs.amend(tx, replace(run, infrastructure_pid=item.infrastructure_pid))
    await events.record(
        tx, [_event(EventKind.ATTEMPT_LAUNCHED, attempt, now, {"handle": item.infrastructure_pid})]
    )
    return attempt


async def _exited(tx: Transaction, attempt: Attempt, item: Exited, now: datetime) -> Attempt:
    attempt = replace(
        attempt,
        exit_code=item.exit_code,
        signal=item.signal,
        cpu_seconds=item.cpu_seconds,
        max_rss_kib=item.max_rss_kib,
        output_tail=item.output_tail,
        cause=item.cause,
    )
    if item.output_lost_bytes:
        lost = f"{item.output_lost_bytes} bytes of this run's output were lost: the agent's disk was full."
        await logs.insert(tx, [_line(attempt, "reeve.agent", logging.WARNING, lost, now, now)], attempt.id)
    reason = item.reason or reason_of(item.exit_code, item.signal)
    passed = attempt.limits.running(attempt.launched or now) if item.overran else None
    gone = Crash(cause=item.cause, reason=reason)
    return await crash(tx, attempt, AttemptState.CRASHED, gone, now, passed)


async def _stop_failed(tx: Transaction, attempt: Attempt, reason: str, now: datetime) -> Attempt:
    attempt = replace(attempt, stop_failed=attempt.stop_failed or now)
    await attempts.update(tx, attempt)
    run = await runs.lock(tx, attempt.flow_run_id)
    assert run is not None
    if run.state is not None and run.state.type is StateType.CANCELLING and run.state.message != reason:
        state = proposal(StateType.CANCELLING, message=reason)
        await enter(tx, Verdict(status=SetStateStatus.ACCEPT, run=run, state=state), now)
    return attempt


async def _end(
    tx: Transaction,
    attempt: Attempt,
    state: AttemptState,
    verdict: Verdict[FlowRun],
    cause: str,
    now: datetime,
) -> None:
    """Write an attempt's end and what becomes of its run, its tasks, its slots: all or nothing."""
    decision = await enter(tx, verdict, now)
    run = await close(tx, decision.run, attempt, state, cause, now)
    await slots.release_attempt(tx, attempt.id)
    if attempt.launched is not None or attempt.started is not None:
        cancelled = run.state is not None and run.state.type is StateType.CANCELLED
        ended = StateType.CANCELLED if cancelled else StateType.CRASHED
        await end_children(tx, run, ended, cause, now)
    await cancel_subflows(tx, run)


def _again(run: FlowRun, message: str, now: datetime) -> ProposedState:
    details = run.state.details if run.state else StateDetails()
    return proposal(
        StateType.SCHEDULED,
        message=message,
        details=StateDetails(scheduled_time=details.scheduled_time or now),
    )


def _is_final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final


def _event(kind: EventKind, attempt: Attempt, now: datetime, payload: dict[str, object]) -> Event:
    return Event(
        id=new_id(),
        at=now,
        kind=kind,
        flow_run_id=attempt.flow_run_id,
        attempt_id=attempt.id,
        agent_id=attempt.agent_id,
        payload=payload,
    )


def _lines(attempt: Attempt, chunk: OutputChunk, text: str, now: datetime) -> list[LogLine]:
    level = logging.INFO if chunk.stream == "stdout" else logging.WARNING
    name = OUTPUT_LOGGERS.get(chunk.stream, "reeve.output")
    at = instant(chunk.timestamp)
    return [_line(attempt, name, level, line, at, now) for line in text.splitlines() if line.strip()]


def _line(attempt: Attempt, name: str, level: int, message: str, at: datetime, now: datetime) -> LogLine:
    return LogLine(
        id=new_id(),
        created=now,
        name=name,
        level=level,
        message=message,
        timestamp=at,
        flow_run_id=attempt.flow_run_id,
    )
