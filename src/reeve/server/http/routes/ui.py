"""What 2.20's pages ask for."""

from __future__ import annotations

from reeve.server.http.body import InvalidRequestError, page
from reeve.server.http.faults import beyond
from reeve.server.http.request import Request, serves
from reeve.server.services import figures, forms
from reeve.wire import endpoints, queries, requests, responses

DOTS = 1000  # the longest history of flow runs, and the usual one


@serves(endpoints.ui_flow_run_history)
async def ui_flow_run_history(request: Request[queries.FlowRunQuery]) -> list[responses.SimpleFlowRun]:
    query = request.body
    _, offset = page(None, query.offset)
    return await figures.simple_flow_runs(request.context, query, _dots(query.limit), offset)


@serves(endpoints.ui_count_task_runs)
async def ui_count_task_runs(request: Request[queries.TaskRunFilters]) -> responses.CountByState:
    return await figures.task_runs_by_state(request.context, request.body)


@serves(endpoints.ui_task_run_dashboard)
async def ui_task_run_dashboard(
    request: Request[requests.TaskRunDashboard],
) -> list[responses.TaskRunCount]:
    return await figures.dashboard(request.context, request.body)


@serves(endpoints.ui_check_values)
async def ui_check_values(request: Request[requests.ValuesCheck]) -> responses.ValuesVerdict:
    return await forms.check(request.context, request.body)


def _dots(limit: int | None) -> int:
    if limit is None:
        return DOTS
    if limit > DOTS:
        raise InvalidRequestError(beyond(("body", "limit"), "<=", DOTS))
    if limit < 0:
        raise InvalidRequestError(beyond(("body", "limit"), ">=", 0))
    return limit
