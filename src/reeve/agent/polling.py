"""A 2.20 server as the agent sees it: asked again and again for work, told of ends as states.

It has no claims, attempts, leases or polls that are held open. What the agent's steps ask of a server is made
here out of the endpoints of 2.20, so that they need not know which server they have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

from reeve.agent.their_cancels import Cancels
from reeve.agent.their_queues import Queues
from reeve.agent.their_runs import Runs
from reeve.client.aio import AsyncClient
from reeve.core.deployments import Engine
from reeve.core.runs import RetryType
from reeve.core.states import StateType
from reeve.core.work import AGENT_POOL_TYPE, DEFAULT_POOL
from reeve.errors import NotFoundError, ReeveError
from reeve.wire import endpoints
from reeve.wire.requests import (
    AnyReport,
    AttemptToken,
    Exited,
    Launched,
    NotLaunched,
    OutputChunk,
    Poll,
    Register,
)
from reeve.wire.responses import (
    Cancel,
    DeploymentResponse,
    FlowRunResponse,
    Grant,
    Infrastructure,
    Receipt,
    Registration,
    Renewal,
    ServedQueue,
    Work,
    WorkPool,
    WorkQueueResponse,
)

T = TypeVar("T")

EPOCH = 0  # of no registration: a reeve server's epochs begin at 1
_NO_LEASE_SECONDS = 10 * 365 * 86400.0  # nobody takes a run away from an agent that is silent
_RENEW_SECONDS = 3600.0
_POLL_SECONDS = 25.0
_AGAIN_SECONDS = 5.0  # before a request is repeated that the server refused

log = logging.getLogger("reeve.agent")


class PollingLink:
    """The agent's calls of a 2.20 server.

    ``client`` repeats what the network loses; ``answered`` is told whenever the server has answered.
    ``attempts``: the runs of attempts that an earlier process of the agent held. ``key``: shown to the server
    by the runs themselves, as 2.20's agent has them do. ``every``: seconds between two looks for work.
    """

    def __init__(
        self,
        client: AsyncClient,
        agent_id: UUID,
        answered: Callable[[], None],
        *,
        attempts: Mapping[UUID, UUID],
        key: str,
        every: float,
    ) -> None:
        self._client = client
        self._answered = answered
        self._runs = Runs(client, agent_id)
        self._cancels = Cancels(self._runs, every)
        self._run_of = dict(attempts)
        self._pid_of: dict[UUID, str] = {}
        self._key = key
        self._every = every
        self._request: Register | None = None
        self._queues: Queues | None = None
        self._pool: WorkPool | None = None
        self._taken: list[UUID] = []  # runs that are ours by now, and not granted yet
        self._granted: list[Grant] = []  # and not acknowledged yet
        self._number = 0
        self._unfit: set[UUID] = set()  # runs that this agent has no driver for, told once
        self._turn = asyncio.Lock()
        self._overtaken = asyncio.Event()

    # --- what the agent's steps ask

    async def register(self, request: Register) -> Registration:
        """Find the pool, make the queues that are named, and take up what was taken and not launched.

        Raises NotFoundError for a pool that does not exist.
        """
        self._request = request
        self._queues = Queues(self._client, request)
        for grant in self._granted:
            del self._run_of[grant.attempt_id]
        self._granted = []
        created = await self._queues.make()
        name = request.pool or DEFAULT_POOL
        self._pool = await self._client.call(endpoints.read_work_pool, name=name)
        held = {self._run_of[one] for one in request.held if one in self._run_of}
        self._taken = [run_id for run_id in await self._runs.taken(name) if run_id not in held]
        self._answered()
        return Registration(
            epoch=EPOCH,
            pool=name,
            queues=request.queues,
            lease_seconds=_NO_LEASE_SECONDS,
            renew_seconds=_RENEW_SECONDS,
            margin_seconds=0.0,
            poll_seconds=_POLL_SECONDS,
            forget=[],
            created=created,
            served=_shown(await self._queues.served()),
            pool_type=self._pool.type,
            is_drivable=self._default_kind() in request.kinds,
        )

    async def poll(self, poll: Poll) -> Work:
        """Look for work until there is some, a newer poll is asked for, or the time is over."""
        self._overtaken.set()
        overtaken = self._overtaken = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + poll.hold_seconds
        self._granted = [grant for grant in self._granted if grant.number > poll.acked_grant]
        while True:
            work = await self._look(poll, overtaken)
            left = ends_at - loop.time()
            if work.grants or work.cancel or left <= 0 or overtaken.is_set():
                return work
            try:
                async with asyncio.timeout(min(self._every, left)):
                    await overtaken.wait()
            except TimeoutError:
                continue

    async def report(self, attempt_id: UUID, reports: Sequence[AnyReport]) -> Receipt:
        """Do what the reports of an attempt mean on a 2.20 server; NotFoundError when its run was deleted."""
        run_id = self._run_of[attempt_id]
        for report in reports:
            await self._insist(f"reporting flow run '{run_id}'", partial(self._apply, attempt_id, report))
        is_over = isinstance(reports[-1], Exited | NotLaunched)
        return Receipt(id=attempt_id, next_seq=reports[-1].seq + 1, closed=is_over)

    async def output(self, attempt_id: UUID, chunks: Sequence[OutputChunk]) -> None:
        """Drop it: 2.20's engine writes its run's log itself. The last lines come with a crash."""

    async def renew(self, tokens: Sequence[AttemptToken]) -> Renewal:  # noqa: ARG002  # there are no leases
        """Go on: a 2.20 server takes no run away."""
        return Renewal(lease_seconds=_NO_LEASE_SECONDS, stop=[])

    async def farewell(self) -> None:
        """Nobody is to be told: a 2.20 server knows no agents (W41)."""

    async def close(self) -> None:
        """Leave what others launched to other agents, or to the next start."""
        await self._cancels.close()

    # --- looking for work

    async def _look(self, poll: Poll, overtaken: asyncio.Event) -> Work:
        try:
            # Not to be cancelled half-way: a run that was taken and is not granted would wait for ever.
            return await asyncio.shield(self._look_once(poll, overtaken))
        except ReeveError as error:  # a pool that is gone, a server that is broken: it may come back (W5, W6)
            log.error("The server refused asking for work: %s", error)  # noqa: TRY400  # its sentence says it all
            return Work()

    async def _look_once(self, poll: Poll, overtaken: asyncio.Event) -> Work:
        async with self._turn:
            if overtaken.is_set():
                return Work()
            assert self._queues is not None, "registered before anything is asked"
            served = await self._queues.served()
            free = poll.free - len(self._granted) - len(self._taken)
            if free > 0:
                await self._take(free, served)
            while self._taken:
                await self._grant(self._taken[0])
                del self._taken[0]
            cancel = await self._cancellations(poll)
            await self._look_at_others(served)
            self._answered()
            return Work(grants=[*self._granted], cancel=cancel, served=_shown(served))

    async def _take(self, free: int, served: list[WorkQueueResponse] | None) -> None:
        assert self._queues is not None, "registered before anything is asked"
        held = set(
            self._run_of.values()
        )  # one of these has come back: it waits for its process's end (W2, W3)
        for run_id in await self._queues.due(served, free + len(self._unfit)):
            if run_id in held or len(self._taken) >= free:
                continue
            if await self._is_fit(run_id) and await self._runs.take(run_id):
                self._taken.append(run_id)

    async def _cancellations(self, poll: Poll) -> list[Cancel]:
        asked = {
            self._run_of[one]: one for one in poll.held if one in self._run_of and one not in poll.stopping
        }
        if not asked:
            return []
        return [Cancel(attempt_id=asked[run_id]) for run_id in await self._runs.cancelling(list(asked))]

    async def _look_at_others(self, served: list[WorkQueueResponse] | None) -> None:
        """See to what is to be cancelled in the queues that are served, whoever launched it (A91)."""
        names = None if served is None else [queue.name for queue in served]
        if names != []:  # to the server no names mean all queues (W10)
            held = list(set(self._run_of.values()) | set(self._taken))
            self._cancels.see(await self._runs.cancelling_of(self._pool_name, names, held))

    @property
    def _pool_name(self) -> str:
        assert self._pool is not None, "registered before anything is asked"
        return self._pool.name

    # --- grants

    async def _grant(self, run_id: UUID) -> None:
        try:
            run = await self._client.call(endpoints.read_flow_run, id=run_id)
        except NotFoundError:
            return  # deleted since it was taken
        deployment = await self._deployment(run.deployment_id)
        flow = await self._client.call(endpoints.read_flow, id=run.flow_id)
        attempt_id = uuid4()
        self._number += 1
        self._run_of[attempt_id] = run_id
        self._granted.append(
            Grant(
                number=self._number,
                attempt_id=attempt_id,
                token=self._key,
                lease_seconds=_NO_LEASE_SECONDS,
                attempt_number=run.run_count + 1,
                run=run,
                flow_name=flow.name,
                deployment=deployment,
                engine=Engine.PREFECT,
                base_job_template=self._pool.base_job_template or {} if self._pool else {},
                infrastructure=await self._infrastructure(run.infrastructure_document_id, deployment),
            )
        )

    async def _deployment(self, deployment_id: UUID | None) -> DeploymentResponse | None:
        if deployment_id is None:
            return None
        try:
            return await self._client.call(endpoints.read_deployment, id=deployment_id)
        except NotFoundError:
            return None

    async def _infrastructure(
        self, own: UUID | None, deployment: DeploymentResponse | None
    ) -> Infrastructure | None:
        """Return the block that the run names, or else its deployment, or the agent (A80, A81, W16)."""
        assert self._request is not None, "registered before anything is asked"
        of_deployment = deployment.infrastructure_document_id if deployment else None
        named = own or of_deployment or self._request.default_infrastructure_document_id
        if named is None:
            return None
        try:
            block = await self._client.call(
                endpoints.read_block_document, query={"include_secrets": True}, id=named
            )
        except NotFoundError:
            return Infrastructure(type="deleted", data={})
        return Infrastructure(type=block.block_type.slug if block.block_type else "deleted", data=block.data)

    async def _is_fit(self, run_id: UUID) -> bool:
        """Whether a run waits for an agent like this one; to be left to an able one otherwise (W15, W48)."""
        assert self._request is not None, "registered before anything is asked"
        run = await self._client.call(endpoints.read_flow_run, id=run_id)
        if not _waits(run):
            return False
        if run.work_pool_name not in {None, self._pool_name}:  # its tags say so, and its pool otherwise (W13)
            return self._leave(run_id, f"it is of the work pool '{run.work_pool_name}'")
        block = await self._infrastructure(
            run.infrastructure_document_id, await self._deployment(run.deployment_id)
        )
        kind = self._default_kind() if block is None else block.type
        if kind in {*self._request.kinds, "deleted"}:  # what is deleted nobody can launch: the run is to fail
            return True
        return self._leave(run_id, f"there is no driver here for {kind}")

    def _leave(self, run_id: UUID, why: str) -> bool:
        if run_id not in self._unfit:
            self._unfit.add(run_id)
            log.warning("Leaving flow run '%s' to another agent: %s", run_id, why)
        return False

    def _default_kind(self) -> str:
        assert self._request is not None, "registered before anything is asked"
        if self._request.default_kind is not None:
            return self._request.default_kind
        return "process" if self._pool is None or self._pool.type == AGENT_POOL_TYPE else self._pool.type

    # --- reports

    async def _apply(self, attempt_id: UUID, report: AnyReport) -> None:
        run_id = self._run_of[attempt_id]
        match report:
            case Launched():
                self._pid_of[attempt_id] = report.infrastructure_pid
                await self._runs.launched(run_id, report.infrastructure_pid)
            case NotLaunched():
                await self._runs.not_launched(run_id, report)
            case Exited():
                await self._runs.exited(run_id, self._pid_of.get(attempt_id), report)
            case _:
                await self._runs.say(run_id, logging.ERROR, f"The run cannot be ended: {report.reason}")
        await self._runs.say_all(run_id, report.notes)
        if isinstance(report, NotLaunched | Exited):
            self._run_of.pop(attempt_id, None)
            self._pid_of.pop(attempt_id, None)
        self._answered()

    async def _insist(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the server answers to the point; raises NotFoundError only (W25)."""
        while True:
            try:
                return await ask()
            except NotFoundError:
                raise
            except ReeveError as error:
                log.error("The server refused %s: %s", what, error)  # noqa: TRY400  # its sentence says it all
            await asyncio.sleep(_AGAIN_SECONDS)


def _shown(served: list[WorkQueueResponse] | None) -> list[ServedQueue] | None:
    """Return queues as the agent's user is told of them; None for a whole pool."""
    if served is None:
        return None
    return [ServedQueue(name=queue.name, is_paused=queue.is_paused) for queue in served]


def _waits(run: FlowRunResponse) -> bool:
    """Whether a run is anybody's: no next try of a process that lives (W3), no stale news (W17)."""
    is_retrying = run.empirical_policy.retry_type is RetryType.IN_PROCESS
    return run.state_type is StateType.SCHEDULED and not is_retrying
