"""Queues of a 2.20 server: which of them are served, and what is due there, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from reeve.client.aio import AsyncClient
from reeve.core.work import DEFAULT_POOL
from reeve.errors import ConflictError, NotFoundError
from reeve.wire import endpoints
from reeve.wire.queries import WorkQueueQuery
from reeve.wire.requests import PoolRuns, QueueRuns, Register, WorkQueueCreate
from reeve.wire.responses import FlowRun, WorkQueueResponse

_PAGE = 200  # of queues, or runs, in one answer


class Queues:
    """The queues that one agent asks for."""

    def __init__(self, client: AsyncClient, request: Register) -> None:
        self._client = client
        self._request = request
        self._pool = request.pool or DEFAULT_POOL

    async def make(self) -> list[str]:
        """Make the queues that are named and missing; with them 2.20 makes the default pool (A23, A25)."""
        if self._request.prefixes:
            return []
        return [name for name in self._request.queues if not await self._has(name) and await self._made(name)]

    async def served(self) -> list[WorkQueueResponse] | None:
        """Return the queues that are asked for and there; None for a whole pool."""
        if not self._request.queues and not self._request.prefixes:
            return None
        found: list[WorkQueueResponse] = []
        while len(page := await self._page(len(found))) == _PAGE:
            found += page
        return [queue for queue in [*found, *page] if self._is_asked_for(queue)]

    async def due(self, served: Sequence[WorkQueueResponse] | None, limit: int) -> list[UUID]:
        """Return the runs that are due, the first first."""
        before = datetime.now(UTC) + timedelta(seconds=self._request.prefetch_seconds)
        tagged = [queue for queue in served or () if self._is_tagged(queue)]
        names = [queue.name for queue in served or () if not self._is_tagged(queue)]
        places: dict[UUID, tuple[int, str]] = {}
        if served is None or names:  # to the server no names mean all queues (W10)
            priorities = {queue.id: queue.priority for queue in served or ()}
            wanted = PoolRuns(work_queue_names=names, scheduled_before=before, limit=limit)
            for one in await self._client.call(endpoints.pool_runs, wanted, name=self._pool):
                places[one.flow_run.id] = _place(priorities.get(one.work_queue_id, 0), one.flow_run)
        for queue in tagged:
            for run in await self._of_tags(queue, before):
                places.setdefault(run.id, _place(queue.priority, run))
        # Without queues with tags the order is the server's own.
        return sorted(places, key=lambda run_id: places[run_id]) if tagged else [*places]

    def _is_tagged(self, queue: WorkQueueResponse) -> bool:
        """Whether a queue takes runs by their tags: as in 2.20, for agents that name no pool (A154)."""
        return queue.filter is not None and self._request.pool is None

    async def _of_tags(self, queue: WorkQueueResponse, before: datetime) -> Sequence[FlowRun]:
        """Return what is due by a tag filter; the server sees to the limit, but not to the pool's pause."""
        pool = await self._client.call(endpoints.read_work_pool, name=self._pool)
        if queue.is_paused or pool.is_paused:  # W14
            return []
        wanted = QueueRuns(scheduled_before=before, limit=_PAGE)
        return await self._client.call(endpoints.queue_runs, wanted, id=queue.id)

    def _is_asked_for(self, queue: WorkQueueResponse) -> bool:
        prefixes = tuple(prefix.lower() for prefix in self._request.prefixes)
        return queue.name in self._request.queues or queue.name.lower().startswith(prefixes)

    async def _page(self, offset: int) -> list[WorkQueueResponse]:
        query = WorkQueueQuery(limit=_PAGE, offset=offset)
        return await self._client.call(endpoints.filter_pool_queues, query, work_pool_name=self._pool)

    async def _has(self, name: str) -> bool:
        try:
            await self._client.call(endpoints.read_pool_queue, work_pool_name=self._pool, name=name)
        except NotFoundError:
            return False
        return True

    async def _made(self, name: str) -> bool:
        """Make a queue; return whether nobody else was first."""
        body = WorkQueueCreate(name=name)
        try:
            if self._request.pool is None:
                await self._client.call(endpoints.create_work_queue, body)
            else:
                await self._client.call(endpoints.create_pool_queue, body, work_pool_name=self._pool)
        except ConflictError:
            return False
        return True


def _place(priority: int, run: FlowRun) -> tuple[int, str]:
    return priority, run.next_scheduled_start_time or ""
