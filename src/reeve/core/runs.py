"""Flow runs and task runs, and the policies they carry (api-contract §5.1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from reeve.core.states import State
from reeve.errors import InvalidInputError

# What 2.20 takes at most of a task run: retry delays, characters of a cache key.
MOST_DELAYS = 50
LONGEST_CACHE_KEY = 2000


class RetryType(StrEnum):
    """How a run that is retried comes back: in the same process, or by a new claim."""

    IN_PROCESS = "in_process"
    RESCHEDULE = "reschedule"


class FlowRunPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Retries and pauses of a flow run; delays in seconds."""

    max_retries: int = 0
    retry_delay_seconds: float = 0
    retries: int | None = None
    retry_delay: int | None = None
    pause_keys: list[str] = msgspec.field(default_factory=list)
    resuming: bool | None = False
    retry_type: RetryType | None = None


class TaskRunPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Retries of a task run; a list of delays is used entry by entry, its last one repeated."""

    max_retries: int = 0
    retry_delay_seconds: float = 0
    retries: int | None = None
    retry_delay: int | list[int] | None = None
    retry_jitter_factor: float | None = None


def check_policy(policy: TaskRunPolicy | None) -> None:
    """Raise InvalidInputError for delays that 2.20 refuses: more than 50, or spread by a negative factor."""
    if policy is None:
        return
    if isinstance(policy.retry_delay, list) and len(policy.retry_delay) > MOST_DELAYS:
        raise InvalidInputError(
            f"A task run has at most {MOST_DELAYS} retry delays; the last one is repeated.",
            field="empirical_policy.retry_delay",
        )
    if policy.retry_jitter_factor is not None and policy.retry_jitter_factor < 0:
        raise InvalidInputError(
            "`retry_jitter_factor` must be >= 0.", field="empirical_policy.retry_jitter_factor"
        )


class CreatedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Who made an object, as far as the client said."""

    id: UUID | None = None
    type: str | None = None
    display_value: str | None = None


class FlowRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a flow that was asked for, with its bookkeeping (api-contract §8.5)."""

    id: UUID
    created: datetime
    updated: datetime
    name: str
    flow_id: UUID
    state: State | None = None
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    work_pool_id: UUID | None = None
    work_pool_name: str | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    flow_version: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    idempotency_key: str | None = None
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    empirical_policy: FlowRunPolicy = FlowRunPolicy()
    tags: list[str] = msgspec.field(default_factory=list)
    parent_task_run_id: UUID | None = None
    run_count: int = 0
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: timedelta = timedelta()
    auto_scheduled: bool = False
    infrastructure_document_id: UUID | None = None
    infrastructure_pid: str | None = None
    created_by: CreatedBy | None = None
    job_variables: dict[str, Any] | None = None
    # What the 2.20 dialect has no words for; never in a 2.20 answer.
    attempt_id: UUID | None = None  # the open attempt, if any
    crash_count: int = 0
    had_lease: bool = False  # whether a leased attempt was ever opened (protocol §5, W17)


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a task, inside a flow run or on its own."""

    id: UUID
    created: datetime
    updated: datetime
    name: str
    task_key: str
    dynamic_key: str
    flow_run_id: UUID | None = None
    state: State | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    empirical_policy: TaskRunPolicy = TaskRunPolicy()
    tags: list[str] = msgspec.field(default_factory=list)
    task_inputs: dict[str, list[dict[str, Any]]] = msgspec.field(default_factory=dict)
    run_count: int = 0
    flow_run_run_count: int = 0
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: timedelta = timedelta()
