"""The loops: each does its duty once and again, and leaves alone what is not its business."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from tests.server.office import Office

from reeve import clock
from reeve.core.states import StateDetails, StateType
from reeve.server.loops.late import LateMarker
from reeve.server.loops.loop import Loop
from reeve.server.loops.pruner import Pruner
from reeve.server.loops.scheduler import Scheduler
from reeve.server.loops.statuses import Statuses
from reeve.server.services import agents
from reeve.server.services.hub import SCHEDULES_TOPIC
from reeve.server.storage import rows
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import requests


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


async def add_schedule(tx: Transaction, office: Office, schedule: dict[str, object]) -> None:
    at = rows.micros(await tx.now())
    await tx.execute(
        "insert into deployment_schedules (id, created, updated, deployment_id, schedule, active, catchup)"
        " values ($1, $2, $2, $3, $4, $5, $6)",
        uuid4(),
        at,
        office.deployment_id,
        rows.json(schedule),
        True,
        False,
    )
    tx.wake(SCHEDULES_TOPIC)


async def due_times(tx: Transaction) -> list[int]:
    found = await tx.fetch(
        "select next_scheduled_start_time as at, tags from flow_runs where auto_scheduled order by 1"
    )
    assert all(rows.loaded(row["tags"])[0] == "auto-scheduled" for row in found)
    return [row["at"] for row in found]


async def test_the_scheduler_makes_each_coming_run_once(store: Store) -> None:
    office = await Office(store).furnish()
    await store.write(partial(add_schedule, office=office, schedule={"interval": 900.0, "timezone": "UTC"}))
    scheduler = Scheduler(office.ctx, 60)
    await scheduler.round()
    first = await store.read(due_times)
    assert len(first) == 5  # a 15-minute schedule covers an hour with 5 runs (api-contract §10)
    assert {later - earlier for earlier, later in pairwise(first)} == {900_000_000}
    await asyncio.gather(*(Scheduler(office.ctx, 60).round() for _ in range(3)))
    assert await store.read(due_times) == first


async def test_schedules_that_meet_share_their_run(store: Store) -> None:
    office = await Office(store).furnish()
    for zone in ("UTC", "Europe/Zurich"):
        schedule: dict[str, object] = {"cron": "0 * * * *", "timezone": zone, "day_or": True}
        await store.write(partial(add_schedule, office=office, schedule=schedule))
    await Scheduler(office.ctx, 60).round()
    times = await store.read(due_times)
    assert len(times) == len(set(times)) == 3


async def test_a_changed_schedule_is_seen_at_once(store: Store) -> None:
    office = await Office(store).furnish()
    scheduler = Scheduler(office.ctx, 3600)
    scheduler.start()
    try:
        schedule = {"interval": 3600.0, "timezone": "UTC"}
        await store.write(partial(add_schedule, office=office, schedule=schedule))
        async with asyncio.timeout(30):
            while not await store.read(due_times):
                await asyncio.sleep(0.02)
    finally:
        await scheduler.stop()
        await scheduler.stop()


async def test_overdue_runs_are_called_late_once(store: Store) -> None:
    office = await Office(store).furnish()
    overdue = StateDetails(scheduled_time=clock.now() - timedelta(seconds=60))
    run = await office.run(state=requests.StateCreate(type=StateType.SCHEDULED, state_details=overdue))
    fresh = await office.run()
    for _ in range(2):
        await LateMarker(office.ctx, 5).round()
    late = await office.read(run.id)
    assert late.state is not None
    assert (late.state.type, late.state.name) == (StateType.SCHEDULED, "Late")
    assert late.next_scheduled_start_time == run.next_scheduled_start_time
    entered = await store.read(
        lambda tx: tx.fetchval("select count(*) from flow_run_states where flow_run_id = $1", run.id)
    )
    assert entered == 2
    untouched = await office.read(fresh.id)
    assert untouched.state is not None
    assert untouched.state.name == "Scheduled"
    agent = await office.agent()
    assert len((await agent.poll(5)).grants) == 2


async def test_the_pruner_deletes_what_is_old_and_final_and_nothing_else(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    old, waiting, recent = [await office.run() for _ in range(3)]
    for run in (old, recent):
        await office.propose(run.id, StateType.CANCELLED, force=True)
    running = await office.run()
    await agent.poll(2)
    await store.write(
        lambda tx: tx.execute(
            "update flow_runs set state_timestamp = 0, end_time = end_time * 0 where id <> $1",
            recent.id,
        )
    )
    await Pruner(office.ctx, 600, timedelta(days=90), timedelta(days=30)).round()
    left = await store.read(lambda tx: tx.fetch("select id from flow_runs"))
    assert {rows.uuid(row["id"]) for row in left} == {waiting.id, recent.id, running.id}


async def test_agents_fall_silent_and_are_heard_again(store: Store) -> None:
    office = await Office(store).furnish()
    await office.agent()
    loop = Statuses(office.ctx, 10)
    await loop.round()
    assert [agent.status for agent in await agents.listing(office.ctx)] == ["ONLINE"]
    await store.write(lambda tx: tx.execute("update agents set last_seen = 0"))
    await loop.round()
    assert [agent.status for agent in await agents.listing(office.ctx)] == ["SILENT"]
    ((seen, _),) = await store.read(_listing)
    office.ctx.presence.seen(seen)
    await loop.round()
    assert [agent.status for agent in await agents.listing(office.ctx)] == ["ONLINE"]


async def _listing(tx: Transaction) -> list[tuple[UUID, str]]:
    return [(rows.uuid(row["id"]), row["name"]) for row in await tx.fetch("select id, name from agents")]


async def test_a_round_that_fails_does_not_end_the_duty(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    office = await Office(store).furnish()
    done = asyncio.Event()

    class Clumsy(Loop):
        name = "clumsy"
        rounds = 0

        async def round(self) -> None:
            self.rounds += 1
            if self.rounds == 1:
                raise LookupError("dropped it")
            done.set()

    loop = Clumsy(office.ctx, 0.01)
    loop.start()
    await asyncio.wait_for(done.wait(), 30)
    await loop.stop()
    assert "this round failed" in caplog.text
