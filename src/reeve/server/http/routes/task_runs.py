"""Task runs."""

from __future__ import annotations

from reeve import clock
from reeve.server.http.body import page
from reeve.server.http.request import Answer, Request, created, serves
from reeve.server.services import figures, find, task_runs
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_task_run)
async def create_task_run(request: Request[requests.TaskRunCreate]) -> Answer[responses.TaskRun]:
    run, new = await task_runs.create(request.context, request.principal, request.body)
    return created(project.task_run(run, clock.now()), new)


@serves(endpoints.read_task_run)
async def read_task_run(request: Request[None]) -> responses.TaskRun:
    return project.task_run(await task_runs.read(request.context, request.path["id"]), clock.now())


@serves(endpoints.update_task_run)
async def update_task_run(request: Request[requests.TaskRunUpdate]) -> None:
    await task_runs.update(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.filter_task_runs)
async def filter_task_runs(request: Request[queries.TaskRunQuery]) -> list[responses.TaskRun]:
    query = request.body
    found = await find.task_runs(request.context, query, *page(query.limit, query.offset))
    now = clock.now()
    return [project.task_run(run, now) for run in found]


@serves(endpoints.set_task_run_state)
async def set_task_run_state(
    request: Request[requests.SetState],
) -> Answer[responses.OrchestrationResult]:
    decision = await task_runs.propose(
        request.context, request.principal, request.path["id"], request.body, request.api_version
    )
    return created(project.orchestration(decision.verdict, decision.state), decision.written)


@serves(endpoints.task_run_states)
async def task_run_states(request: Request[None]) -> list[responses.State]:
    found = await task_runs.states(request.context, request.uuid_query("task_run_id"))
    return [project.state(state) for state in found]


@serves(endpoints.read_task_run_state)
async def read_task_run_state(request: Request[None]) -> responses.State:
    return project.state(await task_runs.read_state(request.context, request.path["id"]))


@serves(endpoints.delete_task_run)
async def delete_task_run(request: Request[None]) -> None:
    await task_runs.delete(request.context, request.path["id"])


@serves(endpoints.count_task_runs)
async def count_task_runs(request: Request[queries.TaskRunFilters]) -> int:
    return await figures.task_runs(request.context, request.body)


@serves(endpoints.task_run_history)
async def task_run_history(request: Request[requests.TaskRunHistory]) -> list[responses.HistoryInterval]:
    return await figures.task_run_history(request.context, request.body)
