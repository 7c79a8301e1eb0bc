"""Every operation of the API, declared once: the server serves this table, the client calls it.

Paths are relative to ``/api``. Parameters in braces are text unless their name is ``id`` or ends with
``_id``: these are UUIDs. The 2.20 part follows ``contract/endpoints.tsv``; reeve's own part comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from reeve.wire import filters, requests, responses

Req = TypeVar("Req")
Res = TypeVar("Res")


class Door(Enum):
    """Who may come in (protocol §4, §11)."""

    ANYONE = "anyone"  # health and versions
    ATTEMPT = "attempt"  # operators, and an attempt for what its run needs
    OPERATOR = "operator"  # a key of the home


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Req, Res]):
    """One operation. ``request`` is the body's type (None: no body), ``response`` the answer's."""

    name: str
    method: str
    path: str
    request: Any  # type[Req], which cannot say "or a union"
    response: Any  # type[Res]
    status: int = 200
    door: Door = Door.OPERATOR
    query: tuple[str, ...] = ()
    body_optional: bool = False  # an empty body means an empty object (api-contract §1, /filter)
    dialect: bool = True  # part of the 2.20 dialect, and so under its version header


E = Endpoint[Any, Any]
_A = Door.ATTEMPT


def _filter(
    name: str, path: str, request: type[Req], response: type[Res], door: Door = _A
) -> Endpoint[Req, list[Res]]:
    return Endpoint(name, "POST", path, request, list[response], door=door, body_optional=True)  # type: ignore[valid-type]


# --- service -------------------------------------------------------------------------------------
health: Endpoint[None, bool] = Endpoint(
    "health", "GET", "/health", None, bool, door=Door.ANYONE, dialect=False
)
version: Endpoint[None, str] = Endpoint(
    "version", "GET", "/version", None, str, door=Door.ANYONE, dialect=False
)
ready: Endpoint[None, dict[str, str]] = Endpoint(
    "ready", "GET", "/ready", None, dict[str, str], door=Door.ANYONE, dialect=False
)
hello: Endpoint[None, str] = Endpoint("hello", "GET", "/hello", None, str, door=Door.ANYONE)
admin_version: Endpoint[None, str] = Endpoint(
    "admin_version", "GET", "/admin/version", None, str, door=Door.ANYONE
)
clear_database: Endpoint[dict[str, Any], None] = Endpoint(
    "clear_database", "POST", "/admin/database/clear", dict[str, Any], None, 204, body_optional=True
)
csrf_token: Endpoint[None, dict[str, Any]] = Endpoint(
    "csrf_token", "GET", "/csrf-token", None, dict[str, Any], query=("client",), door=_A
)

# --- flows ---------------------------------------------------------------------------------------
create_flow: Endpoint[requests.FlowCreate, responses.Flow] = Endpoint(
    "create_flow", "POST", "/flows/", requests.FlowCreate, responses.Flow, 201, door=_A
)
read_flow: Endpoint[None, responses.Flow] = Endpoint(
    "read_flow", "GET", "/flows/{id}", None, responses.Flow, door=_A
)
read_flow_by_name: Endpoint[None, responses.Flow] = Endpoint(
    "read_flow_by_name", "GET", "/flows/name/{name}", None, responses.Flow, door=_A
)
filter_flows = _filter("filter_flows", "/flows/filter", filters.FlowQuery, responses.Flow)

# --- deployments ---------------------------------------------------------------------------------
create_deployment: Endpoint[requests.DeploymentCreate, responses.DeploymentResponse] = Endpoint(
    "create_deployment", "POST", "/deployments/", requests.DeploymentCreate, responses.DeploymentResponse, 201
)
update_deployment: Endpoint[requests.DeploymentUpdate, None] = Endpoint(
    "update_deployment", "PATCH", "/deployments/{id}", requests.DeploymentUpdate, None, 204
)
delete_deployment: Endpoint[None, None] = Endpoint(
    "delete_deployment", "DELETE", "/deployments/{id}", None, None, 204
)
read_deployment: Endpoint[None, responses.DeploymentResponse] = Endpoint(
    "read_deployment", "GET", "/deployments/{id}", None, responses.DeploymentResponse, door=_A
)
read_deployment_by_name: Endpoint[None, responses.DeploymentResponse] = Endpoint(
    "read_deployment_by_name",
    "GET",
    "/deployments/name/{flow_name}/{deployment_name}",
    None,
    responses.DeploymentResponse,
    door=_A,
)
filter_deployments = _filter(
    "filter_deployments", "/deployments/filter", filters.DeploymentQuery, responses.DeploymentResponse
)
create_run_of_deployment: Endpoint[requests.DeploymentFlowRunCreate, responses.FlowRunResponse] = Endpoint(
    "create_run_of_deployment",
    "POST",
    "/deployments/{id}/create_flow_run",
    requests.DeploymentFlowRunCreate,
    responses.FlowRunResponse,
    201,
    door=_A,
    body_optional=True,
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

# --- flow runs -----------------------------------------------------------------------------------
create_flow_run: Endpoint[requests.FlowRunCreate, responses.FlowRunResponse] = Endpoint(
    "create_flow_run", "POST", "/flow_runs/", requests.FlowRunCreate, responses.FlowRunResponse, 201, door=_A
)
read_flow_run: Endpoint[None, responses.FlowRunResponse] = Endpoint(
    "read_flow_run", "GET", "/flow_runs/{id}", None, responses.FlowRunResponse, door=_A
)
update_flow_run: Endpoint[requests.FlowRunUpdate, None] = Endpoint(
    "update_flow_run", "PATCH", "/flow_runs/{id}", requests.FlowRunUpdate, None, 204, door=_A
)
delete_flow_run: Endpoint[None, None] = Endpoint(
    "delete_flow_run", "DELETE", "/flow_runs/{id}", None, None, 204
)
filter_flow_runs = _filter(
    "filter_flow_runs", "/flow_runs/filter", filters.FlowRunQuery, responses.FlowRunResponse
)
set_flow_run_state: Endpoint[requests.SetState, responses.OrchestrationResult] = Endpoint(
    "set_flow_run_state",
    "POST",
    "/flow_runs/{id}/set_state",
    requests.SetState,
    responses.OrchestrationResult,
    201,
    door=_A,
)
resume_flow_run: Endpoint[requests.Resume, responses.OrchestrationResult] = Endpoint(
    "resume_flow_run",
    "POST",
    "/flow_runs/{id}/resume",
    requests.Resume,
    responses.OrchestrationResult,
    201,
    door=_A,
    body_optional=True,
)
flow_run_states: Endpoint[None, list[responses.State]] = Endpoint(
    "flow_run_states",
    "GET",
    "/flow_run_states/",
    None,
    list[responses.State],
    query=("flow_run_id",),
    door=_A,
)
create_input: Endpoint[requests.FlowRunInputCreate, None] = Endpoint(
    "create_input", "POST", "/flow_runs/{id}/input", requests.FlowRunInputCreate, None, 201, door=_A
)
filter_inputs: Endpoint[requests.FlowRunInputFilter, list[responses.FlowRunInput]] = Endpoint(
    "filter_inputs",
    "POST",
    "/flow_runs/{id}/input/filter",
    requests.FlowRunInputFilter,
    list[responses.FlowRunInput],
    door=_A,
)
read_input: Endpoint[None, bytes] = Endpoint(
    "read_input", "GET", "/flow_runs/{id}/input/{key}", None, bytes, door=_A
)
delete_input: Endpoint[None, None] = Endpoint(
    "delete_input", "DELETE", "/flow_runs/{id}/input/{key}", None, None, 204, door=_A
)

# --- task runs -----------------------------------------------------------------------------------
create_task_run: Endpoint[requests.TaskRunCreate, responses.TaskRun] = Endpoint(
    "create_task_run", "POST", "/task_runs/", requests.TaskRunCreate, responses.TaskRun, 201, door=_A
)
read_task_run: Endpoint[None, responses.TaskRun] = Endpoint(
    "read_task_run", "GET", "/task_runs/{id}", None, responses.TaskRun, door=_A
)
update_task_run: Endpoint[requests.TaskRunUpdate, None] = Endpoint(
    "update_task_run", "PATCH", "/task_runs/{id}", requests.TaskRunUpdate, None, 204, door=_A
)
filter_task_runs = _filter("filter_task_runs", "/task_runs/filter", filters.TaskRunQuery, responses.TaskRun)
set_task_run_state: Endpoint[requests.SetState, responses.OrchestrationResult] = Endpoint(
    "set_task_run_state",
    "POST",
    "/task_runs/{id}/set_state",
    requests.SetState,
    responses.OrchestrationResult,
    201,
    door=_A,
)
task_run_states: Endpoint[None, list[responses.State]] = Endpoint(
    "task_run_states",
    "GET",
    "/task_run_states/",
    None,
    list[responses.State],
    query=("task_run_id",),
    door=_A,
)

# --- logs, artifacts, variables, limits ----------------------------------------------------------
create_logs: Endpoint[list[requests.LogCreate], None] = Endpoint(
    "create_logs", "POST", "/logs/", list[requests.LogCreate], None, 201, door=_A
)
filter_logs = _filter("filter_logs", "/logs/filter", filters.LogQuery, responses.Log)
create_artifact: Endpoint[requests.ArtifactCreate, responses.Artifact] = Endpoint(
    "create_artifact", "POST", "/artifacts/", requests.ArtifactCreate, responses.Artifact, 201, door=_A
)
read_variable: Endpoint[None, responses.Variable] = Endpoint(
    "read_variable", "GET", "/variables/name/{name}", None, responses.Variable, door=_A
)
increment_slots: Endpoint[requests.Slots, list[responses.MinimalConcurrencyLimit]] = Endpoint(
    "increment_slots",
    "POST",
    "/v2/concurrency_limits/increment",
    requests.Slots,
    list[responses.MinimalConcurrencyLimit],
    door=_A,
)
decrement_slots: Endpoint[requests.Slots, list[responses.MinimalConcurrencyLimit]] = Endpoint(
    "decrement_slots",
    "POST",
    "/v2/concurrency_limits/decrement",
    requests.Slots,
    list[responses.MinimalConcurrencyLimit],
    door=_A,
)

# --- blocks --------------------------------------------------------------------------------------
read_block_document: Endpoint[None, responses.BlockDocument] = Endpoint(
    "read_block_document",
    "GET",
    "/block_documents/{id}",
    None,
    responses.BlockDocument,
    query=("include_secrets",),
    door=_A,
)
read_block_document_by_name: Endpoint[None, responses.BlockDocument] = Endpoint(
    "read_block_document_by_name",
    "GET",
    "/block_types/slug/{slug}/block_documents/name/{block_document_name}",
    None,
    responses.BlockDocument,
    query=("include_secrets",),
    door=_A,
)
read_block_schema: Endpoint[None, responses.BlockSchema] = Endpoint(
    "read_block_schema", "GET", "/block_schemas/{id}", None, responses.BlockSchema, door=_A
)
read_block_type: Endpoint[None, responses.BlockType] = Endpoint(
    "read_block_type", "GET", "/block_types/{id}", None, responses.BlockType, door=_A
)
read_block_type_by_slug: Endpoint[None, responses.BlockType] = Endpoint(
    "read_block_type_by_slug", "GET", "/block_types/slug/{slug}", None, responses.BlockType, door=_A
)

# --- work pools and queues -----------------------------------------------------------------------
create_work_pool: Endpoint[requests.WorkPoolCreate, responses.WorkPool] = Endpoint(
    "create_work_pool", "POST", "/work_pools/", requests.WorkPoolCreate, responses.WorkPool, 201
)
read_work_pool: Endpoint[None, responses.WorkPool] = Endpoint(
    "read_work_pool", "GET", "/work_pools/{name}", None, responses.WorkPool
)
update_work_pool: Endpoint[requests.WorkPoolUpdate, None] = Endpoint(
    "update_work_pool", "PATCH", "/work_pools/{name}", requests.WorkPoolUpdate, None, 204
)
filter_work_pools = _filter(
    "filter_work_pools", "/work_pools/filter", filters.WorkPoolQuery, responses.WorkPool, Door.OPERATOR
)
pool_runs: Endpoint[requests.PoolRuns, list[responses.WorkerFlowRunResponse]] = Endpoint(
    "pool_runs",
    "POST",
    "/work_pools/{name}/get_scheduled_flow_runs",
    requests.PoolRuns,
    list[responses.WorkerFlowRunResponse],
    body_optional=True,
)
worker_heartbeat: Endpoint[requests.WorkerHeartbeat, None] = Endpoint(
    "worker_heartbeat",
    "POST",
    "/work_pools/{work_pool_name}/workers/heartbeat",
    requests.WorkerHeartbeat,
    None,
    204,
)
create_pool_queue: Endpoint[requests.WorkQueueCreate, responses.WorkQueueResponse] = Endpoint(
    "create_pool_queue",
    "POST",
    "/work_pools/{work_pool_name}/queues",
    requests.WorkQueueCreate,
    responses.WorkQueueResponse,
    201,
)
read_pool_queue: Endpoint[None, responses.WorkQueueResponse] = Endpoint(
    "read_pool_queue", "GET", "/work_pools/{work_pool_name}/queues/{name}", None, responses.WorkQueueResponse
)
update_pool_queue: Endpoint[requests.WorkQueueUpdate, None] = Endpoint(
    "update_pool_queue",
    "PATCH",
    "/work_pools/{work_pool_name}/queues/{name}",
    requests.WorkQueueUpdate,
    None,
    204,
)
filter_pool_queues = _filter(
    "filter_pool_queues",
    "/work_pools/{work_pool_name}/queues/filter",
    filters.WorkQueueQuery,
    responses.WorkQueueResponse,
    Door.OPERATOR,
)
create_work_queue: Endpoint[requests.WorkQueueCreate, responses.WorkQueueResponse] = Endpoint(
    "create_work_queue", "POST", "/work_queues/", requests.WorkQueueCreate, responses.WorkQueueResponse, 201
)
read_work_queue: Endpoint[None, responses.WorkQueueResponse] = Endpoint(
    "read_work_queue", "GET", "/work_queues/{id}", None, responses.WorkQueueResponse
)
read_work_queue_by_name: Endpoint[None, responses.WorkQueueResponse] = Endpoint(
    "read_work_queue_by_name", "GET", "/work_queues/name/{name}", None, responses.WorkQueueResponse
)
update_work_queue: Endpoint[requests.WorkQueueUpdate, None] = Endpoint(
    "update_work_queue", "PATCH", "/work_queues/{id}", requests.WorkQueueUpdate, None, 204
)
filter_work_queues = _filter(
    "filter_work_queues",
    "/work_queues/filter",
    filters.WorkQueueQuery,
    responses.WorkQueueResponse,
    Door.OPERATOR,
)
queue_runs: Endpoint[requests.QueueRuns, list[responses.FlowRunResponse]] = Endpoint(
    "queue_runs",
    "POST",
    "/work_queues/{id}/get_runs",
    requests.QueueRuns,
    list[responses.FlowRunResponse],
    body_optional=True,
)

# --- reeve's own ---------------------------------------------------------------------------------
server_info: Endpoint[None, responses.ServerInfo] = Endpoint(
    "server_info", "GET", "/reeve", None, responses.ServerInfo, door=Door.ANYONE, dialect=False
)
register_agent: Endpoint[requests.Register, responses.Registration] = Endpoint(
    "register_agent", "POST", "/agents/register", requests.Register, responses.Registration, dialect=False
)
poll_agent: Endpoint[requests.Poll, responses.Work] = Endpoint(
    "poll_agent", "POST", "/agents/{id}/poll", requests.Poll, responses.Work, dialect=False
)
stop_agent: Endpoint[requests.Farewell, None] = Endpoint(
    "stop_agent", "POST", "/agents/{id}/stop", requests.Farewell, None, 204, dialect=False
)
list_agents: Endpoint[None, list[responses.Agent]] = Endpoint(
    "list_agents", "GET", "/agents", None, list[responses.Agent], dialect=False
)
renew_attempts: Endpoint[requests.Renew, responses.Renewal] = Endpoint(
    "renew_attempts",
    "POST",
    "/attempts/renew",
    requests.Renew,
    responses.Renewal,
    door=Door.ANYONE,  # each attempt's token is checked
    dialect=False,
)
report_attempt: Endpoint[requests.Reports, responses.Receipt] = Endpoint(
    "report_attempt", "POST", "/attempts/{id}/reports", requests.Reports, responses.Receipt, dialect=False
)
attempt_output: Endpoint[requests.Output, None] = Endpoint(
    "attempt_output", "POST", "/attempts/{id}/output", requests.Output, None, 204, dialect=False
)
flow_run_attempts: Endpoint[None, list[responses.Attempt]] = Endpoint(
    "flow_run_attempts", "GET", "/flow_runs/{id}/attempts", None, list[responses.Attempt], dialect=False
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
    body_optional=True,
    dialect=False,
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
set_pool_options: Endpoint[requests.PoolOptions, responses.PoolOptions] = Endpoint(
    "set_pool_options",
    "PUT",
    "/work_pools/{name}/options",
    requests.PoolOptions,
    responses.PoolOptions,
    dialect=False,
)

ENDPOINTS: tuple[E, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Endpoint))
