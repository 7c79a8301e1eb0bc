"""Operations on flow runs."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

delete_flow_run: Endpoint[None, None] = Endpoint(
    "delete_flow_run", "DELETE", "/flow_runs/{id}", None, None, 204
)
filter_flow_runs = filtering(
    "filter_flow_runs", "/flow_runs/filter", queries.FlowRunQuery, responses.FlowRunResponse
)
resume_flow_run: Endpoint[requests.Resume, responses.OrchestrationResult] = Endpoint(
    "resume_flow_run",
    "POST",
    "/flow_runs/{id}/resume",
    requests.Resume,
    responses.OrchestrationResult,
    201,
    door=RUN,
    body_optional=True,
    again=200,
)
flow_run_states: Endpoint[None, list[responses.State]] = Endpoint(
    "flow_run_states",
    "GET",
    "/flow_run_states/",
    None,
    list[responses.State],
    query=("flow_run_id",),
    door=RUN,
)
explain_flow_run: Endpoint[None, responses.Explanation] = Endpoint(
    "explain_flow_run", "GET", "/flow_runs/{id}/explain", None, responses.Explanation, dialect=False
)
cancel_flow_run: Endpoint[requests.CancelRun, responses.OrchestrationResult] = Endpoint(
    "cancel_flow_run",
    "POST",
    "/flow_runs/{id}/cancel",
    requests.CancelRun,
    responses.OrchestrationResult,
    body_optional=True,
    dialect=False,
)
follow_flow_run: Endpoint[requests.Follow, responses.Followed] = Endpoint(
    "follow_flow_run",
    "POST",
    "/flow_runs/{id}/follow",
    requests.Follow,
    responses.Followed,
    door=RUN,  # a flow waits for the runs it has asked for
    body_optional=True,
    dialect=False,
)
count_flow_runs: Endpoint[queries.FlowRunFilters, int] = Endpoint(
    "count_flow_runs", "POST", "/flow_runs/count", queries.FlowRunFilters, int, door=RUN, body_optional=True
)
flow_run_history: Endpoint[requests.FlowRunHistory, list[responses.HistoryInterval]] = Endpoint(
    "flow_run_history",
    "POST",
    "/flow_runs/history",
    requests.FlowRunHistory,
    list[responses.HistoryInterval],
)
flow_run_lateness: Endpoint[queries.FlowRunFilters, float | None] = Endpoint(
    "flow_run_lateness",
    "POST",
    "/flow_runs/lateness",
    queries.FlowRunFilters,
    float | None,
    body_optional=True,
)
flow_run_dependencies: Endpoint[None, list[responses.Dependency]] = Endpoint(
    "flow_run_dependencies", "GET", "/flow_runs/{id}/graph", None, list[responses.Dependency]
)
flow_run_graph: Endpoint[None, responses.Graph] = Endpoint(
    "flow_run_graph", "GET", "/flow_runs/{id}/graph-v2", None, responses.Graph, query=("since",)
)
read_flow_run_state: Endpoint[None, responses.State] = Endpoint(
    "read_flow_run_state", "GET", "/flow_run_states/{id}", None, responses.State, door=RUN
)
