"""Projections: nouns of the core as they cross HTTP; 2.20 objects field by field (protocol §5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec.structs import asdict

from reeve.core import bookkeeping
from reeve.core.agents import Agent
from reeve.core.attempts import Attempt
from reeve.core.deployments import Deployment, DeploymentSchedule, Flow
from reeve.core.graphs import upstream
from reeve.core.logs import LogLine
from reeve.core.rules.verdict import SetStateStatus, Verdict
from reeve.core.runs import FlowRun, TaskRun
from reeve.core.sealing import shown
from reeve.core.states import State
from reeve.core.work import WorkPool, WorkQueue
from reeve.wire import responses
from reeve.wire.codec import iso, iso_or_none


def state(noun: State) -> responses.State:
    """Return a state as 2.20 writes it."""
    details = asdict(noun.details)
    for name in ("scheduled_time", "cache_expiration", "pause_timeout"):
        details[name] = iso_or_none(details[name])
    return responses.State(
        id=noun.id,
        type=noun.type,
        name=noun.name,
        timestamp=iso(noun.timestamp),
        message=noun.message,
        data=noun.data,
        state_details=responses.StateDetails(**details),
    )


def flow(noun: Flow) -> responses.Flow:
    """Return a flow as 2.20 writes it."""
    return responses.Flow(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        name=noun.name,
        tags=noun.tags,
    )


def flow_run(noun: FlowRun, now: datetime) -> responses.FlowRunResponse:
    """Return a run with its state and its pool; estimates are as of ``now``."""
    return responses.FlowRunResponse(
        **_flow_run(noun, now),
        state=state(noun.state) if noun.state else None,
        work_pool_id=noun.work_pool_id,
        work_pool_name=noun.work_pool_name,
    )


def flow_run_of_poll(noun: FlowRun, now: datetime) -> responses.FlowRun:
    """Return a run as a pool's poll carries it: without its state object and its pool (A43)."""
    return responses.FlowRun(**_flow_run(noun, now))


def _flow_run(noun: FlowRun, now: datetime) -> dict[str, Any]:
    return {
        "id": noun.id,
        "created": iso(noun.created),
        "updated": iso(noun.updated),
        "name": noun.name,
        "flow_id": noun.flow_id,
        "state_id": noun.state.id if noun.state else None,
        "deployment_id": noun.deployment_id,
        "deployment_version": noun.deployment_version,
        "work_queue_id": noun.work_queue_id,
        "work_queue_name": noun.work_queue_name,
        "flow_version": noun.flow_version,
        "parameters": shown(noun.parameters),
        "idempotency_key": noun.idempotency_key,
        "context": noun.context,
        "empirical_policy": noun.empirical_policy,
        "tags": noun.tags,
        "parent_task_run_id": noun.parent_task_run_id,
        "state_type": noun.state.type if noun.state else None,
        "state_name": noun.state.name if noun.state else None,
        "run_count": noun.run_count,
        "expected_start_time": iso_or_none(noun.expected_start_time),
        "next_scheduled_start_time": iso_or_none(noun.next_scheduled_start_time),
        "start_time": iso_or_none(noun.start_time),
        "end_time": iso_or_none(noun.end_time),
        "total_run_time": noun.total_run_time.total_seconds(),
        "estimated_run_time": bookkeeping.estimated_run_time(noun, now).total_seconds(),
        "estimated_start_time_delta": bookkeeping.estimated_start_time_delta(noun, now).total_seconds(),
        "auto_scheduled": noun.auto_scheduled,
        "infrastructure_document_id": noun.infrastructure_document_id,
        "infrastructure_pid": noun.infrastructure_pid,
        "created_by": noun.created_by,
        "job_variables": noun.job_variables,
    }


def task_run(noun: TaskRun, now: datetime) -> responses.TaskRun:
    """Return a task run; estimates are as of ``now``."""
    return responses.TaskRun(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        name=noun.name,
        flow_run_id=noun.flow_run_id,
        task_key=noun.task_key,
        dynamic_key=noun.dynamic_key,
        cache_key=noun.cache_key,
        cache_expiration=iso_or_none(noun.cache_expiration),
        task_version=noun.task_version,
        empirical_policy=noun.empirical_policy,
        tags=noun.tags,
        state_id=noun.state.id if noun.state else None,
        task_inputs=noun.task_inputs,
        state_type=noun.state.type if noun.state else None,
        state_name=noun.state.name if noun.state else None,
        run_count=noun.run_count,
        flow_run_run_count=noun.flow_run_run_count,
        expected_start_time=iso_or_none(noun.expected_start_time),
        next_scheduled_start_time=iso_or_none(noun.next_scheduled_start_time),
        start_time=iso_or_none(noun.start_time),
        end_time=iso_or_none(noun.end_time),
        total_run_time=noun.total_run_time.total_seconds(),
        estimated_run_time=bookkeeping.estimated_run_time(noun, now).total_seconds(),
        estimated_start_time_delta=bookkeeping.estimated_start_time_delta(noun, now).total_seconds(),
        state=state(noun.state) if noun.state else None,
    )


def dependency(noun: TaskRun, now: datetime) -> responses.Dependency:
    """Return a task run as the first graph of 2.20 has it: with the task runs whose results it took."""
    return responses.Dependency(
        id=noun.id,
        name=noun.name,
        upstream_dependencies=[responses.Upstream(id=each) for each in upstream(noun.task_inputs)],
        state=state(noun.state) if noun.state else None,
        expected_start_time=iso_or_none(noun.expected_start_time),
        start_time=iso_or_none(noun.start_time),
        end_time=iso_or_none(noun.end_time),
        total_run_time=noun.total_run_time.total_seconds(),
        estimated_run_time=bookkeeping.estimated_run_time(noun, now).total_seconds(),
        untrackable_result=noun.state is not None and noun.state.details.untrackable_result,
    )


def orchestration(
    verdict: Verdict[FlowRun] | Verdict[TaskRun], shown: State | None
) -> responses.OrchestrationResult:
    """Return a verdict as 2.20 writes it, with the state to show (api-contract §8.1)."""
    details: dict[str, Any] = {"type": f"{verdict.status.lower()}_details"}
    if verdict.status is SetStateStatus.WAIT:
        details["delay_seconds"] = verdict.delay_seconds
    if verdict.status is not SetStateStatus.ACCEPT:
        details["reason"] = verdict.reason
    return responses.OrchestrationResult(
        state=state(shown) if shown else None, status=verdict.status, details=details
    )


def deployment_schedule(noun: DeploymentSchedule) -> responses.DeploymentSchedule:
    """Return a schedule of a deployment as 2.20 writes it."""
    return responses.DeploymentSchedule(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        deployment_id=noun.deployment_id,
        schedule=noun.schedule,
        active=noun.active,
        max_active_runs=noun.max_active_runs,
        max_scheduled_runs=noun.max_scheduled_runs,
        catchup=noun.catchup,
    )


def deployment(noun: Deployment) -> responses.DeploymentResponse:
    """Return a deployment as 2.20 writes it."""
    schedules = [deployment_schedule(each) for each in noun.schedules]
    return responses.DeploymentResponse(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        infra_overrides=noun.job_variables,
        name=noun.name,
        version=noun.version,
        description=noun.description,
        flow_id=noun.flow_id,
        schedule=schedules[0].schedule if schedules else None,
        is_schedule_active=not noun.paused,
        paused=noun.paused,
        schedules=schedules,
        parameters=shown(noun.parameters),
        tags=noun.tags,
        work_queue_name=noun.work_queue_name,
        last_polled=iso_or_none(noun.last_polled),
        parameter_openapi_schema=noun.parameter_openapi_schema,
        path=noun.path,
        pull_steps=noun.pull_steps,
        entrypoint=noun.entrypoint,
        manifest_path=noun.manifest_path,
        storage_document_id=noun.storage_document_id,
        infrastructure_document_id=noun.infrastructure_document_id,
        created_by=noun.created_by,
        updated_by=noun.updated_by,
        work_pool_name=noun.work_pool_name,
        status=noun.status,
        enforce_parameter_schema=noun.enforce_parameter_schema,
    )


def work_pool(noun: WorkPool) -> responses.WorkPool:
    """Return a pool as 2.20 writes it."""
    return responses.WorkPool(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        name=noun.name,
        description=noun.description,
        type=noun.type,
        base_job_template=noun.base_job_template,
        is_paused=noun.is_paused,
        concurrency_limit=noun.concurrency_limit,
        status=noun.status,
        default_queue_id=noun.default_queue_id,
    )


def work_queue(noun: WorkQueue) -> responses.WorkQueueResponse:
    """Return a queue as 2.20 writes it."""
    return responses.WorkQueueResponse(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        name=noun.name,
        description=noun.description,
        is_paused=noun.is_paused,
        concurrency_limit=noun.concurrency_limit,
        priority=noun.priority,
        work_pool_id=noun.work_pool_id,
        filter=noun.filter,
        last_polled=iso_or_none(noun.last_polled),
        work_pool_name=noun.work_pool_name,
        status=noun.status,
    )


def queue_alone(noun: WorkQueue) -> responses.WorkQueue:
    """Return a queue without its pool's name and its status."""
    return responses.WorkQueue(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.updated),
        name=noun.name,
        description=noun.description,
        is_paused=noun.is_paused,
        concurrency_limit=noun.concurrency_limit,
        priority=noun.priority,
        work_pool_id=noun.work_pool_id,
        filter=noun.filter,
        last_polled=iso_or_none(noun.last_polled),
    )


def log(noun: LogLine) -> responses.Log:
    """Return a log line as 2.20 writes it."""
    return responses.Log(
        id=noun.id,
        created=iso(noun.created),
        updated=iso(noun.created),
        name=noun.name,
        level=noun.level,
        message=noun.message,
        timestamp=iso(noun.timestamp),
        flow_run_id=noun.flow_run_id,
        task_run_id=noun.task_run_id,
    )


def attempt(noun: Attempt, agent_name: str | None) -> responses.Attempt:
    """Return an attempt with its agent's name."""
    return responses.Attempt(
        id=noun.id,
        flow_run_id=noun.flow_run_id,
        number=noun.number,
        kind=noun.kind,
        state=noun.state,
        opened=iso(noun.opened),
        agent_id=noun.agent_id,
        agent_name=agent_name,
        lease_until=iso_or_none(noun.lease_until),
        unreachable=noun.unreachable,
        launched=iso_or_none(noun.launched),
        started=iso_or_none(noun.started),
        closed=iso_or_none(noun.closed),
        handle=noun.handle,
        exit_code=noun.exit_code,
        signal=noun.signal,
        cpu_seconds=noun.cpu_seconds,
        max_rss_kib=noun.max_rss_kib,
        cause=noun.cause,
        output_tail=noun.output_tail,
        crash_reason=noun.crash_reason,
        expires=iso_or_none(noun.expires),
        code_version=noun.code_version,
    )


def agent(noun: Agent, open_attempts: int) -> responses.Agent:
    """Return an agent with the number of attempts that it holds."""
    return responses.Agent(**_agent(noun), open_attempts=open_attempts)


def agent_details(noun: Agent, holds: list[responses.HeldRun], open_attempts: int) -> responses.AgentDetails:
    """Return an agent with what it runs."""
    return responses.AgentDetails(
        **_agent(noun), machine_id=noun.machine_id, holds=holds, open_attempts=open_attempts
    )


def _agent(noun: Agent) -> dict[str, Any]:
    return {
        "id": noun.id,
        "name": noun.name,
        "host": noun.host,
        "epoch": noun.epoch,
        "work_pool_name": noun.work_pool_name,
        "queues": noun.queues,
        "limit": noun.limit,
        "version": noun.version,
        "started": iso(noun.started),
        "last_seen": iso(noun.last_seen),
        "status": noun.status,
        "prefixes": noun.prefixes,
        "mode": noun.mode,
    }
