"""Scheduler: makes the coming runs of each deployment's schedules (api-contract §10)."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import ClassVar
from uuid import UUID

from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.deployments import Deployment
from reeve.core.runs import FlowRun
from reeve.core.schedules import dates_to_schedule, schedule_from_json, scheduled_idempotency_key
from reeve.core.states import StateDetails, StateType, propose
from reeve.server.loops.loop import Loop
from reeve.server.services.hub import SCHEDULES_TOPIC, pool_topic
from reeve.server.services.runs import run_of
from reeve.server.services.states import new_state
from reeve.server.storage import deployments, runs, schedules
from reeve.server.storage.store import Transaction

PAGE = 100  # deployments looked at in one transaction (api-contract §10)


class Scheduler(Loop):
    """Every 60 s, and at once for a deployment that was just changed."""

    name = "scheduler"
    topics: ClassVar[tuple[str, ...]] = (SCHEDULES_TOPIC,)

    async def round(self) -> None:
        last: UUID | None = None
        while True:
            page = await self.ctx.store.read(partial(schedules.to_schedule, after=last, limit=PAGE))
            if page:
                await self.ctx.store.write(partial(schedule_all, deployment_ids=page))
                last = page[-1]
            if len(page) < PAGE:
                return


async def schedule_all(tx: Transaction, deployment_ids: list[UUID]) -> None:
    """Make the coming runs of these deployments; those that are there already are left as they are."""
    now = await tx.now()
    for deployment_id in deployment_ids:
        deployment = await deployments.read(tx, deployment_id)
        if deployment is not None and not deployment.paused:
            await _schedule(tx, deployment, now)


async def _schedule(tx: Transaction, deployment: Deployment, now: datetime) -> None:
    made = False
    for date, key in _dates(deployment, now).items():
        made |= await runs.insert(tx, _scheduled_run(deployment, date, key, now))
    if made and deployment.work_pool_id:
        tx.wake(pool_topic(deployment.work_pool_id))


def _dates(deployment: Deployment, now: datetime) -> dict[datetime, str]:
    """Return when runs are due, each with its key; schedules that meet at an instant share its run."""
    dates: dict[datetime, str] = {}
    for stored in deployment.schedules:
        if stored.active:
            schedule = schedule_from_json(stored.schedule)
            for date in dates_to_schedule(schedule, now):
                dates.setdefault(date, scheduled_idempotency_key(deployment.id, date, schedule.timezone))
    return dates


def _scheduled_run(deployment: Deployment, date: datetime, key: str, now: datetime) -> FlowRun:
    state = propose(
        StateType.SCHEDULED, message="Flow run scheduled", details=StateDetails(scheduled_time=date)
    )
    run = replace(
        run_of(deployment, now, parameters=deployment.parameters),
        idempotency_key=key,
        tags=["auto-scheduled", *deployment.tags],
        auto_scheduled=True,
    )
    return bookkeeping.enter_flow_run_state(run, new_state(state, now))
