"""Deployments: made or made anew by name, changed, paused, with their schedules (api-contract §3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from reeve.core import schedules
from reeve.core.crashes import CrashBudget
from reeve.core.deployments import Deployment, DeploymentOptions, DeploymentSchedule
from reeve.core.names import check_name
from reeve.core.parameters import check_parameters
from reeve.core.schedules import IntervalSchedule
from reeve.core.sealing import is_hidden
from reeve.core.time_limits import TimeLimits, check_limits
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.ids import new_id
from reeve.server.services import sealing
from reeve.server.services.context import Context
from reeve.server.services.hub import SCHEDULES_TOPIC, pool_topic
from reeve.server.storage import blocks, deployments, schedule_policies, work
from reeve.wire.requests import ScheduleCreate

if TYPE_CHECKING:
    from reeve.core.runs import CreatedBy
    from reeve.core.work import WorkQueue
    from reeve.server.storage.store import Transaction
    from reeve.wire import requests

# Fields that a request and a deployment have in common, by name, with what null means.
PLAIN: dict[str, Callable[[], Any]] = {
    "version": lambda: None,
    "description": lambda: None,
    "parameters": dict,
    "tags": list,
    "parameter_openapi_schema": lambda: None,
    "enforce_parameter_schema": lambda: False,
    "path": lambda: None,
    "entrypoint": lambda: None,
    "pull_steps": lambda: None,
    "manifest_path": lambda: None,
    "storage_document_id": lambda: None,
    "infrastructure_document_id": lambda: None,
}
BLOCKS = {"storage_document_id": "storage", "infrastructure_document_id": "infrastructure"}


async def create(
    ctx: Context, body: requests.DeploymentCreate, sent: frozenset[str], created_by: CreatedBy | None
) -> tuple[Deployment, bool]:
    """Make the deployment of that flow and name, or change what was ``sent`` of the one there is.

    Schedules are replaced in any case, and the runs made for the old ones deleted. Returns the deployment,
    and whether it is new. Raises InvalidInputError, NotFoundError for a pool, IntegrityError for a flow,
    ConflictError for a block.
    """
    check_name("deployment", body.name)
    _check_given_parameters(body)
    given = {name: getattr(body, name) for name in PLAIN if name in sent}
    variables = _job_variables(body.job_variables, body.infra_overrides)
    wanted = _wanted_schedules(body)

    async def upsert(tx: Transaction) -> tuple[Deployment, bool]:
        now = await tx.now()
        blank = Deployment(
            id=new_id(), created=now, updated=now, flow_id=body.flow_id, name=body.name, created_by=created_by
        )
        new = await deployments.insert(tx, blank)
        known = blank if new else await deployments.lock_by_name(tx, body.flow_id, body.name)
        if known is None:
            raise ConflictError(f"The deployment {body.name!r} is just being changed; repeat the request.")
        changed = replace(
            known,
            paused=_paused(body.paused, body.is_schedule_active),
            job_variables=known.job_variables if variables is UNSET else variables,
            **_plain(given),
        )
        changed = sealing.deployment(ctx.keyring, changed, known)
        changed = await _placed(tx, changed, body.work_pool_name, body.work_queue_name, sent, now)
        return await _store(ctx, tx, changed, _new_schedules(known, wanted, now), created_by, now), new

    return await ctx.store.write(upsert)


async def read(ctx: Context, deployment_id: UUID) -> Deployment:
    """Return a deployment; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: deployments.read(tx, deployment_id)))


async def read_by_names(ctx: Context, flow_name: str, name: str) -> Deployment:
    """Return the deployment of a flow with this name; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: deployments.by_names(tx, flow_name, name)))


async def update(
    ctx: Context, deployment_id: UUID, body: requests.DeploymentUpdate, updated_by: CreatedBy | None
) -> None:
    """Change what was sent of a deployment, and delete the runs made for what it was.

    Raises NotFoundError, InvalidInputError, ConflictError for a block.
    """
    sent = frozenset(name for name in body.__struct_fields__ if getattr(body, name) is not UNSET)
    given = {name: getattr(body, name) for name in PLAIN if name in sent}
    variables = _job_variables(body.job_variables, body.infra_overrides)

    async def change(tx: Transaction) -> None:
        now = await tx.now()
        known = _owner(await deployments.lock(tx, deployment_id))
        changed = replace(
            known,
            paused=_still_paused(known, body),
            job_variables=known.job_variables if variables is UNSET else variables,
            **_plain(given),
        )
        changed = sealing.deployment(ctx.keyring, changed, known)
        changed = await _placed(tx, changed, body.work_pool_name, body.work_queue_name, sent, now)
        await _store(ctx, tx, changed, _changed_schedules(known, body, now), updated_by, now)

    await ctx.store.write(change)


async def set_paused(ctx: Context, deployment_id: UUID, *, paused: bool) -> None:
    """Have a deployment's schedules rest, and delete the runs made for them; or have them go on.

    Raises NotFoundError.
    """

    async def change(tx: Transaction) -> None:
        known = _found(await deployments.lock(tx, deployment_id))
        await deployments.update(tx, replace(known, paused=paused, updated=await tx.now()))
        if paused:
            await deployments.delete_scheduled_runs(tx, deployment_id)
        await _tell(tx, known)

    await ctx.store.write(change)


async def set_schedule_active(ctx: Context, deployment_id: UUID, *, active: bool) -> None:
    """Do what ``set_paused`` does, to a deployment and the one schedule that it has.

    Raises NotFoundError, and InvalidInputError when there are several: it is not said which is meant.
    """

    async def change(tx: Transaction) -> None:
        known = _found(await deployments.lock(tx, deployment_id))
        if len(known.schedules) > 1:
            raise _which_schedule(known, "this request does")
        now = await tx.now()
        await deployments.update(tx, replace(known, paused=not active, updated=now))
        await deployments.replace_schedules(
            tx, known.id, [replace(one, active=active, updated=now) for one in known.schedules]
        )
        if not active:
            await deployments.delete_scheduled_runs(tx, deployment_id)
        await _tell(tx, known)

    await ctx.store.write(change)


async def schedules_of(ctx: Context, deployment_id: UUID) -> list[DeploymentSchedule]:
    """Return the schedules of a deployment; raises NotFoundError."""
    return _owner(await ctx.store.read(lambda tx: deployments.read(tx, deployment_id))).schedules


async def add_schedules(
    ctx: Context, deployment_id: UUID, body: list[ScheduleCreate]
) -> list[DeploymentSchedule]:
    """Give a deployment more schedules, and return these; raises NotFoundError, InvalidInputError."""
    wanted = _checked(body)

    async def add(tx: Transaction) -> list[DeploymentSchedule]:
        known = _owner(await deployments.lock(tx, deployment_id))
        added = _new_schedules(replace(known, schedules=[]), wanted, await tx.now())
        await deployments.replace_schedules(tx, known.id, [*known.schedules, *added])
        await _tell(tx, known)
        return added

    return await ctx.store.write(add)


async def update_schedule(
    ctx: Context, deployment_id: UUID, schedule_id: UUID, body: requests.ScheduleUpdate
) -> None:
    """Change what is not null of a schedule, and delete the runs made for what it was.

    Raises NotFoundError, InvalidInputError.
    """
    given = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not None}
    if body.schedule is not None:
        schedules.validate(schedules.schedule_from_json(body.schedule))

    async def change(tx: Transaction) -> None:
        now = await tx.now()
        if body.schedule is not None:
            given["schedule"] = _anchored(body.schedule, now)
        known = _with_schedule(await deployments.lock(tx, deployment_id), schedule_id)
        changed = [
            replace(one, updated=now, **given) if one.id == schedule_id else one for one in known.schedules
        ]
        await _reschedule(tx, known, changed)

    await ctx.store.write(change)


async def delete_schedule(ctx: Context, deployment_id: UUID, schedule_id: UUID) -> None:
    """Take a schedule from a deployment, with the runs that were made for it; raises NotFoundError."""

    async def remove(tx: Transaction) -> None:
        known = _with_schedule(await deployments.lock(tx, deployment_id), schedule_id)
        await _reschedule(tx, known, [one for one in known.schedules if one.id != schedule_id])

    await ctx.store.write(remove)


async def check_queues(ctx: Context, deployment_id: UUID) -> list[WorkQueue]:
    """Return the queues from which the runs of a deployment are taken; raises NotFoundError."""

    async def look(tx: Transaction) -> list[WorkQueue]:
        known = _found(await deployments.read(tx, deployment_id))
        return await deployments.queues(tx, known)

    return await ctx.store.read(look)


async def delete(ctx: Context, deployment_id: UUID) -> None:
    """Delete a deployment with the runs that wait for it; raises NotFoundError."""

    async def remove(tx: Transaction) -> None:
        if not await deployments.delete(tx, deployment_id):
            raise NotFoundError("Deployment not found")

    await ctx.store.write(remove)


async def set_options(
    ctx: Context, deployment_id: UUID, body: requests.DeploymentOptions
) -> DeploymentOptions:
    """Set what reeve adds to a deployment; raises NotFoundError, and InvalidInputError for what cannot be."""
    options = DeploymentOptions(
        engine=body.engine,
        budget=CrashBudget(
            retries=body.crash_retries, delay=body.crash_retry_delay, on=frozenset(body.crash_retry_on)
        ),
        limits=TimeLimits(
            max_pending=body.max_pending, max_run=body.max_run, must_start_by=body.must_start_by
        ),
        concurrency_limit=body.concurrency_limit,
        code_version=body.code_version,
    )
    check_limits(options.limits, options.budget.retries)

    async def change(tx: Transaction) -> None:
        known = _found(await deployments.lock(tx, deployment_id))
        await deployments.set_options(tx, deployment_id, options)
        if known.work_pool_id is not None:
            tx.wake(pool_topic(known.work_pool_id))  # a limit that was raised has room

    await ctx.store.write(change)
    return options


async def _store(
    ctx: Context,
    tx: Transaction,
    changed: Deployment,
    wanted: list[DeploymentSchedule] | None,
    updated_by: CreatedBy | None,
    now: datetime,
) -> Deployment:
    """Write a changed deployment, and its schedules unless they stay as they are."""
    await _check_blocks(tx, changed)
    if changed.enforce_parameter_schema and changed.parameter_openapi_schema is not None:
        sealing.check(ctx.keyring, changed, changed.parameters, whole=False)
    changed = replace(changed, updated=now, updated_by=updated_by or changed.updated_by)
    await deployments.update(tx, changed)
    await sealing.seal_policies(tx, ctx.keyring, changed)
    await deployments.delete_scheduled_runs(tx, changed.id)
    if wanted is not None:
        await deployments.replace_schedules(tx, changed.id, wanted)
        changed = replace(changed, schedules=wanted)
    await _tell(tx, changed)
    return changed


def _check_given_parameters(body: requests.DeploymentCreate) -> None:
    """Raise InvalidInputError when the body's own schema refuses its parameters (2.20: 422)."""
    if not (body.enforce_parameter_schema and isinstance(body.parameter_openapi_schema, dict)):
        return
    try:
        given = {name: value for name, value in (body.parameters or {}).items() if not is_hidden(value)}
        check_parameters({**body.parameter_openapi_schema, "required": []}, given)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, field="parameters") from None


async def _placed(
    tx: Transaction,
    deployment: Deployment,
    pool_name: object,
    queue_name: object,
    sent: frozenset[str],
    now: datetime,
) -> Deployment:
    """Return the deployment with the queue that its pool's and queue's names mean (api-contract §3)."""
    if not sent & {"work_pool_name", "work_queue_name"}:
        return deployment
    queue = await _queue(tx, pool_name or None, queue_name or None, now)
    return replace(
        deployment,
        work_queue_id=queue.id if queue else None,
        work_queue_name=queue.name if queue else None,
        work_pool_id=queue.work_pool_id if queue else None,
        work_pool_name=queue.work_pool_name if queue else None,
    )


async def _queue(tx: Transaction, pool_name: object, queue_name: object, now: datetime) -> WorkQueue | None:
    """Return the queue that is meant; named ones are made, pools are not. Raises NotFoundError."""
    if isinstance(queue_name, str):
        check_name("work queue", queue_name)
    if not isinstance(pool_name, str):
        return await work.ensure_queue(tx, None, queue_name, now) if isinstance(queue_name, str) else None
    pool = await work.pool_by_name(tx, pool_name)
    if pool is None:
        raise NotFoundError(f'Work pool "{pool_name}" not found.')
    if isinstance(queue_name, str):
        return await work.ensure_queue(tx, pool.id, queue_name, now)
    assert pool.default_queue_id is not None
    return await work.queue(tx, pool.default_queue_id)


async def _check_blocks(tx: Transaction, deployment: Deployment) -> None:
    for field, kind in BLOCKS.items():
        block_id = getattr(deployment, field)
        if block_id is not None and not await blocks.exists(tx, block_id):
            raise ConflictError(
                f"There is no {kind} block with id {block_id} here; was it made on another server?"
            )


async def _tell(tx: Transaction, deployment: Deployment) -> None:
    """Have its runs be made: what passed before the change is not made up for."""
    await schedule_policies.start_anew(tx, deployment.id)
    tx.wake(SCHEDULES_TOPIC)
    if deployment.work_pool_id is not None:
        tx.wake(pool_topic(deployment.work_pool_id))


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields to change; null means what a field means without a value."""
    return {name: PLAIN[name]() if value is None else value for name, value in given.items()}


def _job_variables(job_variables: Any, infra_overrides: Any) -> Any:
    """Return the job variables of a request under either name, or UNSET when it has none."""
    named = [value for value in (job_variables, infra_overrides) if value is not UNSET and value is not None]
    if len(named) == 2 and named[0] != named[1]:
        raise InvalidInputError(
            "'infra_overrides' is the old name of 'job_variables': give one of them, or both alike."
        )
    return named[0] if named else UNSET


def _paused(paused: bool | None, is_schedule_active: bool | None) -> bool:
    """``paused`` wins over its old opposite (api-contract §3)."""
    if paused is not None:
        return paused
    return False if is_schedule_active is None else not is_schedule_active


def _still_paused(known: Deployment, body: requests.DeploymentUpdate) -> bool:
    paused = None if body.paused is UNSET else body.paused
    active = None if body.is_schedule_active is UNSET else body.is_schedule_active
    return known.paused if paused is None and active is None else _paused(paused, active)


def _wanted_schedules(body: requests.DeploymentCreate) -> list[ScheduleCreate]:
    if body.schedules is not None:
        return _checked(body.schedules)
    if body.schedule is None:
        return []
    active = True if body.is_schedule_active is None else body.is_schedule_active
    return _checked([ScheduleCreate(schedule=body.schedule, active=active)])


def _changed_schedules(
    known: Deployment, body: requests.DeploymentUpdate, now: datetime
) -> list[DeploymentSchedule] | None:
    """Return the schedules that a change wants, or None when they stay; the old fields mean the only one."""
    if isinstance(body.schedules, list):
        return _new_schedules(known, _checked(body.schedules), now)
    old_fields = body.schedule is not UNSET or isinstance(body.is_schedule_active, bool)
    if old_fields and len(known.schedules) > 1:
        raise _which_schedule(known, "'schedule' and 'is_schedule_active' do")
    if isinstance(body.schedule, dict):
        active = body.is_schedule_active if isinstance(body.is_schedule_active, bool) else True
        return _new_schedules(known, _checked([ScheduleCreate(schedule=body.schedule, active=active)]), now)
    if body.schedule is None:
        return []
    if isinstance(body.is_schedule_active, bool):
        return [replace(one, active=body.is_schedule_active, updated=now) for one in known.schedules]
    return None


def _checked(wanted: Sequence[ScheduleCreate]) -> list[ScheduleCreate]:
    """Raise InvalidInputError, with field and remedy, for a schedule that cannot be followed."""
    for one in wanted:
        schedules.validate(schedules.schedule_from_json(one.schedule))
    return list(wanted)


def _new_schedules(
    known: Deployment, wanted: Sequence[ScheduleCreate], now: datetime
) -> list[DeploymentSchedule]:
    """Return the schedules to store. One that says what a known one says keeps its id, and its policy so."""
    ids = _Ids(known.schedules)
    return [
        DeploymentSchedule(
            id=ids.take(one.schedule),
            created=now + timedelta(microseconds=place),  # what is made together has an order too
            updated=now + timedelta(microseconds=place),
            deployment_id=known.id,
            schedule=_anchored(one.schedule, now),
            active=one.active,
            max_active_runs=one.max_active_runs,
            max_scheduled_runs=one.max_scheduled_runs,
            catchup=one.catchup,
        )
        for place, one in enumerate(wanted)
    ]


class _Ids:
    """The ids of known schedules, each given once: to one with the same rule."""

    def __init__(self, known: Sequence[DeploymentSchedule]) -> None:
        self._left = [(_rule(one.schedule), one.schedule, one.id) for one in known]

    def take(self, schedule: dict[str, Any]) -> UUID:
        wanted = _rule(schedule)
        same = [each for each in self._left if each[0] == wanted]
        if not same:
            return new_id()
        chosen = next((each for each in same if each[1] == schedule), same[0])
        self._left.remove(chosen)
        return chosen[2]


def _rule(schedule: dict[str, Any]) -> schedules.Schedule:
    """Return a schedule without its anchor, which the server gives to who does not send one."""
    read = schedules.schedule_from_json(schedule)
    if isinstance(read, IntervalSchedule):
        return replace(read, anchor_date=None, timezone=read.timezone or "UTC")
    return read


def _anchored(schedule: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return a schedule as it is stored: an interval without an anchor counts from now (api-contract §10)."""
    read = schedules.schedule_from_json(schedule)
    if isinstance(read, IntervalSchedule):
        read = replace(read, anchor_date=read.anchor_date or now, timezone=read.timezone or "UTC")
    return schedules.schedule_to_json(read)


async def _reschedule(tx: Transaction, known: Deployment, changed: list[DeploymentSchedule]) -> None:
    await deployments.replace_schedules(tx, known.id, changed)
    await deployments.delete_scheduled_runs(tx, known.id)
    await _tell(tx, known)


def _which_schedule(known: Deployment, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"Deployment {known.id} has {len(known.schedules)} schedules, and {what} not say which is meant. "
        "Use 'schedules'."
    )


def _owner(deployment: Deployment | None) -> Deployment:
    """Return the deployment to change, or of schedules; 2.20 ends the sentence there with a full stop."""
    if deployment is None:
        raise NotFoundError("Deployment not found.")
    return deployment


def _with_schedule(deployment: Deployment | None, schedule_id: UUID) -> Deployment:
    known = _owner(deployment)
    if all(one.id != schedule_id for one in known.schedules):
        raise NotFoundError("Schedule not found.")
    return known


def _found(deployment: Deployment | None) -> Deployment:
    if deployment is None:
        raise NotFoundError("Deployment not found")
    return deployment
