"""Making the coming runs of a deployment's schedules: by the scheduler, or because somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.runs import FlowRun
from reeve.core.schedules import (
    Schedule,
    dates_to_schedule,
    schedule_from_json,
    scheduled_idempotency_key,
)
from reeve.core.states import StateDetails, StateType, propose
from reeve.errors import InvalidInputError
from reeve.server.services.context import Context
from reeve.server.services.runs import run_of
from reeve.server.services.states import new_state, tell
from reeve.server.storage import deployments, runs

if TYPE_CHECKING:
    from reeve.core.deployments import Deployment
    from reeve.server.storage.store import Transaction
    from reeve.wire import requests

Dates = Callable[[Schedule], Iterable[datetime]]

MIN_RUNS, MAX_RUNS = 3, 100
MIN_TIME, MAX_TIME = timedelta(hours=1), timedelta(days=100)


async def schedule_all(tx: Transaction, deployment_ids: list[UUID]) -> None:
    """Make the coming runs of these deployments; those that are there already are left as they are."""
    now = await tx.now()
    for deployment_id in deployment_ids:
        deployment = await deployments.read(tx, deployment_id)
        if deployment is not None and not deployment.paused:
            await _schedule(tx, deployment, partial(dates_to_schedule, now=now), now)


async def schedule(ctx: Context, deployment_id: UUID, body: requests.Schedule) -> None:
    """Make runs of a deployment as a request wants them; nothing happens to one that is not there.

    A paused deployment gets them too: who asks for runs by name means it (api-contract §3). Raises
    InvalidInputError.
    """

    async def make(tx: Transaction) -> None:
        now = await tx.now()
        deployment = await deployments.read(tx, deployment_id)
        if deployment is not None:
            await _schedule(tx, deployment, partial(_wanted, body, now), now)

    await ctx.store.write(make)


def _wanted(body: requests.Schedule, now: datetime, schedule: Schedule) -> list[datetime]:
    start = body.start_time or now
    ahead = MIN_TIME.total_seconds() if body.min_time is None else body.min_time
    try:
        return dates_to_schedule(
            schedule,
            start,
            min_runs=MIN_RUNS if body.min_runs is None else body.min_runs,
            min_time=timedelta(seconds=min(max(ahead, 0), MAX_TIME.total_seconds())),
            max_runs=MAX_RUNS if body.max_runs is None else body.max_runs,
            max_time=MAX_TIME if body.end_time is None else body.end_time - start,
        )
    except OverflowError:
        raise InvalidInputError(
            "The dates lie outside of the calendar: choose another start.", field="start_time"
        ) from None


async def _schedule(tx: Transaction, deployment: Deployment, dates: Dates, now: datetime) -> None:
    wanted = [_scheduled_run(deployment, date, key, now) for date, key in _keys(deployment, dates).items()]
    await tell(tx, [run for run in wanted if await runs.insert(tx, run)], now)


def _keys(deployment: Deployment, dates: Dates) -> dict[datetime, str]:
    """Return when runs are due, each with its key; schedules that meet at an instant share its run."""
    keys: dict[datetime, str] = {}
    for stored in deployment.schedules:
        if stored.active:
            schedule = schedule_from_json(stored.schedule)
            for date in dates(schedule):
                keys.setdefault(date, scheduled_idempotency_key(deployment.id, date, schedule.timezone))
    return keys


def _scheduled_run(deployment: Deployment, date: datetime, key: str, now: datetime) -> FlowRun:
    state = propose(
        StateType.SCHEDULED, message="Flow run scheduled", details=StateDetails(scheduled_time=date)
    )
    run = replace(
        run_of(deployment, now, parameters=deployment.parameters),
        idempotency_key=key,
        tags=["auto-scheduled", *deployment.tags],
        auto_scheduled=True,
        job_variables={},
    )
    return bookkeeping.enter_flow_run_state(run, new_state(state, now))
