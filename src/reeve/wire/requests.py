"""The bodies of requests. 2.20 request models refuse unknown fields; composite bodies ignore them (§1)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from reeve.core.deployments import Engine
from reeve.core.runs import FlowRunPolicy, TaskRunPolicy
from reeve.core.states import StateDetails, StateType
from reeve.core.work import OnLost

Count = Annotated[int, Meta(ge=0)]
Seconds = float


class StateCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A proposed state; ``id`` and ``timestamp`` are accepted and dropped (api-contract §2, set_state)."""

    type: StateType
    name: str | None = None
    message: str | None = None
    data: Any = None
    state_details: StateDetails | None = None
    timestamp: datetime | None = None
    id: UUID | None = None


class SetState(Struct, kw_only=True):
    """Body of ``set_state``."""

    state: StateCreate
    force: bool = False


class FlowCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /flows/``."""

    name: str
    tags: list[str] = field(default_factory=list)


class FlowRunCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /flow_runs/``."""

    flow_id: UUID
    state: StateCreate | None = None
    name: str | None = None
    flow_version: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    parent_task_run_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    deployment_id: UUID | None = None


class FlowRunUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /flow_runs/{id}``: only what was sent is written."""

    name: str | None | UnsetType = UNSET
    flow_version: str | None | UnsetType = UNSET
    parameters: dict[str, Any] | None | UnsetType = UNSET
    empirical_policy: FlowRunPolicy | None | UnsetType = UNSET
    tags: list[str] | None | UnsetType = UNSET
    infrastructure_pid: str | None | UnsetType = UNSET
    job_variables: dict[str, Any] | None | UnsetType = UNSET


class DeploymentFlowRunCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``create_flow_run``: a run of a deployment."""

    state: StateCreate | None = None
    name: str | None = None
    parameters: dict[str, Any] | None = None
    enforce_parameter_schema: bool | None = None
    context: dict[str, Any] | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Any] | None = None


class TaskRunCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /task_runs/``."""

    task_key: str
    dynamic_key: str
    id: UUID | None = None
    state: StateCreate | None = None
    name: str | None = None
    flow_run_id: UUID | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    empirical_policy: TaskRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    task_inputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class TaskRunUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /task_runs/{id}``."""

    name: str | None | UnsetType = UNSET


class ScheduleCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``DeploymentScheduleCreate``; ``schedule`` is read by ``core.schedules``."""

    schedule: dict[str, Any]
    active: bool = True
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    catchup: bool = False


class DeploymentCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /deployments/``: creates, or updates the deployment of that flow and name."""

    name: str
    flow_id: UUID
    infra_overrides: dict[str, Any] | None = None
    is_schedule_active: bool | None = None
    paused: bool | None = None
    schedules: list[ScheduleCreate] | None = None
    enforce_parameter_schema: bool = False
    parameter_openapi_schema: dict[str, Any] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    pull_steps: list[dict[str, Any]] | None = None
    manifest_path: str | None = None
    work_queue_name: str | None = None
    work_pool_name: str | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    schedule: dict[str, Any] | None = None
    description: str | None = None
    path: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    job_variables: dict[str, Any] | None = None


class DeploymentUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /deployments/{id}``: only what was sent is written."""

    infra_overrides: dict[str, Any] | None | UnsetType = UNSET
    version: str | None | UnsetType = UNSET
    schedule: dict[str, Any] | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    is_schedule_active: bool | None | UnsetType = UNSET
    paused: bool | None | UnsetType = UNSET
    schedules: list[ScheduleCreate] | None | UnsetType = UNSET
    parameters: dict[str, Any] | None | UnsetType = UNSET
    tags: list[str] | None | UnsetType = UNSET
    work_queue_name: str | None | UnsetType = UNSET
    work_pool_name: str | None | UnsetType = UNSET
    path: str | None | UnsetType = UNSET
    job_variables: dict[str, Any] | None | UnsetType = UNSET
    entrypoint: str | None | UnsetType = UNSET
    manifest_path: str | None | UnsetType = UNSET
    storage_document_id: UUID | None | UnsetType = UNSET
    infrastructure_document_id: UUID | None | UnsetType = UNSET
    enforce_parameter_schema: bool | None | UnsetType = UNSET


class WorkPoolCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /work_pools/``."""

    name: str
    description: str | None = None
    type: str = "prefect-agent"
    base_job_template: dict[str, Any] = field(default_factory=dict)
    is_paused: bool = False
    concurrency_limit: Count | None = None


class WorkPoolUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /work_pools/{name}``."""

    description: str | None | UnsetType = UNSET
    is_paused: bool | None | UnsetType = UNSET
    base_job_template: dict[str, Any] | None | UnsetType = UNSET
    concurrency_limit: Count | None | UnsetType = UNSET


class WorkQueueCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of the two routes that create a queue."""

    name: str
    description: str | None = ""
    is_paused: bool = False
    concurrency_limit: Count | None = None
    priority: Annotated[int, Meta(ge=1)] | None = None
    filter: dict[str, Any] | None = None


class WorkQueueUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of the two routes that change a queue."""

    name: str | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    is_paused: bool | None | UnsetType = UNSET
    concurrency_limit: Count | None | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=1)] | None | UnsetType = UNSET
    last_polled: datetime | None | UnsetType = UNSET
    filter: dict[str, Any] | None | UnsetType = UNSET


class LogCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """One line of the bare list that ``POST /logs/`` takes."""

    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class ArtifactCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /artifacts/``."""

    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class FlowRunInputCreate(Struct, kw_only=True):
    """Body of ``POST /flow_runs/{id}/input``."""

    key: str
    value: str
    sender: str | None = None


class FlowRunInputFilter(Struct, kw_only=True):
    """Body of ``POST /flow_runs/{id}/input/filter``."""

    prefix: str
    limit: int = 1
    exclude_keys: list[str] = field(default_factory=list)


class Resume(Struct, kw_only=True):
    """Body of ``resume``."""

    run_input: dict[str, Any] | None = None


class QueueRuns(Struct, kw_only=True):
    """Body of ``POST /work_queues/{id}/get_runs``."""

    scheduled_before: datetime | None = None
    agent_id: UUID | None = None
    limit: int | None = None


class PoolRuns(Struct, kw_only=True):
    """Body of ``POST /work_pools/{name}/get_scheduled_flow_runs``."""

    work_queue_names: list[str] | None = None
    scheduled_before: datetime | None = None
    scheduled_after: datetime | None = None
    limit: int | None = None


class DeploymentRuns(Struct, kw_only=True):
    """Body of ``POST /deployments/get_scheduled_flow_runs``."""

    deployment_ids: list[UUID]
    scheduled_before: datetime | None = None
    limit: int | None = None


class WorkerHeartbeat(Struct, kw_only=True):
    """Body of ``workers/heartbeat``."""

    name: str
    heartbeat_interval_seconds: int | None = None


class Slots(Struct, kw_only=True):
    """Body of ``/v2/concurrency_limits/increment`` and ``/decrement``."""

    slots: Annotated[int, Meta(gt=0)]
    names: list[str]
    mode: str = "concurrency"
    occupancy_seconds: float | None = None


# --- reeve's own ---------------------------------------------------------------------------------


class DeploymentOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PUT /deployments/{id}/options``."""

    engine: Engine = Engine.REEVE
    crash_retries: Count = 0
    code_version: str | None = None


class PoolOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PUT /work_pools/{name}/options``."""

    on_lost: OnLost


class CancelRun(Struct, kw_only=True):
    """Body of ``POST /flow_runs/{id}/cancel``; with ``force`` the run ends without proof, by ``by``."""

    force: bool = False
    by: str | None = None


class Register(Struct, kw_only=True):
    """An agent that starts. ``held``: the attempts its journal and shim know; ``limit``: its slots."""

    id: UUID
    name: str
    host: str
    machine_id: str
    boot_id: str
    pool: str | None = None
    queues: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    limit: int | None = None
    version: str
    held: list[UUID] = field(default_factory=list)


class Poll(Struct, kw_only=True):
    """The agent's one open request (protocol §6): free slots, what it holds, the grant it has journaled."""

    epoch: int
    seq: int
    free: int
    held: list[UUID]
    acked_grant: int
    stopping: list[UUID] = field(default_factory=list)  # being ended already: not to be told again
    hold_seconds: float = 25.0


class AttemptToken(Struct, kw_only=True):
    """An attempt and the token that speaks for it."""

    id: UUID
    token: str


class Renew(Struct, kw_only=True):
    """Renew leases: the tokens are the authority, whoever sends them (protocol §9, the shim)."""

    attempts: list[AttemptToken]


class Report(Struct, kw_only=True, tag_field="kind"):
    """What every report about an attempt carries."""

    seq: int


class Launched(Report, kw_only=True, tag="launched"):
    """The process was started; ``infrastructure_pid`` is how 2.20 writes the handle (A116)."""

    handle: dict[str, Any]
    infrastructure_pid: str


class NotLaunched(Report, kw_only=True, tag="not_launched"):
    """No process was started. ``permanent``: trying again cannot help; the run fails with the reason."""

    reason: str
    permanent: bool = False


class Exited(Report, kw_only=True, tag="exited"):
    """The process and all it started are observed gone."""

    exit_code: int | None = None
    signal: int | None = None
    cause: str
    stopped: bool = False  # ended on request
    cpu_seconds: float | None = None
    max_rss_kib: int | None = None
    output_tail: str | None = None
    output_lost_bytes: int = 0


class StopFailed(Report, kw_only=True, tag="stop_failed"):
    """The tree could not be ended; the run stays Cancelling and says why (protocol §8)."""

    reason: str


AnyReport = Launched | NotLaunched | Exited | StopFailed


class Reports(Struct, kw_only=True):
    """Reports of one attempt, by ascending ``seq``."""

    epoch: int
    reports: list[AnyReport]


class OutputChunk(Struct, kw_only=True):
    """A piece of a run's standard stream: the lines from byte ``offset`` on (protocol §7)."""

    stream: str
    offset: int
    text: str
    timestamp: datetime


class Output(Struct, kw_only=True):
    """Captured output of one attempt."""

    epoch: int
    chunks: list[OutputChunk]


class Farewell(Struct, kw_only=True):
    """An agent that stops in order; ``detached``: its runs go on."""

    epoch: int
    detached: bool = False


class Follow(Struct, kw_only=True):
    """Wait up to ``hold_seconds`` for news of a run after the cursors (0 = from the start)."""

    state_cursor: int = 0
    log_cursor: int = 0
    hold_seconds: float = 20.0
