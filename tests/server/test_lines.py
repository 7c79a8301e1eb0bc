"""Where lines begin: dead rows that cannot be cleaned up are walked past now and then, not at each poll."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.server import crowd
from tests.server.office import Desk, Office
from tests.server.overheard import Overheard

from reeve.server.services import waiting
from reeve.server.storage import lines, rows
from reeve.server.storage.lines import LONG_AGO, SHARE, WHILE, Lines
from reeve.server.storage.store import Store, Transaction, open_store

DEAD = 1_000
PAGES = 25  # much fewer than the dead rows lie on

QUEUE = uuid4()


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_note_holds_for_a_while_and_one_alone_renews_it() -> None:
    clock = Clock()
    noted = Lines(clock)
    assert noted.begin(QUEUE) == LONG_AGO
    noted.note(QUEUE, 7, seconds=0.1)
    assert noted.begin(QUEUE) == 7
    assert noted.left(QUEUE) == timedelta(seconds=WHILE)
    clock.now = WHILE
    assert noted.begin(QUEUE) == LONG_AGO  # it walks
    assert noted.begin(QUEUE) == 7  # another one does not
    noted.note(QUEUE, 9, seconds=WHILE)
    clock.now += SHARE * WHILE - 0.1
    assert noted.begin(QUEUE) == 9
    noted.forget(QUEUE)
    assert noted.begin(QUEUE) == LONG_AGO
    assert noted.left(QUEUE) == timedelta()


@pytest.fixture
async def office(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    """Give an office whose line was long, while an open transaction might see the runs that left it."""
    monkeypatch.setattr(lines, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(lines, "MANY_PAGES", PAGES)
    store = await open_store(postgres_url)
    office = await Office(store).furnish()
    await gather(office, 0, DEAD)
    holder = await asyncpg.connect(postgres_url)
    await holder.execute("begin isolation level repeatable read")
    await holder.fetchval("select count(*) from flow_runs")
    ended = "update flow_runs set state_type = 'COMPLETED', next_scheduled_start_time = null"
    await store.write(lambda tx: tx.execute(ended))
    yield office
    await holder.close()
    await store.close()


async def gather(office: Office, first: int, last: int) -> None:
    """Have runs wait in the line that were due an hour ago."""
    place = {
        "flow_id": office.flow_id,
        "deployment_id": office.deployment_id,
        "work_queue_id": office.queue_id,
        "state_type": "SCHEDULED",
        "state_name": "Late",
        "next_scheduled_start_time": datetime.now(UTC) - timedelta(hours=1),
        "start_time": None,
        "end_time": None,
    }
    await crowd.gather(office.ctx.store, first, last, **place)
    await crowd.let_it_count(office.ctx.store)


async def pages(office: Office, desk: Desk) -> dict[str, int]:
    """Poll; return the pages that each statement on the line touched."""
    touched: dict[str, int] = {}

    async def hear(tx: Transaction, sql: str, args: tuple[Any, ...]) -> None:
        if sql.lstrip().startswith("select") and "from flow_runs" in sql and "work_queue_id = $1" in sql:
            touched[sql] = max(touched.get(sql, 0), await tx.pages(sql, *args))

    plain = office.ctx
    office.ctx = dataclasses.replace(plain, store=cast("Store", Overheard(plain.store, hear)))
    try:
        await desk.poll(5)
        await waiting.queue_runs(office.ctx, office.queue_id, before=datetime.now(UTC), limit=5)
    finally:
        office.ctx = plain
    return touched


async def test_dead_rows_are_walked_past_once(office: Office) -> None:
    desk = await office.agent(queues=["default"])
    assert max((await pages(office, desk)).values()) > PAGES
    assert max((await pages(office, desk)).values()) < PAGES
    run = await office.run()
    assert [grant.run.id for grant in (await desk.poll(5)).grants] == [run.id]


async def test_what_comes_before_the_begin_is_seen_when_the_while_is_over(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(lines.LINES, "_clock", clock)
    desk = await office.agent(queues=["default"])
    await desk.poll(5)
    run = await office.run()
    await due_long_ago(office, run.id)
    assert not (await desk.poll(5)).grants
    clock.now += WHILE + 1
    assert [grant.run.id for grant in (await desk.poll(5)).grants] == [run.id]


async def due_long_ago(office: Office, run_id: UUID) -> None:
    at = rows.micros(datetime.now(UTC) - timedelta(hours=2))
    sql = "update flow_runs set next_scheduled_start_time = $2 where id = $1"
    await office.ctx.store.write(lambda tx: tx.execute(sql, run_id, at))


async def test_an_open_poll_looks_again_when_the_while_is_over(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "WHILE", 0.5)
    monkeypatch.setattr(lines, "SHARE", 0)
    desk = await office.agent(queues=["default"])
    await desk.poll(5)
    run = await office.run()
    await due_long_ago(office, run.id)
    work_ = await desk.poll(5, hold=20)
    assert [grant.run.id for grant in work_.grants] == [run.id]
