"""Flow runs: asked for, found, their states proposed, explained, followed."""

from __future__ import annotations

from collections.abc import Sequence

from reeve import clock
from reeve.core.runs import FlowRun
from reeve.server.http.body import page
from reeve.server.http.created_by import created_by
from reeve.server.http.request import Answer, Request, created, serves
from reeve.server.services import attempts, explain, figures, find, follow, graphs, inputs, runs
from reeve.server.services.proposals import Asked
from reeve.server.services.states import Decision, proposed_state
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_flow_run)
async def create_flow_run(request: Request[requests.FlowRunCreate]) -> Answer[responses.FlowRunResponse]:
    run, new = await runs.create_flow_run(
        request.context, request.principal, request.body, created_by(request.headers)
    )
    return created(project.flow_run(run, clock.now()), new)


@serves(endpoints.read_flow_run)
async def read_flow_run(request: Request[None]) -> responses.FlowRunResponse:
    run = await runs.read_for(request.context, request.principal, request.path["id"])
    return project.flow_run(run, clock.now())


@serves(endpoints.update_flow_run)
async def update_flow_run(request: Request[requests.FlowRunUpdate]) -> None:
    await runs.update(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.delete_flow_run)
async def delete_flow_run(request: Request[None]) -> None:
    await runs.delete(request.context, request.path["id"])


@serves(endpoints.filter_flow_runs)
async def filter_flow_runs(request: Request[queries.FlowRunQuery]) -> list[responses.FlowRunResponse]:
    query = request.body
    found = await find.flow_runs(request.context, query, *page(query.limit, query.offset))
    now = clock.now()
    return [project.flow_run(run, now) for run in found]


async def set_flow_run_states(
    all_: Sequence[Request[requests.SetState]],
) -> list[Answer[responses.OrchestrationResult] | BaseException]:
    """Serve many requests for states at once."""
    decisions = await runs.propose_all(all_[0].context, [*map(_asked, all_)])
    return [each if isinstance(each, BaseException) else _decided(each) for each in decisions]


@serves(endpoints.set_flow_run_state, together=set_flow_run_states)
async def set_flow_run_state(
    request: Request[requests.SetState],
) -> Answer[responses.OrchestrationResult]:
    return _decided(await runs.propose(request.context, _asked(request)))


def _asked(request: Request[requests.SetState]) -> Asked:
    body = request.body
    return Asked(
        request.principal, request.path["id"], proposed_state(body.state), body.force, request.api_version
    )


def _decided(decision: Decision[FlowRun]) -> Answer[responses.OrchestrationResult]:
    return created(project.orchestration(decision.verdict, decision.state), decision.written)


@serves(endpoints.resume_flow_run)
async def resume_flow_run(request: Request[requests.Resume]) -> Answer[responses.OrchestrationResult]:
    decision = await inputs.resume(request.context, request.principal, request.path["id"], request.body)
    return created(project.orchestration(decision.verdict, decision.state), decision.written)


@serves(endpoints.cancel_flow_run)
async def cancel_flow_run(request: Request[requests.CancelRun]) -> responses.OrchestrationResult:
    decision = await runs.cancel(request.context, request.path["id"], request.body)
    return project.orchestration(decision.verdict, decision.state)


@serves(endpoints.flow_run_states)
async def flow_run_states(request: Request[None]) -> list[responses.State]:
    found = await runs.states(request.context, request.uuid_query("flow_run_id"))
    return [project.state(state) for state in found]


@serves(endpoints.read_flow_run_state)
async def read_flow_run_state(request: Request[None]) -> responses.State:
    return project.state(await runs.read_state(request.context, request.path["id"]))


@serves(endpoints.count_flow_runs)
async def count_flow_runs(request: Request[queries.FlowRunFilters]) -> int:
    return await figures.flow_runs(request.context, request.body)


@serves(endpoints.flow_run_history)
async def flow_run_history(request: Request[requests.FlowRunHistory]) -> list[responses.HistoryInterval]:
    return await figures.flow_run_history(request.context, request.body)


@serves(endpoints.flow_run_lateness)
async def flow_run_lateness(request: Request[queries.FlowRunFilters]) -> float | None:
    return await figures.average_lateness(request.context, request.body)


@serves(endpoints.flow_run_dependencies)
async def flow_run_dependencies(request: Request[None]) -> list[responses.Dependency]:
    found = await graphs.dependencies(request.context, request.path["id"])
    now = clock.now()
    return [project.dependency(run, now) for run in found]


@serves(endpoints.flow_run_graph)
async def flow_run_graph(request: Request[None]) -> responses.Graph:
    return await graphs.graph(request.context, request.path["id"], request.instant_query("since"))


@serves(endpoints.flow_run_attempts)
async def flow_run_attempts(request: Request[None]) -> list[responses.Attempt]:
    return await attempts.of_run(request.context, request.path["id"])


@serves(endpoints.explain_flow_run)
async def explain_flow_run(request: Request[None]) -> responses.Explanation:
    return await explain.explain(request.context, request.path["id"])


@serves(endpoints.follow_flow_run, held=True)
async def follow_flow_run(request: Request[requests.Follow]) -> responses.Followed:
    return await follow.follow(request.context, request.path["id"], request.body)
