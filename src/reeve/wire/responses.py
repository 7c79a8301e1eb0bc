"""The bodies of answers: 2.20 objects exactly (api-contract §5.1), reeve's own after them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct, field

from reeve.core.agents import AgentStatus
from reeve.core.attempts import AttemptKind, AttemptState
from reeve.core.deployments import DeploymentStatus, Engine
from reeve.core.runs import CreatedBy, FlowRunPolicy, TaskRunPolicy
from reeve.core.states import StateType
from reeve.core.work import OnLost, WorkStatus
from reeve.wire.codec import Timestamp


class StateDetails(Struct, kw_only=True):
    """``StateDetails`` of the 2.20 contract."""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: Timestamp | None = None
    cache_key: str | None = None
    cache_expiration: Timestamp | None = None
    untrackable_result: bool = False
    pause_timeout: Timestamp | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None


class State(Struct, kw_only=True):
    """``State`` of the 2.20 contract."""

    id: UUID
    type: StateType
    name: str
    timestamp: Timestamp
    message: str | None = None
    data: Any = None
    state_details: StateDetails


class Flow(Struct, kw_only=True):
    """``Flow``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    tags: list[str]


class FlowRun(Struct, kw_only=True):
    """``FlowRun``: what a pool's poll carries, without the pool's own fields."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    flow_id: UUID
    state_id: UUID | None = None
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    flow_version: str | None = None
    parameters: dict[str, Any]
    idempotency_key: str | None = None
    context: dict[str, Any]
    empirical_policy: FlowRunPolicy
    tags: list[str]
    parent_task_run_id: UUID | None = None
    state_type: StateType | None = None
    state_name: str | None = None
    run_count: int = 0
    expected_start_time: Timestamp | None = None
    next_scheduled_start_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0
    auto_scheduled: bool = False
    infrastructure_document_id: UUID | None = None
    infrastructure_pid: str | None = None
    created_by: CreatedBy | None = None
    state: State | None = None
    job_variables: dict[str, Any] | None = None


class FlowRunResponse(FlowRun, kw_only=True):
    """``FlowRunResponse``: a flow run with its pool."""

    work_pool_id: UUID | None = None
    work_pool_name: str | None = None


class WorkerFlowRunResponse(Struct, kw_only=True):
    """One run in the answer to a pool's poll."""

    work_pool_id: UUID
    work_queue_id: UUID
    flow_run: FlowRun


class TaskRun(Struct, kw_only=True):
    """``TaskRun``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    flow_run_id: UUID | None = None
    task_key: str
    dynamic_key: str
    cache_key: str | None = None
    cache_expiration: Timestamp | None = None
    task_version: str | None = None
    empirical_policy: TaskRunPolicy
    tags: list[str]
    state_id: UUID | None = None
    task_inputs: dict[str, list[dict[str, Any]]]
    state_type: StateType | None = None
    state_name: str | None = None
    run_count: int = 0
    flow_run_run_count: int = 0
    expected_start_time: Timestamp | None = None
    next_scheduled_start_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0
    state: State | None = None


class OrchestrationResult(Struct, kw_only=True):
    """The verdict on a proposed state; ``details``: ``type`` and by status ``reason``, ``delay_seconds``."""

    state: State | None
    status: str
    details: dict[str, Any]


class DeploymentSchedule(Struct, kw_only=True):
    """``DeploymentSchedule``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    deployment_id: UUID
    schedule: dict[str, Any]
    active: bool = True
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    catchup: bool = False


class DeploymentResponse(Struct, kw_only=True):
    """``DeploymentResponse``: the wire carries ``infra_overrides``, never ``job_variables``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    infra_overrides: dict[str, Any]
    name: str
    version: str | None = None
    description: str | None = None
    flow_id: UUID
    schedule: dict[str, Any] | None = None
    is_schedule_active: bool = True
    paused: bool = False
    schedules: list[DeploymentSchedule]
    parameters: dict[str, Any]
    tags: list[str]
    work_queue_name: str | None = None
    last_polled: Timestamp | None = None
    parameter_openapi_schema: dict[str, Any] | None = None
    path: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    entrypoint: str | None = None
    manifest_path: str | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    created_by: CreatedBy | None = None
    updated_by: CreatedBy | None = None
    work_pool_name: str | None = None
    status: DeploymentStatus = DeploymentStatus.NOT_READY
    enforce_parameter_schema: bool = False


class WorkPool(Struct, kw_only=True):
    """``WorkPool``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    description: str | None = None
    type: str
    base_job_template: dict[str, Any]
    is_paused: bool = False
    concurrency_limit: int | None = None
    status: WorkStatus | None = None
    default_queue_id: UUID | None = None


class WorkQueueResponse(Struct, kw_only=True):
    """``WorkQueueResponse``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    description: str = ""
    is_paused: bool = False
    concurrency_limit: int | None = None
    priority: int = 1
    work_pool_id: UUID | None = None
    filter: dict[str, Any] | None = None
    last_polled: Timestamp | None = None
    work_pool_name: str | None = None
    status: WorkStatus | None = None


class Log(Struct, kw_only=True):
    """``Log``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    level: int
    message: str
    timestamp: Timestamp
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class Variable(Struct, kw_only=True):
    """``Variable``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    value: str
    tags: list[str]


class Artifact(Struct, kw_only=True):
    """``Artifact``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class FlowRunInput(Struct, kw_only=True):
    """``FlowRunInput``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    flow_run_id: UUID
    key: str
    value: str
    sender: str | None = None


class MinimalConcurrencyLimit(Struct, kw_only=True):
    """``MinimalConcurrencyLimitResponse``."""

    id: UUID
    name: str
    limit: int


class BlockType(Struct, kw_only=True):
    """``BlockType``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    slug: str
    logo_url: str | None = None
    documentation_url: str | None = None
    description: str | None = None
    code_example: str | None = None
    is_protected: bool = False


class BlockSchema(Struct, kw_only=True):
    """``BlockSchema``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    checksum: str
    fields: dict[str, Any]
    block_type_id: UUID
    block_type: BlockType | None = None
    capabilities: list[str]
    version: str = "non-versioned"


class BlockDocument(Struct, kw_only=True):
    """``BlockDocument``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str | None = None
    data: dict[str, Any]
    block_schema_id: UUID
    block_schema: BlockSchema | None = None
    block_type_id: UUID
    block_type_name: str | None = None
    block_type: BlockType | None = None
    block_document_references: dict[str, Any]
    is_anonymous: bool = False


# --- reeve's own ---------------------------------------------------------------------------------


class Problem(Struct, kw_only=True):
    """An error of a path of reeve's own: a sentence, its stable code, and the field at fault."""

    detail: str
    code: str
    field: str | None = None


class Attempt(Struct, kw_only=True):
    """One try to execute a run."""

    id: UUID
    flow_run_id: UUID
    number: int
    kind: AttemptKind
    state: AttemptState
    opened: Timestamp
    agent_id: UUID | None = None
    agent_name: str | None = None
    lease_until: Timestamp | None = None
    unreachable: bool = False
    launched: Timestamp | None = None
    started: Timestamp | None = None
    closed: Timestamp | None = None
    handle: dict[str, Any] | None = None
    exit_code: int | None = None
    signal: int | None = None
    cpu_seconds: float | None = None
    max_rss_kib: int | None = None
    cause: str | None = None
    output_tail: str | None = None


class Explanation(Struct, kw_only=True):
    """Why a run is where it is: one sentence, then each fact that bears on it, then what to do."""

    flow_run_id: UUID
    state: str
    summary: str
    reasons: list[str]
    remedies: list[str] = field(default_factory=list)


class Agent(Struct, kw_only=True):
    """An agent and when it was last heard of."""

    id: UUID
    name: str
    host: str
    epoch: int
    work_pool_name: str
    queues: list[str]
    limit: int | None = None
    version: str
    started: Timestamp
    last_seen: Timestamp
    status: AgentStatus
    open_attempts: int = 0


class DeploymentOptions(Struct, kw_only=True):
    """What reeve adds to a deployment (protocol §5)."""

    engine: Engine
    crash_retries: int
    code_version: str | None = None


class PoolOptions(Struct, kw_only=True):
    """What reeve adds to a work pool."""

    on_lost: OnLost


class Registration(Struct, kw_only=True):
    """The server's answer to an agent that starts: its epoch, and the figures it works by, in seconds.

    ``forget`` lists attempts that the agent said to hold and no longer may: it ends them.
    """

    epoch: int
    pool: str
    queues: list[str]
    lease_seconds: float
    renew_seconds: float
    margin_seconds: float
    poll_seconds: float
    on_lost: OnLost
    forget: list[UUID]


class Grant(Struct, kw_only=True):
    """A claimed run with all that launching it needs; ``number`` orders the grants of an agent."""

    number: int
    attempt_id: UUID
    token: str
    lease_seconds: float
    attempt_number: int
    run: FlowRunResponse
    flow_name: str
    deployment: DeploymentResponse | None
    engine: Engine
    base_job_template: dict[str, Any]


class Cancel(Struct, kw_only=True):
    """An attempt whose run is to be cancelled."""

    attempt_id: UUID
    reason: str | None = None


class Work(Struct, kw_only=True):
    """The answer to a poll: grants above the acknowledged one, cancellations, and attempts that are over."""

    grants: list[Grant] = field(default_factory=list)
    cancel: list[Cancel] = field(default_factory=list)
    stop: list[UUID] = field(default_factory=list)


class Renewal(Struct, kw_only=True):
    """The answer to a renewal: the lease's length from when the request was sent; ``stop`` is over."""

    lease_seconds: float
    stop: list[UUID]


class Receipt(Struct, kw_only=True):
    """The answer to reports: the sequence number expected next, and whether the attempt is closed now."""

    next_seq: int
    closed: bool


class Followed(Struct, kw_only=True):
    """What is new about a run since the cursors given: states and log lines, oldest first.

    Pass ``state_cursor`` and ``log_cursor`` back; ``final`` says that nothing but late logs can follow.
    """

    run: FlowRunResponse
    states: list[State]
    logs: list[Log]
    state_cursor: int
    log_cursor: int
    final: bool


class ServerInfo(Struct, kw_only=True):
    """Who answers: reeve's version, the 2.20 API version, the database in use."""

    name: str
    version: str
    api_version: str
    database: str
