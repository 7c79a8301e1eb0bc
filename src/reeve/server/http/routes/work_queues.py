"""Work queues by id or name, and what 2.20 agents ask of them."""

from __future__ import annotations

from reeve import clock
from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import find, waiting, work
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_work_queue)
async def create_work_queue(request: Request[requests.WorkQueueCreate]) -> responses.WorkQueueResponse:
    return project.work_queue(await work.create_queue(request.context, request.body))


@serves(endpoints.read_work_queue)
async def read_work_queue(request: Request[None]) -> responses.WorkQueueResponse:
    return project.work_queue(await work.read_queue(request.context, request.path["id"]))


@serves(endpoints.read_work_queue_by_name)
async def read_work_queue_by_name(request: Request[None]) -> responses.WorkQueueResponse:
    return project.work_queue(await work.read_queue_by_name(request.context, request.path["name"]))


@serves(endpoints.update_work_queue)
async def update_work_queue(request: Request[requests.WorkQueueUpdate]) -> None:
    await work.update_queue(request.context, request.path["id"], request.body)


@serves(endpoints.filter_work_queues)
async def filter_work_queues(request: Request[queries.WorkQueueQuery]) -> list[responses.WorkQueueResponse]:
    query = request.body
    found = await find.work_queues(request.context, query, *page(query.limit, query.offset))
    return [project.work_queue(queue) for queue in found]


@serves(endpoints.queue_runs)
async def queue_runs(request: Request[requests.QueueRuns]) -> list[responses.FlowRunResponse]:
    asked = request.body
    limit, _ = page(asked.limit)
    found = await waiting.queue_runs(
        request.context,
        request.path["id"],
        before=asked.scheduled_before,
        limit=limit,
        noted=request.headers.get(b"x-prefect-ui", b"").lower() != b"true",
    )
    now = clock.now()
    return [project.flow_run(run, now) for run in found]


@serves(endpoints.delete_work_queue)
async def delete_work_queue(request: Request[None]) -> None:
    await work.delete_queue(request.context, request.path["id"])


@serves(endpoints.work_queue_status)
async def work_queue_status(request: Request[None]) -> responses.WorkQueueStatusDetail:
    return await work.queue_status(request.context, request.path["id"])
