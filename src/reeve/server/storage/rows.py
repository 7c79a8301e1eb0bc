"""How nouns lie in the database: a change of a stored shape stays inside this file.

Instants are microseconds since 1970, durations seconds, structures JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from reeve.core.agents import Agent, AgentMode, AgentStatus
from reeve.core.attempts import Attempt, AttemptKind, AttemptState
from reeve.core.crashes import ALL_REASONS, CrashBudget, CrashReason
from reeve.core.deployments import (
    Deployment,
    DeploymentOptions,
    DeploymentSchedule,
    DeploymentStatus,
    Engine,
    Flow,
)
from reeve.core.logs import LogLine
from reeve.core.runs import CreatedBy, FlowRun, FlowRunPolicy, TaskRun, TaskRunPolicy
from reeve.core.states import State, StateDetails, StateType
from reeve.core.time_limits import NO_LIMITS, Then, TimeLimit, TimeLimits
from reeve.core.work import OnLost, WorkPool, WorkQueue, WorkStatus
from reeve.server.storage.dialects.base import Row
from reeve.wire import codec

S = TypeVar("S")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT = 2**51  # microseconds (the year 2041): up to there a double is as good
MICROSECOND = timedelta(microseconds=1)

# What is read of a run in one transaction was mostly read in another a moment ago. Who gets the same object
# for an id finds it in a dict without comparing it, which UUID does in Python.
KEPT = 4096

_encoder = msgspec.json.Encoder()


def micros(instant: datetime) -> int:
    """Return an aware instant as it is stored."""
    return (instant - EPOCH) // MICROSECOND


def micros_or_none(instant: datetime | None) -> int | None:
    """Return an instant that may be absent as it is stored."""
    return None if instant is None else micros(instant)


@lru_cache(KEPT)
def instant(stored: int) -> datetime:
    """Return a stored instant."""
    if 0 <= stored < EXACT:
        return datetime.fromtimestamp(stored / 1e6, UTC)  # in half the time of an addition
    return EPOCH + timedelta(0, 0, stored)


def instant_or_none(stored: int | None) -> datetime | None:
    """Return a stored instant that may be absent."""
    return None if stored is None else instant(stored)


def json(value: Any) -> str:
    """Return a structure as it is stored."""
    return _encoder.encode(value).decode()


def json_or_none(value: Any) -> str | None:
    """Return a structure that may be absent as it is stored."""
    return None if value is None else json(value)


def loaded(text: str | None) -> Any:
    """Return a stored structure."""
    return None if text is None else msgspec.json.decode(text)


def loaded_as(text: str, type_: type[S]) -> S:
    """Return a stored structure as a value of ``type_``."""
    return codec.decode(text, type_)


def uuid(stored: str | UUID) -> UUID:
    """Return a stored id."""
    return stored if isinstance(stored, UUID) else _uuid(stored)


def uuid_or_none(stored: str | UUID | None) -> UUID | None:
    """Return a stored id that may be absent."""
    return None if stored is None else uuid(stored)


def _ids(row: Row, names: tuple[str, ...]) -> list[Any]:
    """Return the ids in these columns, some of which may be absent."""
    stored = [row[name] for name in names]
    return stored if isinstance(stored[0], UUID) else [*map(_uuid, stored)]


@lru_cache(KEPT)
def _uuid(text: str | None) -> Any:
    # UUID() does the same in Python, in three times the time.
    return None if text is None else msgspec.convert(text, UUID)


def _created_by(text: str | None) -> CreatedBy | None:
    return None if text is None else loaded_as(text, CreatedBy)


def columns(names: Iterable[str], prefix: str) -> str:
    """Return a select list with each column as ``prefix_column``."""
    return ", ".join(f"{prefix}.{name} as {prefix}_{name}" for name in names)


STATE_COLUMNS = ("id", "type", "name", "timestamp", "message", "data", "details")


def state(row: Row, prefix: str = "") -> State:
    """Read a state, from columns that may have a prefix."""
    return State(
        id=uuid(row[prefix + "id"]),
        type=StateType(row[prefix + "type"]),
        name=row[prefix + "name"],
        timestamp=instant(row[prefix + "timestamp"]),
        message=row[prefix + "message"],
        data=loaded(row[prefix + "data"]),
        details=loaded_as(row[prefix + "details"], StateDetails),
    )


def flow(row: Row) -> Flow:
    """Read a flow."""
    return Flow(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        name=row["name"],
        tags=loaded(row["tags"]),
    )


# A run as every reader wants it: with its state and its pool. Its table is "r" in every statement.
RUN_COLUMNS = f"r.*, p.id as pool_id, p.name as pool_name, {columns(STATE_COLUMNS, 's')}"
RUN_JOINS = """
left join flow_run_states s on s.id = r.state_id
left join work_queues q on q.id = r.work_queue_id
left join work_pools p on p.id = q.work_pool_id
"""
FLOW_RUN = f"select {RUN_COLUMNS} from flow_runs r {RUN_JOINS}"


_RUN_IDS = (
    "id",
    "flow_id",
    "deployment_id",
    "pool_id",
    "work_queue_id",
    "parent_task_run_id",
    "infrastructure_document_id",
    "attempt_id",
)


def flow_run(row: Row) -> FlowRun:
    """Read a row of ``FLOW_RUN``."""
    id_, flow_id, deployment_id, pool_id, queue_id, parent_id, document_id, attempt_id = _ids(row, _RUN_IDS)
    return FlowRun(
        id=id_,
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        name=row["name"],
        flow_id=flow_id,
        state=None if row["s_id"] is None else state(row, "s_"),
        deployment_id=deployment_id,
        deployment_version=row["deployment_version"],
        work_pool_id=pool_id,
        work_pool_name=row["pool_name"],
        work_queue_id=queue_id,
        work_queue_name=row["work_queue_name"],
        flow_version=row["flow_version"],
        parameters=loaded(row["parameters"]),
        idempotency_key=row["idempotency_key"],
        context=loaded(row["context"]),
        empirical_policy=loaded_as(row["empirical_policy"], FlowRunPolicy),
        tags=loaded(row["tags"]),
        parent_task_run_id=parent_id,
        run_count=row["run_count"],
        expected_start_time=instant_or_none(row["expected_start_time"]),
        next_scheduled_start_time=instant_or_none(row["next_scheduled_start_time"]),
        start_time=instant_or_none(row["start_time"]),
        end_time=instant_or_none(row["end_time"]),
        total_run_time=timedelta(seconds=row["total_run_time"]),
        auto_scheduled=bool(row["auto_scheduled"]),
        infrastructure_document_id=document_id,
        infrastructure_pid=row["infrastructure_pid"],
        created_by=_created_by(row["created_by"]),
        job_variables=loaded(row["job_variables"]),
        attempt_id=attempt_id,
        crash_count=row["crash_count"],
        had_lease=bool(row["had_lease"]),
    )


# A task run with its state. Its table is "r" in every statement.
TASK_RUN = f"""
select r.*, {columns(STATE_COLUMNS, "s")}
from task_runs r
left join task_run_states s on s.id = r.state_id
"""


def task_run(row: Row) -> TaskRun:
    """Read a row of ``TASK_RUN``."""
    return TaskRun(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        name=row["name"],
        task_key=row["task_key"],
        dynamic_key=row["dynamic_key"],
        flow_run_id=uuid_or_none(row["flow_run_id"]),
        state=None if row["s_id"] is None else state(row, "s_"),
        cache_key=row["cache_key"],
        cache_expiration=instant_or_none(row["cache_expiration"]),
        task_version=row["task_version"],
        empirical_policy=loaded_as(row["empirical_policy"], TaskRunPolicy),
        tags=loaded(row["tags"]),
        task_inputs=loaded(row["task_inputs"]),
        run_count=row["run_count"],
        flow_run_run_count=row["flow_run_run_count"],
        expected_start_time=instant_or_none(row["expected_start_time"]),
        next_scheduled_start_time=instant_or_none(row["next_scheduled_start_time"]),
        start_time=instant_or_none(row["start_time"]),
        end_time=instant_or_none(row["end_time"]),
        total_run_time=timedelta(seconds=row["total_run_time"]),
    )


# A deployment with its pool and options; its schedules are read beside it. Its table is "d".
DEPLOYMENT = """
select d.*, p.id as pool_id, p.name as pool_name,
    o.engine, o.crash_retries, o.crash_retry_delay, o.crash_retry_on, o.max_pending, o.max_pending_then,
    o.max_run, o.max_run_then, o.must_start_by, o.must_start_by_then, o.concurrency_limit,
    o.code_version
from deployments d
left join work_queues q on q.id = d.work_queue_id
left join work_pools p on p.id = q.work_pool_id
left join deployment_options o on o.deployment_id = d.id
"""


def deployment(row: Row, schedules: list[DeploymentSchedule]) -> Deployment:
    """Read a row of ``DEPLOYMENT``."""
    return Deployment(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        flow_id=uuid(row["flow_id"]),
        name=row["name"],
        version=row["version"],
        description=row["description"],
        paused=bool(row["paused"]),
        paused_since=instant_or_none(row["paused_since"]),
        schedules=schedules,
        job_variables=loaded(row["job_variables"]),
        parameters=loaded(row["parameters"]),
        tags=loaded(row["tags"]),
        work_pool_id=uuid_or_none(row["pool_id"]),
        work_pool_name=row["pool_name"],
        work_queue_id=uuid_or_none(row["work_queue_id"]),
        work_queue_name=row["work_queue_name"],
        last_polled=instant_or_none(row["last_polled"]),
        parameter_openapi_schema=loaded(row["parameter_openapi_schema"]),
        enforce_parameter_schema=bool(row["enforce_parameter_schema"]),
        path=row["path"],
        entrypoint=row["entrypoint"],
        pull_steps=loaded(row["pull_steps"]),
        manifest_path=row["manifest_path"],
        storage_document_id=uuid_or_none(row["storage_document_id"]),
        infrastructure_document_id=uuid_or_none(row["infrastructure_document_id"]),
        created_by=_created_by(row["created_by"]),
        updated_by=_created_by(row["updated_by"]),
        status=DeploymentStatus(row["status"]),
        options=_options(row),
    )


def _options(row: Row) -> DeploymentOptions:
    if row["engine"] is None:
        return DeploymentOptions()
    on = row["crash_retry_on"]
    return DeploymentOptions(
        engine=Engine(row["engine"]),
        budget=CrashBudget(
            retries=row["crash_retries"],
            delay=row["crash_retry_delay"],
            on=ALL_REASONS if on is None else loaded_as(on, frozenset[CrashReason]),
        ),
        limits=time_limits(row),
        concurrency_limit=row["concurrency_limit"],
        code_version=row["code_version"],
    )


def time_limits(row: Row) -> TimeLimits:
    """Read the time limits of a row of ``deployment_options``."""
    return TimeLimits(
        max_pending=_time_limit(row["max_pending"], row["max_pending_then"]),
        max_run=_time_limit(row["max_run"], row["max_run_then"]),
        must_start_by=_time_limit(row["must_start_by"], row["must_start_by_then"]),
    )


def _time_limit(seconds: float | None, then: str) -> TimeLimit | None:
    return None if seconds is None else TimeLimit(seconds=seconds, then=Then(then))


def deployment_schedule(row: Row) -> DeploymentSchedule:
    """Read a schedule of a deployment."""
    return DeploymentSchedule(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        deployment_id=uuid(row["deployment_id"]),
        schedule=loaded(row["schedule"]),
        active=bool(row["active"]),
        max_active_runs=row["max_active_runs"],
        max_scheduled_runs=row["max_scheduled_runs"],
        catchup=bool(row["catchup"]),
    )


def work_pool(row: Row) -> WorkPool:
    """Read a work pool."""
    return WorkPool(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        name=row["name"],
        type=row["type"],
        description=row["description"],
        base_job_template=loaded(row["base_job_template"]),
        is_paused=bool(row["is_paused"]),
        concurrency_limit=row["concurrency_limit"],
        status=None if row["status"] is None else WorkStatus(row["status"]),
        default_queue_id=uuid_or_none(row["default_queue_id"]),
        on_lost=OnLost(row["on_lost"]),
        paused_since=instant_or_none(row["paused_since"]),
    )


# A queue with its pool's name. Its table is "q".
WORK_QUEUE = "select q.*, p.name as pool_name from work_queues q join work_pools p on p.id = q.work_pool_id"


def work_queue(row: Row) -> WorkQueue:
    """Read a row of ``WORK_QUEUE``."""
    return WorkQueue(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        updated=instant(row["updated"]),
        name=row["name"],
        work_pool_id=uuid(row["work_pool_id"]),
        work_pool_name=row["pool_name"],
        description=row["description"],
        is_paused=bool(row["is_paused"]),
        concurrency_limit=row["concurrency_limit"],
        priority=row["priority"],
        filter=loaded(row["filter"]),
        last_polled=instant_or_none(row["last_polled"]),
        status=WorkStatus(row["status"]),
        paused_since=instant_or_none(row["paused_since"]),
    )


# An agent with its pool's name. Its table is "a".
AGENT = "select a.*, p.name as pool_name from agents a join work_pools p on p.id = a.work_pool_id"


def agent(row: Row) -> Agent:
    """Read a row of ``AGENT``."""
    return Agent(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        name=row["name"],
        host=row["host"],
        machine_id=row["machine_id"],
        boot_id=row["boot_id"],
        epoch=row["epoch"],
        work_pool_id=uuid(row["work_pool_id"]),
        work_pool_name=row["pool_name"],
        queues=loaded(row["queues"]),
        prefixes=loaded(row["prefixes"]),
        kinds=loaded(row["kinds"]),
        prefetch_seconds=row["prefetch"] / 1_000_000,
        default_document_id=uuid_or_none(row["default_document_id"]),
        default_kind=row["default_kind"],
        limit=row["slots"],
        version=row["version"],
        grant=row["last_grant"],
        started=instant(row["started"]),
        last_seen=instant(row["last_seen"]),
        status=AgentStatus(row["status"]),
        mode=AgentMode(row["mode"]),
    )


_ATTEMPT_IDS = ("id", "flow_run_id", "agent_id", "work_pool_id", "work_queue_id", "deployment_id")


ATTEMPT_COLUMNS = (
    "id",
    "flow_run_id",
    "number",
    "kind",
    "state",
    "opened",
    "agent_id",
    "epoch",
    "grant_number",
    "work_pool_id",
    "work_queue_id",
    "lease_until",
    "unreachable",
    "launched",
    "started",
    "closed",
    "last_seq",
    "handle",
    "exit_code",
    "signal",
    "cpu_seconds",
    "max_rss_kib",
    "cause",
    "output_tail",
    "crash_reason",
    "stop_failed",
    "expires",
    "limits",
    "on_lost",
    "deployment_id",
    "code_version",
)
_of_attempt = itemgetter(*(f"t_{column}" for column in ATTEMPT_COLUMNS))


def attempt_beside(row: Row) -> Attempt:
    """Read an attempt out of a row of other things, where its columns have a prefix: ``t_column``."""
    return attempt(dict(zip(ATTEMPT_COLUMNS, _of_attempt(row), strict=True)))


def attempt(row: Row) -> Attempt:
    """Read an attempt."""
    id_, flow_run_id, agent_id, pool_id, queue_id, deployment_id = _ids(row, _ATTEMPT_IDS)
    return Attempt(
        id=id_,
        flow_run_id=flow_run_id,
        number=row["number"],
        kind=AttemptKind(row["kind"]),
        state=AttemptState(row["state"]),
        opened=instant(row["opened"]),
        agent_id=agent_id,
        epoch=row["epoch"],
        grant=row["grant_number"],
        work_pool_id=pool_id,
        work_queue_id=queue_id,
        deployment_id=deployment_id,
        lease_until=instant_or_none(row["lease_until"]),
        unreachable=bool(row["unreachable"]),
        launched=instant_or_none(row["launched"]),
        started=instant_or_none(row["started"]),
        closed=instant_or_none(row["closed"]),
        last_seq=row["last_seq"],
        handle=loaded(row["handle"]),
        exit_code=row["exit_code"],
        signal=row["signal"],
        cpu_seconds=row["cpu_seconds"],
        max_rss_kib=row["max_rss_kib"],
        cause=row["cause"],
        output_tail=row["output_tail"],
        on_lost=OnLost(row["on_lost"] or OnLost.WAIT),
        crash_reason=CrashReason(row["crash_reason"]) if row["crash_reason"] else None,
        stop_failed=instant_or_none(row["stop_failed"]),
        limits=loaded_as(row["limits"], TimeLimits) if row["limits"] else NO_LIMITS,
        expires=instant_or_none(row["expires"]),
        code_version=row["code_version"],
    )


def log_line(row: Row) -> LogLine:
    """Read a log line."""
    return LogLine(
        id=uuid(row["id"]),
        created=instant(row["created"]),
        name=row["name"],
        level=row["level"],
        message=row["message"],
        timestamp=instant(row["timestamp"]),
        flow_run_id=uuid_or_none(row["flow_run_id"]),
        task_run_id=uuid_or_none(row["task_run_id"]),
    )
