"""Work pools, their queues, and what 2.20 workers ask of them."""

from __future__ import annotations

from reeve import clock
from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import find, waiting, work
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_work_pool)
async def create_work_pool(request: Request[requests.WorkPoolCreate]) -> responses.WorkPool:
    return project.work_pool(await work.create_pool(request.context, request.body))


@serves(endpoints.read_work_pool)
async def read_work_pool(request: Request[None]) -> responses.WorkPool:
    return project.work_pool(await work.read_pool(request.context, request.path["name"]))


@serves(endpoints.update_work_pool)
async def update_work_pool(request: Request[requests.WorkPoolUpdate]) -> None:
    await work.update_pool(request.context, request.path["name"], request.body)


@serves(endpoints.set_pool_options)
async def set_pool_options(request: Request[requests.PoolOptions]) -> responses.PoolOptions:
    pool = await work.set_pool_options(request.context, request.path["name"], request.body)
    return responses.PoolOptions(on_lost=pool.on_lost)


@serves(endpoints.filter_work_pools)
async def filter_work_pools(request: Request[queries.WorkPoolQuery]) -> list[responses.WorkPool]:
    query = request.body
    found = await find.work_pools(request.context, query, *page(query.limit, query.offset))
    return [project.work_pool(pool) for pool in found]


@serves(endpoints.pool_runs)
async def pool_runs(request: Request[requests.PoolRuns]) -> list[responses.WorkerFlowRunResponse]:
    asked = request.body
    limit, _ = page(asked.limit)
    found = await waiting.pool_runs(
        request.context,
        request.path["name"],
        asked.work_queue_names or [],
        before=asked.scheduled_before,
        after=asked.scheduled_after,
        limit=limit,
    )
    now = clock.now()
    return [
        responses.WorkerFlowRunResponse(
            work_pool_id=run.work_pool_id,
            work_queue_id=run.work_queue_id,
            flow_run=project.flow_run_of_poll(run, now),
        )
        for run in found
        if run.work_pool_id and run.work_queue_id
    ]


@serves(endpoints.worker_heartbeat)
async def worker_heartbeat(request: Request[requests.WorkerHeartbeat]) -> None:
    await work.hear_worker(request.context, request.path["work_pool_name"], request.body)


@serves(endpoints.create_pool_queue)
async def create_pool_queue(request: Request[requests.WorkQueueCreate]) -> responses.WorkQueueResponse:
    pool_name = request.path["work_pool_name"]
    return project.work_queue(await work.create_pool_queue(request.context, pool_name, request.body))


@serves(endpoints.read_pool_queue)
async def read_pool_queue(request: Request[None]) -> responses.WorkQueueResponse:
    pool_name, name = request.path["work_pool_name"], request.path["name"]
    return project.work_queue(await work.read_pool_queue(request.context, pool_name, name))


@serves(endpoints.update_pool_queue)
async def update_pool_queue(request: Request[requests.WorkQueueUpdate]) -> None:
    pool_name, name = request.path["work_pool_name"], request.path["name"]
    await work.update_pool_queue(request.context, pool_name, name, request.body)


@serves(endpoints.filter_pool_queues)
async def filter_pool_queues(request: Request[queries.WorkQueueQuery]) -> list[responses.WorkQueueResponse]:
    query, pool_name = request.body, request.path["work_pool_name"]
    found = await find.pool_queues(request.context, pool_name, query, *page(query.limit, query.offset))
    return [project.work_queue(queue) for queue in found]


@serves(endpoints.delete_work_pool)
async def delete_work_pool(request: Request[None]) -> None:
    await work.delete_pool(request.context, request.path["name"])


@serves(endpoints.count_work_pools)
async def count_work_pools(request: Request[queries.WorkPoolFilters]) -> int:
    return await find.count_work_pools(request.context, request.body)


@serves(endpoints.delete_pool_queue)
async def delete_pool_queue(request: Request[None]) -> None:
    await work.delete_pool_queue(request.context, request.path["work_pool_name"], request.path["name"])


@serves(endpoints.filter_workers)
async def filter_workers(request: Request[queries.WorkerQuery]) -> list[responses.Worker]:
    query, pool_name = request.body, request.path["work_pool_name"]
    return await find.workers(request.context, pool_name, query, *page(query.limit, query.offset))


@serves(endpoints.delete_worker)
async def delete_worker(request: Request[None]) -> None:
    await work.delete_worker(request.context, request.path["work_pool_name"], request.path["name"])
