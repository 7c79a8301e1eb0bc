"""Claims: due runs become attempts of an agent, one transaction for a whole batch (protocol §2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.agents import Agent, AgentMode, Fit
from reeve.core.attempts import Attempt, AttemptKind, AttemptState, LeaseTerms, timed
from reeve.core.deployments import Deployment, DeploymentOptions
from reeve.core.events import Event, EventKind
from reeve.core.rules.flow_runs import FlowRunFacts, decide
from reeve.core.runs import FlowRun
from reeve.core.states import StateType, propose
from reeve.core.work import AGENT_POOL_TYPE, Rooms, WorkPool, WorkQueue, grantable
from reeve.ids import new_id
from reeve.server.services.lookout import Outlook
from reeve.server.services.states import new_state, tell
from reeve.server.storage import agents, attempts, claims, events, runs, waiting
from reeve.server.storage.store import Transaction

NO_OPTIONS = DeploymentOptions()


def served(agent: Agent, queues: Sequence[WorkQueue]) -> list[WorkQueue]:
    """Return the queues that an agent serves, paused ones left out."""
    return [queue for queue in selected(agent, queues) if not queue.is_paused]


def selected(agent: Agent, queues: Sequence[WorkQueue]) -> list[WorkQueue]:
    """Return the queues that an agent asked for.

    Without names and prefixes it serves its whole pool; a prefix that matches nothing serves nothing (W10).
    """
    everything = not agent.queues and not agent.prefixes
    prefixes = tuple(prefix.lower() for prefix in agent.prefixes)
    return [
        queue
        for queue in queues
        if everything or queue.name in agent.queues or (prefixes and queue.name.lower().startswith(prefixes))
    ]


async def fitness(tx: Transaction, agent: Agent, pool: WorkPool) -> Fit:
    """Return which runs of a pool an agent can launch: it has their driver (W15, W48)."""
    kind = await _default_kind(tx, agent, pool)
    foreign = await claims.foreign_documents(tx, agent.kinds)
    return Fit(foreign=foreign, kind=kind, unnamed=kind in agent.kinds)


async def missing_driver(
    tx: Transaction, agent: Agent, pool: WorkPool, run: FlowRun, deployment: Deployment | None
) -> str | None:
    """Return the kind of infrastructure that a run needs and an agent cannot launch; None: it can."""
    named = named_document(run, deployment)
    if named is None:
        kind = await _default_kind(tx, agent, pool)
        return None if kind in agent.kinds else kind or "its default infrastructure"
    kind = await claims.document_kind(tx, named)
    return None if kind in {None, *agent.kinds} else kind  # what is deleted is for the agent to tell


def named_document(run: FlowRun, deployment: Deployment | None) -> UUID | None:
    """Return the infrastructure document that a run names, or else its deployment (A81, W16)."""
    return run.infrastructure_document_id or (deployment.infrastructure_document_id if deployment else None)


async def _default_kind(tx: Transaction, agent: Agent, pool: WorkPool) -> str | None:
    """Return what launches runs that name no infrastructure: the agent's default, or as the pool says."""
    if agent.default_kind is not None:
        return agent.default_kind
    if agent.default_document_id is not None:
        return await claims.document_kind(tx, agent.default_document_id)
    return "process" if pool.type == AGENT_POOL_TYPE else pool.type  # A5


async def outlook(tx: Transaction, agent: Agent, *, tried: bool) -> Outlook:
    """Say when the next run can be claimed by an agent, and by those that are like it.

    ``tried``: what is due now was refused to it, and must not hide what falls due meanwhile.
    """
    pool = await claims.pool(tx, agent.work_pool_id)
    if pool is None or pool.is_paused:
        return Outlook(None)
    queues = served(agent, await claims.queues(tx, pool.id))
    if not queues:
        return Outlook(None)
    ids, fit = [queue.id for queue in queues], await fitness(tx, agent, pool)
    before = await tx.now() + timedelta(seconds=agent.prefetch_seconds)
    due = await waiting.next_due(tx, ids, fit)
    if tried and due is not None and due <= before:
        due = await waiting.next_due(tx, ids, fit, after=before)
    limits = [pool.concurrency_limit, *(queue.concurrency_limit for queue in queues)]
    limited = tried or any(limit is not None for limit in limits)
    return Outlook(
        (due - before).total_seconds() if due else None,
        limited or await claims.has_limited_deployments(tx),
    )


async def claim(tx: Transaction, agent: Agent, free: int, terms: LeaseTerms) -> list[Attempt]:
    """Open up to ``free`` attempts for an agent, which is locked, on the due runs of its queues; return them.

    Limits are locked, pool before queues before deployments, then counted; queues come by priority, runs by
    scheduled time. The queues are all locked first: another claim may have locked a later one, and wait for a
    deployment.
    """
    pool = await claims.pool(tx, agent.work_pool_id)
    if pool is None or pool.is_paused or agent.mode is not AgentMode.RUNNING:
        return []
    now = await tx.now()
    before = now + timedelta(seconds=agent.prefetch_seconds)
    fit = await fitness(tx, agent, pool)
    left = grantable(free, await claims.lock_pool(tx, pool))
    queues = served(agent, await claims.queues(tx, pool.id)) if left else []
    limits = [await claims.lock_queue(tx, queue) for queue in queues]
    limited = await claims.limited_deployments(tx, [queue.id for queue in queues], before)
    rooms = Rooms(await claims.lock_deployments(tx, limited))
    taken: list[FlowRun] = []
    for queue, limit in zip(queues, limits, strict=True):
        wanted = grantable(left - len(taken), limit)
        taken += await _take(tx, queue, before, wanted, fit, rooms)
    return await _open(tx, agent, pool, taken, terms, now) if taken else []


async def _take(
    tx: Transaction, queue: WorkQueue, before: datetime, wanted: int, fit: Fit, rooms: Rooms
) -> list[FlowRun]:
    """Take the first ``wanted`` runs of a queue for which their deployments have room."""
    taken: list[FlowRun] = []
    while wanted > len(taken):
        line = await waiting.take_due(
            tx,
            queue.id,
            before,
            wanted - len(taken),
            fit,
            with_room=rooms.open,
            taken=[run.id for run in taken],
        )
        admitted = [run for run in line if rooms.admit(run.deployment_id)]
        taken += admitted
        if len(admitted) == len(line):
            break
        # A deployment is full by now: those behind its runs are to move up.
    return taken


async def _open(
    tx: Transaction, agent: Agent, pool: WorkPool, taken: list[FlowRun], terms: LeaseTerms, now: datetime
) -> list[Attempt]:
    pending = [entered for run in taken if (entered := _pending(run, now))]
    numbers = await claims.brief(tx, pending)
    last = agents.next_grants(tx, agent, len(pending))
    deployed = [claims.deployment(tx, run.deployment_id) for run in pending]
    given = [deployment.options if deployment else NO_OPTIONS for deployment in deployed]
    opened = [
        Attempt(
            id=new_id(),
            flow_run_id=run.id,
            number=numbers.get(run.id, 0) + 1,
            kind=AttemptKind.LEASED,
            state=AttemptState.CLAIMED,
            opened=now,
            agent_id=agent.id,
            epoch=agent.epoch,
            grant=last - len(pending) + place,
            work_pool_id=pool.id,
            work_queue_id=run.work_queue_id,
            deployment_id=run.deployment_id,
            lease_until=now + timedelta(seconds=terms.lease),
            on_lost=pool.on_lost,
            limits=own.limits,
            code_version=own.code_version,
        )
        for place, (run, own) in enumerate(zip(pending, given, strict=True), start=1)
    ]
    opened = [timed(attempt, run) for run, attempt in zip(pending, opened, strict=True)]
    held = [
        replace(run, attempt_id=attempt.id, had_lease=True, infrastructure_pid=None, updated=now)
        for run, attempt in zip(pending, opened, strict=True)
    ]
    attempts.grant(tx, opened)
    await runs.enter(tx, held)
    await events.record(tx, [_opened_event(attempt, agent, now) for attempt in opened])
    await tell(tx, held, now)
    return opened


def _pending(run: FlowRun, now: datetime) -> FlowRun | None:
    verdict = decide(run, propose(StateType.PENDING), FlowRunFacts(by_claim=True), now)
    if verdict.state is None or verdict.state.type is not StateType.PENDING:
        return None
    return bookkeeping.enter_flow_run_state(verdict.run, new_state(verdict.state, now))


def _opened_event(attempt: Attempt, agent: Agent, now: datetime) -> Event:
    return Event(
        id=new_id(),
        at=now,
        kind=EventKind.ATTEMPT_OPENED,
        flow_run_id=attempt.flow_run_id,
        attempt_id=attempt.id,
        agent_id=agent.id,
        payload={"number": attempt.number, "kind": attempt.kind, "agent": agent.name},
    )
