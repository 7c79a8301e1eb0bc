"""Operations that 2.20's pages ask for."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import Endpoint

ui_flow_run_history: Endpoint[queries.FlowRunQuery, list[responses.SimpleFlowRun]] = Endpoint(
    "ui_flow_run_history",
    "POST",
    "/ui/flow_runs/history",
    queries.FlowRunQuery,
    list[responses.SimpleFlowRun],
    body_optional=True,
)
ui_count_task_runs: Endpoint[queries.TaskRunFilters, responses.CountByState] = Endpoint(
    "ui_count_task_runs",
    "POST",
    "/ui/task_runs/count",
    queries.TaskRunFilters,
    responses.CountByState,
    body_optional=True,
)
ui_task_run_dashboard: Endpoint[requests.TaskRunDashboard, list[responses.TaskRunCount]] = Endpoint(
    "ui_task_run_dashboard",
    "POST",
    "/ui/task_runs/dashboard/counts",
    requests.TaskRunDashboard,
    list[responses.TaskRunCount],
)
ui_check_values: Endpoint[requests.ValuesCheck, responses.ValuesVerdict] = Endpoint(
    "ui_check_values", "POST", "/ui/schemas/validate", requests.ValuesCheck, responses.ValuesVerdict
)
