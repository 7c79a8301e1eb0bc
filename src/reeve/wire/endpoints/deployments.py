"""Operations on deployments."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

create_deployment: Endpoint[requests.DeploymentCreate, responses.DeploymentResponse] = Endpoint(
    "create_deployment",
    "POST",
    "/deployments/",
    requests.DeploymentCreate,
    responses.DeploymentResponse,
    201,
    again=200,
)
update_deployment: Endpoint[requests.DeploymentUpdate, None] = Endpoint(
    "update_deployment", "PATCH", "/deployments/{id}", requests.DeploymentUpdate, None, 204
)
delete_deployment: Endpoint[None, None] = Endpoint(
    "delete_deployment", "DELETE", "/deployments/{id}", None, None, 204
)
read_deployment: Endpoint[None, responses.DeploymentResponse] = Endpoint(
    "read_deployment", "GET", "/deployments/{id}", None, responses.DeploymentResponse, door=RUN
)
read_deployment_by_name: Endpoint[None, responses.DeploymentResponse] = Endpoint(
    "read_deployment_by_name",
    "GET",
    "/deployments/name/{flow_name}/{deployment_name}",
    None,
    responses.DeploymentResponse,
    door=RUN,
)
filter_deployments = filtering(
    "filter_deployments", "/deployments/filter", queries.DeploymentQuery, responses.DeploymentResponse
)
create_run_of_deployment: Endpoint[requests.DeploymentFlowRunCreate, responses.FlowRunResponse] = Endpoint(
    "create_run_of_deployment",
    "POST",
    "/deployments/{id}/create_flow_run",
    requests.DeploymentFlowRunCreate,
    responses.FlowRunResponse,
    201,
    door=RUN,
    body_optional=True,
    again=200,
)
deployment_runs: Endpoint[requests.DeploymentRuns, list[responses.FlowRunResponse]] = Endpoint(
    "deployment_runs",
    "POST",
    "/deployments/get_scheduled_flow_runs",
    requests.DeploymentRuns,
    list[responses.FlowRunResponse],
)
pause_deployment: Endpoint[None, None] = Endpoint(
    "pause_deployment", "POST", "/deployments/{id}/pause_deployment", None, None
)
resume_deployment: Endpoint[None, None] = Endpoint(
    "resume_deployment", "POST", "/deployments/{id}/resume_deployment", None, None
)
read_deployment_options: Endpoint[None, responses.DeploymentOptions] = Endpoint(
    "read_deployment_options",
    "GET",
    "/deployments/{id}/options",
    None,
    responses.DeploymentOptions,
    dialect=False,
)
set_deployment_options: Endpoint[requests.DeploymentOptions, responses.DeploymentOptions] = Endpoint(
    "set_deployment_options",
    "PUT",
    "/deployments/{id}/options",
    requests.DeploymentOptions,
    responses.DeploymentOptions,
    dialect=False,
)
read_schedule_policies: Endpoint[None, list[responses.SchedulePolicy]] = Endpoint(
    "read_schedule_policies",
    "GET",
    "/deployments/{id}/schedule_policies",
    None,
    list[responses.SchedulePolicy],
    dialect=False,
)
set_schedule_policies: Endpoint[list[requests.SchedulePolicy], list[responses.SchedulePolicy]] = Endpoint(
    "set_schedule_policies",
    "PUT",
    "/deployments/{id}/schedule_policies",
    list[requests.SchedulePolicy],
    list[responses.SchedulePolicy],
    dialect=False,
)
count_deployments: Endpoint[queries.FlowRunFilters, int] = Endpoint(
    "count_deployments",
    "POST",
    "/deployments/count",
    queries.FlowRunFilters,
    int,
    door=RUN,
    body_optional=True,
)
read_schedules: Endpoint[None, list[responses.DeploymentSchedule]] = Endpoint(
    "read_schedules", "GET", "/deployments/{id}/schedules", None, list[responses.DeploymentSchedule], door=RUN
)
create_schedules: Endpoint[list[requests.ScheduleCreate], list[responses.DeploymentSchedule]] = Endpoint(
    "create_schedules",
    "POST",
    "/deployments/{id}/schedules",
    list[requests.ScheduleCreate],
    list[responses.DeploymentSchedule],
    201,
)
update_schedule: Endpoint[requests.ScheduleUpdate, None] = Endpoint(
    "update_schedule",
    "PATCH",
    "/deployments/{id}/schedules/{schedule_id}",
    requests.ScheduleUpdate,
    None,
    204,
)
delete_schedule: Endpoint[None, None] = Endpoint(
    "delete_schedule", "DELETE", "/deployments/{id}/schedules/{schedule_id}", None, None, 204
)
schedule_deployment: Endpoint[requests.Schedule, None] = Endpoint(
    "schedule_deployment",
    "POST",
    "/deployments/{id}/schedule",
    requests.Schedule,
    None,
    body_optional=True,
)
set_schedule_active: Endpoint[None, None] = Endpoint(
    "set_schedule_active", "POST", "/deployments/{id}/set_schedule_active", None, None
)
set_schedule_inactive: Endpoint[None, None] = Endpoint(
    "set_schedule_inactive", "POST", "/deployments/{id}/set_schedule_inactive", None, None
)
check_work_queues: Endpoint[None, list[responses.WorkQueue]] = Endpoint(
    "check_work_queues", "GET", "/deployments/{id}/work_queue_check", None, list[responses.WorkQueue]
)
