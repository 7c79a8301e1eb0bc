"""Which deployments a round of the scheduler looks at: statements are counted, not seconds."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from tests.server.office import Office
from tests.server.overheard import Overheard

from reeve.server.loops.scheduler import Scheduler
from reeve.server.services import deployments, runs
from reeve.server.services.scheduling import LOOK_AGAIN
from reeve.server.storage import rows, schedules
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import requests

HOURLY: dict[str, Any] = {"interval": 3600.0, "anchor_date": "2026-01-01T00:00:00+00:00", "timezone": "UTC"}
MADE = 3  # runs of an hourly schedule
MANY = 8


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    store = await open_store(database_url)
    yield await Office(store).furnish()
    await store.close()


async def scheduled(office: Office, count: int) -> list[UUID]:
    """Add deployments that are due each hour."""
    made = [await office.another_deployment() for _ in range(count)]
    for deployment_id in made:
        body = requests.ScheduleCreate(schedule=HOURLY)
        await deployments.add_schedules(office.ctx, deployment_id, [body])
    return made


async def statements(office: Office) -> list[str]:
    """Have a round, and return the statements that it took."""
    heard: list[str] = []

    async def hear(_: Transaction, sql: str, __: tuple[Any, ...]) -> None:
        heard.append(sql)

    store = cast("Store", Overheard(office.ctx.store, hear))
    await Scheduler(dataclasses.replace(office.ctx, store=store), 60).round()
    return heard


async def made_runs(office: Office, deployment_id: UUID) -> list[UUID]:
    async def look(tx: Transaction) -> list[UUID]:
        sql = "select id from flow_runs where deployment_id = $1 order by next_scheduled_start_time"
        return [rows.uuid(row["id"]) for row in await tx.fetch(sql, deployment_id)]

    return await office.ctx.store.read(look)


async def let_pass(office: Office, time: timedelta) -> None:
    """Have the time come nearer at which deployments are looked at again."""
    sql, by = "update deployments set look_again = look_again - $1", time // timedelta(microseconds=1)
    await office.ctx.store.write(lambda tx: tx.execute(sql, by))


async def test_a_round_that_has_nothing_to_make_is_one_statement(office: Office) -> None:
    made = await scheduled(office, MANY)
    await statements(office)
    assert [len(await made_runs(office, one)) for one in made] == [MADE] * MANY
    assert len(await statements(office)) == 1


async def test_what_is_read_of_deployments_is_read_of_many_together(office: Office) -> None:
    await scheduled(office, MANY)
    heard = await statements(office)
    reads = [sql for sql in heard if sql.lstrip().startswith("select") and "idempotency_key" not in sql]
    assert len(reads) < 15, "\n\n".join(reads)


async def test_only_what_was_changed_is_looked_at(office: Office) -> None:
    first, *_ = await scheduled(office, MANY)
    await statements(office)
    body = requests.ScheduleCreate(schedule={**HOURLY, "interval": 1800.0})
    await deployments.add_schedules(office.ctx, first, [body])
    asked = [sql for sql in await statements(office) if "idempotency_key = any" in sql]
    assert len(asked) == 1
    assert len(await made_runs(office, first)) > MADE


async def test_a_run_that_was_deleted_is_made_again(office: Office) -> None:
    first, *_ = await scheduled(office, 2)
    await statements(office)
    _, second, _ = await made_runs(office, first)
    await runs.delete(office.ctx, second)
    await statements(office)
    assert len(await made_runs(office, first)) == MADE


async def test_everything_is_looked_at_now_and_then(office: Office) -> None:
    first, *_ = await scheduled(office, 2)
    await statements(office)
    gone, *_ = await made_runs(office, first)
    sql = "delete from flow_runs where id = $1"
    await office.ctx.store.write(lambda tx: tx.execute(sql, gone))  # by nobody who tells
    await statements(office)
    assert gone not in (there := await made_runs(office, first))
    assert len(there) == MADE - 1
    await let_pass(office, 2 * LOOK_AGAIN)
    await statements(office)
    assert len(await made_runs(office, first)) == MADE


async def test_what_somebody_is_changing_is_left_to_the_next_round(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    office = await Office(store).furnish()
    first, second = await scheduled(office, 2)
    changing, changed = asyncio.Event(), asyncio.Event()

    async def change(tx: Transaction) -> None:
        await schedules.lock(tx, [first])
        changing.set()
        await changed.wait()

    other = await open_store(postgres_url)
    try:
        task = asyncio.create_task(other.write(change))
        await changing.wait()
        await statements(office)
        counts = [len(await made_runs(office, one)) for one in (first, second)]
        changed.set()
        await task
        assert counts == [0, MADE]
        await statements(office)
        assert len(await made_runs(office, first)) == MADE
    finally:
        changed.set()
        await other.close()
        await store.close()
