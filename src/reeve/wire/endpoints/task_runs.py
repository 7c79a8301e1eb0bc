"""Operations on task runs."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

read_task_run: Endpoint[None, responses.TaskRun] = Endpoint(
    "read_task_run", "GET", "/task_runs/{id}", None, responses.TaskRun, door=RUN
)
update_task_run: Endpoint[requests.TaskRunUpdate, None] = Endpoint(
    "update_task_run", "PATCH", "/task_runs/{id}", requests.TaskRunUpdate, None, 204, door=RUN
)
filter_task_runs = filtering("filter_task_runs", "/task_runs/filter", queries.TaskRunQuery, responses.TaskRun)
task_run_states: Endpoint[None, list[responses.State]] = Endpoint(
    "task_run_states",
    "GET",
    "/task_run_states/",
    None,
    list[responses.State],
    query=("task_run_id",),
    door=RUN,
)
delete_task_run: Endpoint[None, None] = Endpoint(
    "delete_task_run", "DELETE", "/task_runs/{id}", None, None, 204
)
count_task_runs: Endpoint[queries.TaskRunFilters, int] = Endpoint(
    "count_task_runs", "POST", "/task_runs/count", queries.TaskRunFilters, int, door=RUN, body_optional=True
)
task_run_history: Endpoint[requests.TaskRunHistory, list[responses.HistoryInterval]] = Endpoint(
    "task_run_history",
    "POST",
    "/task_runs/history",
    requests.TaskRunHistory,
    list[responses.HistoryInterval],
)
read_task_run_state: Endpoint[None, responses.State] = Endpoint(
    "read_task_run_state", "GET", "/task_run_states/{id}", None, responses.State, door=RUN
)
