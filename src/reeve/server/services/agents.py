"""Agents: registered, answered, seen off (protocol §6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from reeve.core import names
from reeve.core.agents import SILENT_AFTER_SECONDS, Agent, AgentMode, AgentStatus
from reeve.core.deployments import DeploymentOptions
from reeve.core.events import Event, EventKind
from reeve.core.states import StateType
from reeve.core.work import WorkPool, WorkQueue
from reeve.errors import ConflictError, NotFoundError
from reeve.ids import new_id
from reeve.server.services import blocks
from reeve.server.services.attempts import give_back, lose
from reeve.server.services.claims import claim, fitness, named_document, outlook, selected
from reeve.server.services.context import Context
from reeve.server.services.hub import Waiter, agent_topic, held_topic, pool_topic, room_topic
from reeve.server.services.hub import woken as woken_within
from reeve.server.services.sealing import for_grant
from reeve.server.services.tokens import token_of
from reeve.server.storage import agents, attempts, claims, events, work
from reeve.wire import project, responses

if TYPE_CHECKING:
    from reeve.server.services.lookout import Outlook
    from reeve.server.storage.attempts import Held
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import Farewell, Poll, Register

UNKNOWN = "There is no such agent. See: reeve agent ls"
UNREGISTERED = "This agent is not registered here; it registers again."
OVERDUE = "a time limit of its deployment is over"
POLL_SECONDS = 25.0  # how long a poll is held open at most
# An attempt that was closed: mostly its agent has said so, and asks anew in a moment. If not, it is told.
ENDED_SECONDS = 0.2


class _Look(Struct, frozen=True):
    """What one look at the database says about an agent's poll."""

    work: responses.Work
    dropped: list[UUID] = []  # open attempts that the agent was granted and does not hold any more
    room: int = 0  # runs that it could be granted besides
    is_more: bool = True  # that it has claimed all it could: there may be more for others
    outlook: Outlook | None = None  # it has claimed in vain: when somebody like it can claim again


async def register(ctx: Context, body: Register) -> responses.Registration:
    """Start a new epoch of an agent, and settle what its earlier life left open.

    Raises NotFoundError for an unknown pool, ConflictError when another living agent has the name.
    """

    async def start(tx: Transaction) -> responses.Registration:
        now = await tx.now()
        pool = await _pool(tx, body.pool, now)
        await _check_name(tx, body, now)
        earlier = await agents.lock(tx, body.id)
        agent = Agent(
            id=body.id,
            created=earlier.created if earlier else now,
            name=body.name,
            host=body.host,
            machine_id=body.machine_id,
            boot_id=body.boot_id,
            epoch=earlier.epoch + 1 if earlier else 1,
            work_pool_id=pool.id,
            work_pool_name=pool.name,
            queues=body.queues,
            prefixes=body.prefixes,
            kinds=body.kinds,
            prefetch_seconds=body.prefetch_seconds,
            default_document_id=body.default_infrastructure_document_id,
            default_kind=body.default_kind,
            limit=body.limit,
            version=body.version,
            grant=earlier.grant if earlier else 0,
            started=now,
            last_seen=now,
            mode=_mode_of_start(earlier),
        )
        await agents.upsert(tx, agent)
        created = [] if body.prefixes else await _make_queues(tx, pool, body.queues, now)  # A23, A25
        queues = selected(agent, await claims.queues(tx, pool.id))
        await work.polled_by_agents(tx, [agent.id], now)
        forget = await _settle(ctx, tx, agent, set(body.held), now)
        await events.record(tx, [_event(EventKind.AGENT_STARTED, agent, now)])
        tx.wake(agent_topic(agent.id))
        return responses.Registration(
            epoch=agent.epoch,
            pool=pool.name,
            queues=body.queues,
            lease_seconds=ctx.terms.lease,
            renew_seconds=ctx.terms.renew_every,
            margin_seconds=ctx.terms.margin,
            poll_seconds=POLL_SECONDS,
            forget=forget,
            created=created,
            served=_served(queues),
            pool_type=pool.type,
            is_drivable=(await fitness(tx, agent, pool)).unnamed,
        )

    registration = await ctx.store.write(start)
    ctx.presence.seen(body.id)
    return registration


async def poll(ctx: Context, agent_id: UUID, body: Poll) -> responses.Work:
    """Answer as soon as there is something to say to an agent, or after the time it wants to wait.

    The answer is derived from the open attempts, so that a lost one is given again. A poll with nothing
    to say writes nothing, and one that waits asks the database no more than what it is woken for. Raises
    NotFoundError, ConflictError when a newer epoch lives.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + min(body.hold_seconds, POLL_SECONDS)
    agent = ctx.presence.agent_of(agent_id, body.epoch) or await _agent_of(ctx, agent_id, body.epoch)
    of_pool = pool_topic(agent.work_pool_id), room_topic(agent.work_pool_id)
    own = agent_topic(agent_id), held_topic(agent_id)
    look, look_at = _Look(responses.Work(mode=body.mode), room=_room(body, body.mode)), clock()
    claimed: _Look | None = None
    if not body.hold_seconds:  # it goes by what is due at this moment, on whatever server that was asked for
        ctx.lookout.forget(agent)
    with ctx.presence.polling(agent_id, body.epoch, body.seq), ctx.hub.waiting(*of_pool, *own) as waiter:
        ctx.hub.wake(agent_topic(agent_id))  # an older poll of this agent is answered now
        while True:
            woken = waiter.take()
            if agent_topic(agent_id) in woken:
                look_at = clock()
            elif held_topic(agent_id) in woken:
                look_at = min(look_at, clock() + ENDED_SECONDS)
            superseded = not ctx.presence.is_newest(agent_id, body.epoch, body.seq)
            if superseded:
                claimed = None  # the newer poll tells it
            elif news := claimed or await _news(ctx, agent, body, look.room, clock() >= look_at):
                look, look_at = news, inf
            left = deadline - clock()
            if _says_something(look.work, body) or left <= 0 or superseded or ctx.stopping.is_set():
                return look.work if superseded else await _with_served(ctx, agent, look.work)
            if look.room > 0 and (wait := ctx.lookout.wait(ctx.hub, agent)) is not None:
                left = min(left, wait)
            left = min(left, look_at - clock())
            if look.room > 0:
                claimed = await _rest(ctx, agent, body, waiter, left)
            else:
                await woken_within(waiter, left)


async def _rest(ctx: Context, agent: Agent, body: Poll, waiter: Waiter, seconds: float) -> _Look | None:
    """Wait to be woken; return what was claimed by the transaction that did it, None if nothing was."""
    claiming = partial(_claim_along, ctx, agent_id=agent.id, body=body)
    with ctx.store.along(pool_topic(agent.work_pool_id), claiming) as ride:
        await woken_within(waiter, seconds)
        return await ride.value()


async def _news(ctx: Context, agent: Agent, body: Poll, room: int, is_time: bool) -> _Look | None:
    """Claim what is due if there is ``room``, or look if ``is_time``; None: there was nothing to be done."""
    look = await _offer(ctx, agent, body) if room > 0 else None
    if look is None and is_time:
        look = await ctx.store.read(partial(_look, ctx, agent_id=agent.id, body=body))
    if look is not None and look.dropped:
        await ctx.store.write(partial(_drop, ctx, dropped=look.dropped))
    return look


async def _offer(ctx: Context, agent: Agent, body: Poll) -> _Look | None:
    """Claim what is due for an agent that has room; None when nothing is, or it was overtaken meanwhile."""
    async with ctx.lookout.turn(agent):
        if not ctx.presence.is_newest(agent.id, body.epoch, body.seq):
            return None
        wakes = ctx.lookout.wakes(ctx.hub, agent)
        wait = ctx.lookout.wait(ctx.hub, agent, older=False)
        if wait is None:
            found = await ctx.store.read(partial(outlook, agent=agent, tried=False))
            ctx.lookout.note(agent, wakes, found)
            wait = inf if found.wait is None else found.wait
        if wait > 0:
            return None
        look = await ctx.store.write(partial(_claim, ctx, agent_id=agent.id, body=body))
        if look.outlook is not None:
            ctx.lookout.note(agent, wakes, look.outlook)
        elif not look.is_more:
            ctx.lookout.forget(agent)
        return look


async def _with_served(ctx: Context, agent: Agent, work: responses.Work) -> responses.Work:
    """Tell an agent that asked for queues by their names what has become of these."""
    if work.served is None and (agent.queues or agent.prefixes):
        work.served = await ctx.store.read(partial(_served_by, agent=agent))
    return work


async def _served_by(tx: Transaction, agent: Agent) -> list[responses.ServedQueue]:
    return _served(selected(agent, await claims.queues(tx, agent.work_pool_id)))


async def stop(ctx: Context, agent_id: UUID, body: Farewell) -> None:
    """See an agent off that stops in order. Raises ConflictError when a newer epoch lives."""

    async def leave(tx: Transaction) -> None:
        agent = await agents.lock(tx, agent_id)
        if agent is None:
            return
        _check_epoch(agent, body.epoch)
        now = await tx.now()
        await agents.set_status(tx, agent_id, AgentStatus.STOPPED, now)
        await events.record(tx, [_event(EventKind.AGENT_STOPPED, agent, now)])

    await ctx.store.write(leave)


async def set_mode(ctx: Context, agent_id: UUID, mode: AgentMode) -> responses.Agent:
    """Tell an agent what to do: it hears of it in its open poll, or in its next.

    Raises NotFoundError, ConflictError for one that is ending already.
    """

    async def change(tx: Transaction) -> responses.Agent:
        agent = await agents.lock(tx, agent_id)
        if agent is None:
            raise NotFoundError(UNKNOWN)
        ending = agent.mode is AgentMode.DRAINING and agent.status is AgentStatus.ONLINE
        if ending and mode is not AgentMode.DRAINING:
            raise ConflictError(f"{agent.name} is draining and will end. Start it again when it has.")
        await agents.set_mode(tx, agent_id, mode)
        tx.wake(agent_topic(agent_id))
        return project.agent(replace(agent, mode=mode), await attempts.held_count(tx, agent_id))

    return await ctx.store.write(change)


async def read(ctx: Context, agent_id: UUID) -> responses.AgentDetails:
    """Return an agent and what it runs; raises NotFoundError."""

    async def look(tx: Transaction) -> responses.AgentDetails:
        agent = await agents.read(tx, agent_id)
        if agent is None:
            raise NotFoundError(UNKNOWN)
        return project.agent_details(
            agent, await attempts.held_runs(tx, agent_id), await attempts.held_count(tx, agent_id)
        )

    return await ctx.store.read(look)


def _mode_of_start(earlier: Agent | None) -> AgentMode:
    """A pause lasts over the agent's own restart; who was drained and is started again is to work."""
    paused = earlier is not None and earlier.mode is AgentMode.PAUSED
    return AgentMode.PAUSED if paused else AgentMode.RUNNING


async def listing(ctx: Context) -> list[responses.Agent]:
    """Return all agents."""
    found = await ctx.store.read(agents.listing)
    return [project.agent(agent, open_attempts) for agent, open_attempts in found]


async def _pool(tx: Transaction, name: str | None, now: datetime) -> WorkPool:
    if name is None:
        return await work.ensure_default_pool(tx, now)
    pool = await work.pool_by_name(tx, name)
    if pool is None:
        known = ", ".join(await work.pool_names(tx)) or "none yet"
        raise NotFoundError(
            f'Work pool "{name}" not found. Pools: {known}. Create it with: reeve pools create {name}'
        )
    return pool


async def _make_queues(tx: Transaction, pool: WorkPool, wanted: list[str], now: datetime) -> list[str]:
    """Make the queues of a pool that are not there; return which."""
    missing = [name for name in wanted if await work.queue_by_name(tx, pool.id, name) is None]
    for name in missing:
        names.check_name("work queue", name)
        await work.ensure_queue(tx, pool.id, name, now)
    return missing


def _served(queues: list[WorkQueue]) -> list[responses.ServedQueue]:
    return [responses.ServedQueue(name=queue.name, is_paused=queue.is_paused) for queue in queues]


async def _check_name(tx: Transaction, body: Register, now: datetime) -> None:
    for other in await agents.by_name(tx, body.name):
        heard = now - other.last_seen < timedelta(seconds=SILENT_AFTER_SECONDS)
        if other.id != body.id and other.status is AgentStatus.ONLINE and heard:
            raise ConflictError(f"{body.name} is alive on {other.host}; choose --name")


async def _settle(ctx: Context, tx: Transaction, agent: Agent, held: set[UUID], now: datetime) -> list[UUID]:
    """Keep what the new epoch holds, end what it does not; return what it may not hold any more."""
    still_open = await attempts.held_by(tx, agent.id)
    await _drop_all(ctx, tx, (attempt.id for attempt in still_open if attempt.id not in held), now)
    # Last: runs are locked before their attempts, and no run is wanted any more.
    await attempts.rebind(tx, agent.id, agent.epoch, now + timedelta(seconds=ctx.terms.lease))
    return sorted(held - {attempt.id for attempt in still_open})


async def _drop(ctx: Context, tx: Transaction, *, dropped: list[UUID]) -> None:
    await _drop_all(ctx, tx, dropped, await tx.now())


async def _drop_all(ctx: Context, tx: Transaction, dropped: Iterable[UUID], now: datetime) -> None:
    """End attempts that their agent does not know: neither its journal nor its shim has them."""
    for attempt_id in dropped:
        attempt = await attempts.lock(tx, attempt_id)
        if attempt is None or not attempt.is_open:
            continue
        if attempt.launched is None and attempt.started is None:
            await give_back(tx, attempt, "its agent never received it", ctx.terms.launch_tries, now)
        else:
            await lose(tx, attempt, "Its agent was started anew and knows nothing of it.", now)


async def _agent_of(ctx: Context, agent_id: UUID, epoch: int) -> Agent:
    """Return an agent as it has registered; raises as ``poll`` does."""
    agent = await ctx.store.read(lambda tx: agents.read(tx, agent_id))
    if agent is None:
        raise NotFoundError(UNREGISTERED)
    _check_epoch(agent, epoch)
    ctx.presence.knows(agent)
    return agent


def _check_epoch(agent: Agent, epoch: int) -> None:
    if agent.epoch != epoch:
        raise ConflictError("A newer start of this agent has taken over.")


async def _look(ctx: Context, tx: Transaction, *, agent_id: UUID, body: Poll) -> _Look:
    agent, held = await claims.look(tx, agent_id)
    if agent is None:
        raise NotFoundError(UNREGISTERED)
    _check_epoch(agent, body.epoch)
    return await _seen(ctx, tx, agent, body, held)


async def _claim(ctx: Context, tx: Transaction, *, agent_id: UUID, body: Poll) -> _Look:
    """Claim what is due, and look: what is granted is told as soon as it is committed."""
    agent = await agents.lock(tx, agent_id)
    if agent is None:
        raise NotFoundError(UNREGISTERED)
    _check_epoch(agent, body.epoch)
    # What was granted and not acknowledged will take its slots too. It is counted behind the lock: a poll of
    # this agent that crosses this one may have been granted runs since anybody looked.
    held = await claims.survey(tx, agent)
    free = body.free - sum(attempt.grant > body.acked_grant for attempt in held)
    tries = free > 0 and agent.mode is AgentMode.RUNNING
    opened = await claim(tx, agent, free, ctx.terms) if tries else []
    held += map(attempts.just_opened, opened)
    if opened:  # a newer poll may have crossed this one, whose answer nobody takes then
        tx.wake(held_topic(agent.id))
    look = await _seen(ctx, tx, agent, body, held)
    if agent.queues or agent.prefixes:
        look.work.served = await _served_by(tx, agent)
    if not tries or len(opened) == free:
        return look
    return replace(look, is_more=False, outlook=None if opened else await outlook(tx, agent, tried=True))


async def _claim_along(ctx: Context, tx: Transaction, *, agent_id: UUID, body: Poll) -> _Look | None:
    """Claim what the same transaction has made due; None if it has not."""
    look = await _claim(ctx, tx, agent_id=agent_id, body=body)
    return look if look.work.grants else None


async def _seen(ctx: Context, tx: Transaction, agent: Agent, body: Poll, known: list[Held]) -> _Look:
    """Say what there is for an agent that has ``known`` open, but for what it could still claim."""
    held = set(body.held)
    acknowledged = [attempt for attempt in known if attempt.grant <= body.acked_grant]
    granted = [attempt for attempt in known if attempt.grant > body.acked_grant]
    open_ids = {attempt.id for attempt in known}
    cancel = await _to_cancel(tx, acknowledged)
    found = responses.Work(
        grants=await _grants(ctx, tx, agent, granted),
        cancel=[one for one in cancel if one.attempt_id not in body.stopping],
        stop=sorted(held - open_ids - set(body.stopping)),
        mode=agent.mode,
    )
    dropped = [attempt.id for attempt in acknowledged if attempt.id not in held]
    return _Look(found, dropped, _room(body, agent.mode, len(granted)))


def _room(asked: Poll, mode: AgentMode, granted: int = 0) -> int:
    """Return how many runs an agent could be granted that has not heard of so many yet."""
    return asked.free - granted if mode is AgentMode.RUNNING else 0


async def _to_cancel(tx: Transaction, held: Iterable[Held]) -> list[responses.Cancel]:
    found = []
    for attempt in held:
        if attempt.run_state_type == StateType.CANCELLING:
            found.append(responses.Cancel(attempt_id=attempt.id))
        elif attempt.expires and attempt.expires <= await tx.now():
            found.append(responses.Cancel(attempt_id=attempt.id, reason=OVERDUE))
    return found


async def _grants(ctx: Context, tx: Transaction, agent: Agent, granted: list[Held]) -> list[responses.Grant]:
    """Tell all that launching needs, of however many runs in as many statements."""
    if not granted:
        return []
    pool, now = await claims.pool(tx, agent.work_pool_id), await tx.now()
    opened = await attempts.with_runs(tx, granted)
    if not all(claims.is_briefed(tx, run) for _, run in opened):
        await claims.brief(tx, [run for _, run in opened])
    launchers: dict[UUID, responses.Infrastructure] = {}  # blocks, each read once
    grants = []
    for attempt, run in opened:
        assert attempt.grant is not None
        deployment = claims.deployment(tx, run.deployment_id)
        # The block that the run or its deployment names, or else the agent (A80, A81, W16).
        document = named_document(run, deployment) or agent.default_document_id
        if document and document not in launchers:
            launchers[document] = await blocks.infrastructure(tx, ctx.keyring, document)
        grants.append(
            responses.Grant(
                number=attempt.grant,
                attempt_id=attempt.id,
                token=token_of(ctx.secret, attempt.id),
                lease_seconds=ctx.terms.lease,
                attempt_number=attempt.number,
                run=project.flow_run(for_grant(ctx.keyring, run), now),
                flow_name=claims.flow_name(tx, run.flow_id),
                deployment=project.deployment(deployment) if deployment else None,
                engine=(deployment.options if deployment else DeploymentOptions()).engine,
                base_job_template=pool.base_job_template if pool else {},
                infrastructure=launchers[document] if document else None,
                on_lost=attempt.on_lost,
                max_run_seconds=attempt.limits.max_run.seconds if attempt.limits.max_run else None,
            )
        )
    return grants


def _says_something(found: responses.Work, asked: Poll) -> bool:
    return bool(found.grants or found.cancel or found.stop) or found.mode is not asked.mode


def _event(kind: EventKind, agent: Agent, now: datetime) -> Event:
    return Event(
        id=new_id(),
        at=now,
        kind=kind,
        agent_id=agent.id,
        payload={"name": agent.name, "host": agent.host, "epoch": agent.epoch},
    )
