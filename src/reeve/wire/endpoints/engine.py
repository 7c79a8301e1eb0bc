"""Operations that the engine of any run asks for, whatever their noun: all that most runs load."""

from __future__ import annotations

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import RUN, Door, Endpoint

create_flow: Endpoint[requests.FlowCreate, responses.Flow] = Endpoint(
    "create_flow", "POST", "/flows/", requests.FlowCreate, responses.Flow, 201, door=RUN, again=200
)
create_flow_run: Endpoint[requests.FlowRunCreate, responses.FlowRunResponse] = Endpoint(
    "create_flow_run",
    "POST",
    "/flow_runs/",
    requests.FlowRunCreate,
    responses.FlowRunResponse,
    201,
    door=RUN,
    again=200,
)
read_flow_run: Endpoint[None, responses.FlowRunResponse] = Endpoint(
    "read_flow_run", "GET", "/flow_runs/{id}", None, responses.FlowRunResponse, door=RUN
)
update_flow_run: Endpoint[requests.FlowRunUpdate, None] = Endpoint(
    "update_flow_run", "PATCH", "/flow_runs/{id}", requests.FlowRunUpdate, None, 204, door=RUN
)
set_flow_run_state: Endpoint[requests.SetState, responses.OrchestrationResult] = Endpoint(
    "set_flow_run_state",
    "POST",
    "/flow_runs/{id}/set_state",
    requests.SetState,
    responses.OrchestrationResult,
    201,
    door=RUN,
    again=200,
)
create_task_run: Endpoint[requests.TaskRunCreate, responses.TaskRun] = Endpoint(
    "create_task_run",
    "POST",
    "/task_runs/",
    requests.TaskRunCreate,
    responses.TaskRun,
    201,
    door=RUN,
    again=200,
)
set_task_run_state: Endpoint[requests.SetState, responses.OrchestrationResult] = Endpoint(
    "set_task_run_state",
    "POST",
    "/task_runs/{id}/set_state",
    requests.SetState,
    responses.OrchestrationResult,
    201,
    door=RUN,
    again=200,
)
report_task_runs: Endpoint[requests.TaskRunReports, responses.TaskRunReceipt] = Endpoint(
    "report_task_runs",
    "POST",
    "/attempts/{id}/task_runs",
    requests.TaskRunReports,
    responses.TaskRunReceipt,
    refusals=(409,),
    door=Door.ATTEMPT,  # the holder of the flow runs alone
    dialect=False,
)
set_code_version: Endpoint[requests.CodeVersion, None] = Endpoint(
    "set_code_version",
    "PUT",
    "/attempts/{id}/code_version",
    requests.CodeVersion,
    None,
    204,
    door=Door.ATTEMPT,
    dialect=False,
)
create_logs: Endpoint[list[requests.LogCreate], None] = Endpoint(
    "create_logs", "POST", "/logs/", list[requests.LogCreate], None, 201, door=RUN
)
