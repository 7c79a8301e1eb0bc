"""Deployments, their schedules, and what reeve adds to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from reeve.core.crashes import ALL_REASONS
from reeve.core.deployments import Deployment, DeploymentOptions, DeploymentSchedule
from reeve.core.time_limits import NO_LIMITS, Then, TimeLimit, TimeLimits
from reeve.core.work import WorkQueue
from reeve.server.storage import rows
from reeve.server.storage.rows import DEPLOYMENT, WORK_QUEUE
from reeve.server.storage.store import Row, Transaction

INSERT = """
insert into deployments (
    id, created, updated, flow_id, name, version, description, paused, job_variables, parameters, tags,
    work_queue_id, work_queue_name, last_polled, parameter_openapi_schema, enforce_parameter_schema, path,
    entrypoint, pull_steps, manifest_path, storage_document_id, infrastructure_document_id, created_by,
    updated_by, status, paused_since
) values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24, $25, case when $8 then $2::bigint end
) on conflict (flow_id, name) do nothing
"""

UPDATE = """
update deployments set
    updated = $2, version = $3, description = $4, paused = $5, job_variables = $6, parameters = $7, tags = $8,
    work_queue_id = $9, work_queue_name = $10, parameter_openapi_schema = $11, enforce_parameter_schema = $12,
    path = $13, entrypoint = $14, pull_steps = $15, manifest_path = $16, storage_document_id = $17,
    infrastructure_document_id = $18, updated_by = $19,
    paused_since = case when $5 then coalesce(paused_since, $2) end
where id = $1
"""

INSERT_SCHEDULE = """
insert into deployment_schedules (
    id, created, updated, deployment_id, schedule, active, max_active_runs, max_scheduled_runs, catchup
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

SET_OPTIONS = """
insert into deployment_options (
    deployment_id, engine, code_version, crash_retries, crash_retry_delay, crash_retry_on, max_pending,
    max_pending_then, max_run, max_run_then, must_start_by, must_start_by_then, concurrency_limit
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (deployment_id) do update set
    engine = excluded.engine, code_version = excluded.code_version, crash_retries = excluded.crash_retries,
    crash_retry_delay = excluded.crash_retry_delay, crash_retry_on = excluded.crash_retry_on,
    max_pending = excluded.max_pending, max_pending_then = excluded.max_pending_then,
    max_run = excluded.max_run, max_run_then = excluded.max_run_then,
    must_start_by = excluded.must_start_by, must_start_by_then = excluded.must_start_by_then,
    concurrency_limit = excluded.concurrency_limit
"""

# Runs that wait for their first attempt: nothing of them is lost.
UNTOUCHED = (
    "state_type = 'SCHEDULED' and not exists (select 1 from attempts t where t.flow_run_id = flow_runs.id)"
)


async def insert(tx: Transaction, deployment: Deployment) -> bool:
    """Store a new deployment without its schedules; False when its flow has one of this name.

    Raises IntegrityError for an unknown flow.
    """
    inserted = await tx.execute(
        INSERT,
        deployment.id,
        rows.micros(deployment.created),
        rows.micros(deployment.updated),
        deployment.flow_id,
        deployment.name,
        deployment.version,
        deployment.description,
        deployment.paused,
        rows.json(deployment.job_variables),
        rows.json(deployment.parameters),
        rows.json(deployment.tags),
        deployment.work_queue_id,
        deployment.work_queue_name,
        rows.micros_or_none(deployment.last_polled),
        rows.json_or_none(deployment.parameter_openapi_schema),
        deployment.enforce_parameter_schema,
        deployment.path,
        deployment.entrypoint,
        rows.json_or_none(deployment.pull_steps),
        deployment.manifest_path,
        deployment.storage_document_id,
        deployment.infrastructure_document_id,
        rows.json_or_none(deployment.created_by),
        rows.json_or_none(deployment.updated_by),
        deployment.status,
    )
    return bool(inserted)


async def update(tx: Transaction, deployment: Deployment) -> None:
    """Store what may change of a deployment; its schedules are stored by themselves."""
    await tx.execute(
        UPDATE,
        deployment.id,
        rows.micros(deployment.updated),
        deployment.version,
        deployment.description,
        deployment.paused,
        rows.json(deployment.job_variables),
        rows.json(deployment.parameters),
        rows.json(deployment.tags),
        deployment.work_queue_id,
        deployment.work_queue_name,
        rows.json_or_none(deployment.parameter_openapi_schema),
        deployment.enforce_parameter_schema,
        deployment.path,
        deployment.entrypoint,
        rows.json_or_none(deployment.pull_steps),
        deployment.manifest_path,
        deployment.storage_document_id,
        deployment.infrastructure_document_id,
        rows.json_or_none(deployment.updated_by),
    )


async def read(tx: Transaction, deployment_id: UUID) -> Deployment | None:
    """Return a deployment with its schedules and options."""
    return await _one(tx, await tx.fetchrow(f"{DEPLOYMENT} where d.id = $1", deployment_id))


BY_IDS = f"{DEPLOYMENT} where d.id = any($1::uuid[])"
# Changed last first (2.20).
SCHEDULES = (
    "select * from deployment_schedules where deployment_id = any($1::uuid[]) order by updated desc, id"
)


async def by_ids(tx: Transaction, deployment_ids: list[UUID]) -> dict[UUID, Deployment]:
    """Return these deployments by their ids, with their schedules and options."""
    found = await tx.aside(BY_IDS, deployment_ids)
    return {deployment.id: deployment for deployment in await with_schedules(tx, found)}


async def lock(tx: Transaction, deployment_id: UUID) -> Deployment | None:
    """Return a deployment that nobody else changes until this transaction ends; read as in ``runs.lock``."""
    await tx.execute("select id from deployments where id = $1 for no key update", deployment_id)
    return await read(tx, deployment_id)


async def lock_by_name(tx: Transaction, flow_id: UUID, name: str) -> Deployment | None:
    """Return the deployment of a flow with this name, which nobody else changes."""
    found: UUID | None = await tx.fetchval(
        "select id from deployments where flow_id = $1 and name = $2 for no key update", flow_id, name
    )
    return None if found is None else await read(tx, found)


async def by_names(tx: Transaction, flow_name: str, name: str) -> Deployment | None:
    """Return the deployment of the flow and the name."""
    row = await tx.fetchrow(
        f"{DEPLOYMENT} where d.name = $2 and d.flow_id = (select id from flows where name = $1)",
        flow_name,
        name,
    )
    return await _one(tx, row)


async def with_schedules(tx: Transaction, found: Sequence[Row]) -> list[Deployment]:
    """Read rows of ``DEPLOYMENT``; and in one statement the schedules of all."""
    return with_these(found, await tx.fetch(SCHEDULES, [row["id"] for row in found])) if found else []


def with_these(found: Sequence[Row], of_all: Sequence[Row]) -> list[Deployment]:
    """Read rows of ``DEPLOYMENT``, and the schedules of all."""
    schedules: dict[UUID, list[DeploymentSchedule]] = defaultdict(list)
    for row in of_all:
        schedule = rows.deployment_schedule(row)
        schedules[schedule.deployment_id].append(schedule)
    return [rows.deployment(row, schedules[rows.uuid(row["id"])]) for row in found]


async def delete(tx: Transaction, deployment_id: UUID) -> bool:
    """Delete a deployment with its schedules and the runs that wait; False if there is none.

    A run that has an attempt goes on without it.
    """
    await tx.execute(
        "delete from flow_runs where deployment_id = $1 and state_type = 'SCHEDULED' and attempt_id is null",
        deployment_id,
    )
    return bool(await tx.execute("delete from deployments where id = $1", deployment_id))


async def delete_scheduled_runs(tx: Transaction, deployment_id: UUID) -> None:
    """Delete the runs that the scheduler made for what the deployment was (api-contract §10)."""
    await tx.execute(
        f"delete from flow_runs where deployment_id = $1 and auto_scheduled and {UNTOUCHED}", deployment_id
    )


async def replace_schedules(
    tx: Transaction, deployment_id: UUID, schedules: Sequence[DeploymentSchedule]
) -> None:
    """Store the schedules of a deployment in the place of those it had."""
    await tx.execute("delete from deployment_schedules where deployment_id = $1", deployment_id)
    await tx.executemany(
        INSERT_SCHEDULE,
        [
            (
                schedule.id,
                rows.micros(schedule.created),
                rows.micros(schedule.updated),
                schedule.deployment_id,
                rows.json(schedule.schedule),
                schedule.active,
                schedule.max_active_runs,
                schedule.max_scheduled_runs,
                schedule.catchup,
            )
            for schedule in schedules
        ],
    )


async def set_options(tx: Transaction, deployment_id: UUID, options: DeploymentOptions) -> None:
    """Store what reeve adds to a deployment."""
    budget, limits = options.budget, options.limits
    await tx.execute(
        SET_OPTIONS,
        deployment_id,
        options.engine,
        options.code_version,
        budget.retries,
        budget.delay,
        None if budget.on == ALL_REASONS else rows.json(sorted(budget.on)),
        *_limit(limits.max_pending),
        *_limit(limits.max_run),
        *_limit(limits.must_start_by),
        options.concurrency_limit,
    )


def _limit(limit: TimeLimit | None) -> tuple[float, Then] | tuple[None, None]:
    return (None, None) if limit is None else (limit.seconds, limit.then)


class Terms(msgspec.Struct, frozen=True):
    """What a deployment gives to the attempts of its runs."""

    limits: TimeLimits = NO_LIMITS
    code_version: str | None = None


async def terms(tx: Transaction, deployment_ids: list[UUID]) -> dict[UUID, Terms]:
    """Return what those of these deployments give that have options."""
    found = await tx.aside(
        "select * from deployment_options where deployment_id = any($1::uuid[])", deployment_ids
    )
    return {
        rows.uuid(row["deployment_id"]): Terms(rows.time_limits(row), row["code_version"]) for row in found
    }


async def polled(tx: Transaction, deployment_ids: list[UUID], now: datetime, since: datetime) -> None:
    """Note that deployments were polled for; those polled after ``since`` are left as they are."""
    await tx.execute(
        "update deployments set last_polled = $2, status = 'READY' where id = any($1::uuid[])"
        " and (status <> 'READY' or last_polled is null or last_polled < $3)",
        deployment_ids,
        rows.micros(now),
        rows.micros(since),
    )


async def polled_before(tx: Transaction, deployment_ids: list[UUID], since: datetime) -> bool:
    """Say whether one of these was not polled for since ``since``, or is not READY."""
    found = await tx.fetchval(
        "select 1 from deployments where id = any($1::uuid[])"
        " and (status <> 'READY' or last_polled is null or last_polled < $2) limit 1",
        deployment_ids,
        rows.micros(since),
    )
    return found is not None


async def queues(tx: Transaction, deployment: Deployment) -> list[WorkQueue]:
    """Return the deployment's own queue, and those whose tag filters take its runs (api-contract §9.1)."""
    found = await tx.fetch(
        f"{WORK_QUEUE} where q.filter is not null or q.id = $1 order by q.name, q.id",
        deployment.work_queue_id,
    )
    return [queue for queue in map(rows.work_queue, found) if _takes(queue, deployment)]


def _takes(queue: WorkQueue, deployment: Deployment) -> bool:
    wanted = queue.filter
    if wanted is None:
        return True
    ids = wanted.get("deployment_ids")
    return set(wanted.get("tags") or ()) <= set(deployment.tags) and (not ids or str(deployment.id) in ids)


async def _one(tx: Transaction, row: Row | None) -> Deployment | None:
    found = await with_schedules(tx, [] if row is None else [row])
    return found[0] if found else None
