"""Making the coming runs of a deployment's schedules: by the scheduler, or because somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from reeve.core import bookkeeping
from reeve.core.missed_dates import missed_dates
from reeve.core.runs import FlowRun
from reeve.core.schedule_policies import PLAIN, Overlap
from reeve.core.schedules import (
    MAX_CANDIDATES,
    Schedule,
    dates_to_schedule,
    occurrences,
    own_parameters_key,
    same_until,
    schedule_from_json,
    scheduled_idempotency_key,
)
from reeve.core.states import StateDetails, StateType, propose
from reeve.errors import InvalidInputError
from reeve.server.services.context import Context
from reeve.server.services.hub import SCHEDULES_TOPIC
from reeve.server.services.runs import run_of
from reeve.server.services.schedule_policies import settle
from reeve.server.services.states import new_state, tell
from reeve.server.storage import deployments, runs, schedule_policies, schedules
from reeve.server.storage.schedule_policies import Kept, ScheduledRun

if TYPE_CHECKING:
    from reeve.core.deployments import Deployment
    from reeve.server.storage.store import Transaction
    from reeve.wire import requests

Dates = Callable[[Schedule], Iterable[datetime]]

MIN_RUNS, MAX_RUNS = 3, 100
MIN_TIME, MAX_TIME = timedelta(hours=1), timedelta(days=100)
# A deployment is looked at after this time, up to twice as much, whatever its schedules say: dates come near
# that were too far ahead, and a server of an older version does not tell of changes.
LOOK_AGAIN = timedelta(minutes=10)
SPREAD = 600


async def schedule_all(tx: Transaction, deployment_ids: list[UUID]) -> None:
    """Make the coming runs of these deployments; those that are there already are left as they are.

    It is noted when each deployment is to be looked at again. They are locked meanwhile: a change that came
    between the look and the note would be overlooked.
    """
    now = await tx.now()
    ours = await schedules.lock(tx, deployment_ids)
    kept = await schedule_policies.of_deployments(tx, ours)
    again: dict[UUID, datetime] = {}
    planned: list[Plans] = []
    for deployment in (await deployments.by_ids(tx, ours)).values():
        if not deployment.paused:
            ahead = Ahead(now)
            planned.append((deployment, [*plans(deployment, kept, ahead.dates, now)]))
            is_whole = await _note_made(tx, deployment, kept, now)
            again[deployment.id] = min([*ahead.ends, _latest_look(deployment.id, now)]) if is_whole else now
    await _make(tx, planned, now)
    await schedules.look_again(tx, again)


class Ahead:
    """What schedules ask for at a moment, and for each until when that is all."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.ends: list[datetime] = []

    def dates(self, schedule: Schedule) -> list[datetime]:
        """Return the dates of a schedule that should be runs now."""
        found = dates_to_schedule(schedule, self.now)
        if end := same_until(found, self.now):
            self.ends.append(end)
        return found


def _latest_look(deployment_id: UUID, now: datetime) -> datetime:
    """Return when a deployment is looked at in any case; not all that were made together at the same time."""
    return now + LOOK_AGAIN * (1 + deployment_id.int % SPREAD / SPREAD)


async def schedule(ctx: Context, deployment_id: UUID, body: requests.Schedule) -> None:
    """Make runs of a deployment as a request wants them; nothing happens to one that is not there.

    A paused deployment gets them too: who asks for runs by name means it (api-contract §3). Raises
    InvalidInputError.
    """

    async def make(tx: Transaction) -> None:
        now = await tx.now()
        deployment = await deployments.lock(tx, deployment_id)  # against the scheduler
        if deployment is not None:
            kept = await schedule_policies.of_deployment(tx, deployment_id)
            wanted = plans(deployment, kept, partial(_wanted, body, now), now)
            await _make(tx, [(deployment, [*wanted])], now)

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


class Planned(Struct, frozen=True, kw_only=True):
    """A run to be made; ``of`` is its schedule, if that has a policy."""

    date: datetime
    key: str
    parameters: dict[str, Any]
    of: UUID | None = None
    held: bool = False


Plans = tuple["Deployment", list[Planned]]


async def _make(tx: Transaction, planned: list[Plans], now: datetime) -> None:
    """Make the runs that are not there yet, of deployments that are locked: nobody else makes them."""
    there = await schedules.taken_keys(tx, _keys(planned))
    made: list[FlowRun] = []
    ours: list[ScheduledRun] = []
    for deployment, wanted in planned:
        for plan in wanted:
            if (deployment.flow_id, plan.key) in there:
                continue
            run = _scheduled_run(deployment, plan, now)
            made.append(run)
            if plan.of:
                ours.append(
                    ScheduledRun(flow_run_id=run.id, schedule_id=plan.of, due=plan.date, held=plan.held)
                )
    if not made:
        return
    await runs.insert_new(tx, made)
    await tell(tx, made, now)
    await schedule_policies.insert_runs(tx, ours)
    for schedule_id in sorted({run.schedule_id for run in ours}):
        await settle(tx, schedule_id)


def _keys(planned: list[Plans]) -> dict[UUID, list[str]]:
    """Return the keys of the runs that are wanted, by flow."""
    keys: dict[UUID, list[str]] = {}
    for deployment, wanted in planned:
        keys.setdefault(deployment.flow_id, []).extend(plan.key for plan in wanted)
    return keys


async def coming_runs(ctx: Context, deployment_id: UUID, until: datetime) -> list[Planned]:
    """Return the runs that a deployment's schedules ask for from now on, those of a moment included.

    Nothing is made. A schedule has at most 1000 dates; a deployment that is not there, or paused, no runs.
    """

    async def look(tx: Transaction) -> list[Planned]:
        now = await tx.now()
        deployment = await deployments.read(tx, deployment_id)
        if deployment is None or deployment.paused:
            return []
        kept = await schedule_policies.of_deployment(tx, deployment_id)
        found = plans(deployment, kept, partial(occurrences, start=now, end=until), now)
        return sorted((one for one in found if one.date >= now), key=lambda one: one.date)

    return await ctx.store.read(look)


def plans(
    deployment: Deployment, kept: Mapping[UUID, Kept], dates: Dates, now: datetime
) -> Iterable[Planned]:
    """Return the runs that should be there; schedules that meet share one if their parameters are the same.

    The shared run is that of the schedule with a policy.
    """
    plans: dict[tuple[datetime, str], Planned] = {}
    active = [one for one in deployment.schedules if one.active]
    for stored in sorted(active, key=lambda one: one.id not in kept):
        schedule, known = schedule_from_json(stored.schedule), kept.get(stored.id)
        policy = known.policy if known else PLAIN
        since = known.made_until if known else None
        missed = missed_dates(schedule, policy, since, now) if since else []
        for date in (*missed, *dates(schedule)):
            key = scheduled_idempotency_key(deployment.id, date, schedule.timezone, policy.parameters)
            plans.setdefault(
                (date, own_parameters_key(policy.parameters)),
                Planned(
                    date=date,
                    key=key,
                    parameters={**deployment.parameters, **policy.parameters},
                    of=stored.id if known else None,
                    held=policy.overlap is not Overlap.ALLOW,
                ),
            )
    return plans.values()


async def _note_made(
    tx: Transaction, deployment: Deployment, kept: Mapping[UUID, Kept], now: datetime
) -> bool:
    """Note up to when the dates of schedules that make up for missed ones have their runs.

    They are made ahead, so a date counts as missed only when no server was there in time to do that. Return
    whether all of them have: with very many the rest are made in the next round.
    """
    is_whole = True
    for stored in deployment.schedules:
        known = kept.get(stored.id)
        if known is None or not stored.active or not known.policy.makes_up:
            continue
        schedule, since = schedule_from_json(stored.schedule), known.made_until
        missed = missed_dates(schedule, known.policy, since, now) if since else []
        made = missed
        if len(missed) < MAX_CANDIDATES:
            made = [now, *dates_to_schedule(schedule, now)]
        else:
            is_whole = False
            tx.wake(SCHEDULES_TOPIC)  # the rest follow at once
        if since is None or made[-1] > since:
            await schedule_policies.set_made_until(tx, stored.id, made[-1])
    return is_whole


def _scheduled_run(deployment: Deployment, plan: Planned, now: datetime) -> FlowRun:
    state = propose(
        StateType.SCHEDULED, message="Flow run scheduled", details=StateDetails(scheduled_time=plan.date)
    )
    run = replace(
        run_of(deployment, now, parameters=plan.parameters),
        idempotency_key=plan.key,
        tags=["auto-scheduled", *deployment.tags],
        auto_scheduled=True,
        job_variables={},
    )
    return bookkeeping.enter_flow_run_state(run, new_state(state, now))
