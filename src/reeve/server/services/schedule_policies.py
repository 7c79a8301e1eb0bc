"""Policies of schedules: set and read, and applied to the runs that wait (protocol §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec.structs import replace

from reeve.core import schedule_policies as core
from reeve.core.schedule_policies import PLAIN, SKIPPED, SchedulePolicy
from reeve.core.states import StateType
from reeve.core.states import propose as proposal
from reeve.errors import InvalidInputError, NotFoundError
from reeve.server.services import sealing
from reeve.server.services.context import Context
from reeve.server.services.hub import SCHEDULES_TOPIC, pool_topic
from reeve.server.services.proposals import order
from reeve.server.storage import deployments, runs, schedule_policies, schedules

if TYPE_CHECKING:
    from reeve.core.deployments import Deployment
    from reeve.server.storage.store import Transaction
    from reeve.wire import requests

CANCELLED_FOR = "The next run of its schedule is due, and its policy for overlaps is cancel_running."


async def read(ctx: Context, deployment_id: UUID) -> dict[UUID, SchedulePolicy]:
    """Return the policy of each schedule of a deployment; raises NotFoundError."""

    async def look(tx: Transaction) -> dict[UUID, SchedulePolicy]:
        return await _policies(tx, _found(await deployments.read(tx, deployment_id)))

    return await ctx.store.read(look)


async def set_policies(
    ctx: Context, deployment_id: UUID, body: list[requests.SchedulePolicy]
) -> dict[UUID, SchedulePolicy]:
    """Set the policies of all schedules of a deployment; one that is not named has none any more.

    If they are not what they were, the runs that wait are made anew. Raises NotFoundError, InvalidInputError.
    """
    wanted = {
        one.schedule_id: SchedulePolicy(
            parameters=one.parameters, catchup=one.catchup, max_late=one.max_late, overlap=one.overlap
        )
        for one in body
    }

    async def change(tx: Transaction) -> dict[UUID, SchedulePolicy]:
        known = _found(await deployments.lock(tx, deployment_id))
        before = await _policies(tx, known)
        sealed = {key: _sealed(ctx, known, policy, before.get(key, PLAIN)) for key, policy in wanted.items()}
        _check(ctx, known, sealed)
        after = {one.id: sealed.get(one.id, PLAIN) for one in known.schedules}
        if after != before:
            kept = {key: policy for key, policy in after.items() if not policy.is_plain}
            await schedule_policies.replace(tx, deployment_id, kept)
            await deployments.delete_scheduled_runs(tx, deployment_id)
            await schedules.look_at_once(tx, deployment_id)
            tx.wake(SCHEDULES_TOPIC)
        return after

    return await ctx.store.write(change)


async def settle(tx: Transaction, schedule_id: UUID) -> None:
    """Do what its policy says to the runs of a schedule."""
    await schedule_policies.lock(tx, schedule_id)
    found = await schedule_policies.runs_of(tx, schedule_id)
    if found.ended:
        await schedule_policies.forget(tx, found.ended)
    todo = core.settle(await _policy(tx, schedule_id), found.waiting, found.begun, await tx.now())
    for run_id, reason in todo.skip:
        await order(tx, run_id, proposal(StateType.CANCELLED, name=SKIPPED, message=reason), force=True)
    for run_id in todo.cancel:
        await order(tx, run_id, proposal(StateType.CANCELLING, message=CANCELLED_FOR), force=False)
    if todo.release:
        await schedule_policies.release(tx, todo.release)
        for run in await runs.by_ids(tx, todo.release):
            if run.work_pool_id:
                tx.wake(pool_topic(run.work_pool_id))


async def to_settle(tx: Transaction) -> list[UUID]:
    """Return the schedules for which ``settle`` has something to do."""
    now = await tx.now()
    todo = []
    for schedule_id in await schedule_policies.with_due_runs(tx, now):
        found = await schedule_policies.runs_of(tx, schedule_id)
        policy = await _policy(tx, schedule_id)
        if found.ended or core.settle(policy, found.waiting, found.begun, now):
            todo.append(schedule_id)
    return todo


async def _policy(tx: Transaction, schedule_id: UUID) -> SchedulePolicy:
    """Return the policy of a schedule; of one that is gone, runs may be left that were begun."""
    return await schedule_policies.read(tx, schedule_id) or PLAIN


async def _policies(tx: Transaction, deployment: Deployment) -> dict[UUID, SchedulePolicy]:
    kept = await schedule_policies.of_deployment(tx, deployment.id)
    return {one.id: kept[one.id].policy if one.id in kept else PLAIN for one in deployment.schedules}


def _sealed(
    ctx: Context, deployment: Deployment, wanted: SchedulePolicy, before: SchedulePolicy
) -> SchedulePolicy:
    stored = {**deployment.parameters, **before.parameters}
    return replace(wanted, parameters=sealing.sealed(ctx.keyring, deployment, wanted.parameters, stored))


def _check(ctx: Context, deployment: Deployment, wanted: dict[UUID, SchedulePolicy]) -> None:
    known = {one.id for one in deployment.schedules}
    for schedule_id, policy in wanted.items():
        if schedule_id not in known:
            raise InvalidInputError(
                f"The deployment has no schedule {schedule_id}. Its schedules: GET /deployments/"
                f"{deployment.id}/schedules",
                field="schedule_id",
            )
        schema = deployment.parameter_openapi_schema
        if deployment.enforce_parameter_schema and schema is not None:
            merged = {**deployment.parameters, **policy.parameters}
            sealing.check(ctx.keyring, deployment, merged, whole=False)


def _found(deployment: Deployment | None) -> Deployment:
    if deployment is None:
        raise NotFoundError("Deployment not found")
    return deployment
