"""What a poll reads does not grow with the runs that wait for others: rows are counted, not seconds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from tests.server import crowd
from tests.server.office import Office
from tests.server.overheard import Overheard

from reeve.core.work import WorkQueue
from reeve.server.loops.late import LateMarker
from reeve.server.services import waiting, work
from reeve.server.storage import work as stored_work
from reeve.server.storage.dialects.sqlite import SqliteTransaction
from reeve.server.storage.store import Store, Transaction, open_store

CROWD = 3_000  # due runs of another queue, late already
A_FEW = 20
# Reading the crowd takes a row for each, or some steps. PostgreSQL is right to read small tables whole.
SPARE = CROWD // 3


class Reckoner:
    """Counts what selecting statements read: steps of SQLite's machine, rows of PostgreSQL's plans."""

    def __init__(self) -> None:
        self.work: dict[str, int] = {}

    async def hear(self, tx: Transaction, sql: str, args: tuple[Any, ...]) -> None:
        if sql.lstrip().startswith("select"):
            count = _steps if isinstance(tx, SqliteTransaction) else _rows
            self.work[sql] = self.work.get(sql, 0) + await count(tx, sql, args)


async def _steps(tx: Any, sql: str, args: tuple[Any, ...]) -> int:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    tx._connection.set_progress_handler(step, 1)
    try:
        await tx.fetch(sql, *args)
    finally:
        tx._connection.set_progress_handler(None, 0)
    return steps


async def _rows(tx: Transaction, sql: str, args: tuple[Any, ...]) -> int:
    (plan,) = await tx.fetch(f"explain (analyze, timing off, format json) {sql}", *args)
    found = plan["QUERY PLAN"]
    whole: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return _touched(whole)


def _touched(node: dict[str, Any]) -> int:
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    own: int = round((node["Actual Rows"] + removed) * node["Actual Loops"])
    return own + sum(_touched(inner) for inner in node.get("Plans", []))


@dataclasses.dataclass
class House:
    """An office with a second queue, where all the others' runs wait; what the office's own polls read."""

    office: Office
    store: Store
    others: UUID  # the queue

    async def reckon(self, ask: Callable[[], Awaitable[Any]]) -> dict[str, int]:
        reckoner, plain = Reckoner(), self.office.ctx
        overheard = cast("Store", Overheard(self.store, reckoner.hear))
        self.office.ctx = dataclasses.replace(plain, store=overheard)
        try:
            await ask()
        finally:
            self.office.ctx = plain
        return reckoner.work

    async def gather(self, first: int, last: int) -> None:
        """Have runs that were due an hour ago wait in the other queue."""
        past = datetime.now(UTC) - timedelta(hours=1)
        place = {
            "flow_id": self.office.flow_id,
            "deployment_id": self.office.deployment_id,
            "work_queue_id": self.others,
            "state_type": "SCHEDULED",
            "state_name": "Late",
            "next_scheduled_start_time": past,
            "start_time": None,
            "end_time": None,
        }
        await crowd.gather(self.store, first, last, **place)
        await crowd.let_it_count(self.store)


@pytest.fixture
async def house(database_url: str) -> Any:
    store = await open_store(database_url)
    office = await Office(store).furnish()
    queue = await store.write(lambda tx: _queue(tx, office.pool_id))
    yield House(office, store, queue.id)
    await store.close()


async def _queue(tx: Transaction, pool_id: UUID) -> WorkQueue:
    return await stored_work.ensure_queue(tx, pool_id, "others", await tx.now())


async def test_no_poll_reads_more_when_others_runs_wait(house: House) -> None:
    office = house.office
    desk = await office.agent(queues=["default"])
    now = datetime.now(UTC)

    async def granted() -> None:
        for _ in range(5):
            await office.run()
        assert len((await desk.poll(5)).grants) == 5
        for attempt_id in [*desk.held]:
            await desk.launched(attempt_id)
            await desk.exited(attempt_id)

    async def late() -> None:
        await LateMarker(office.ctx, 1).round()

    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "an agent, nothing due": lambda: desk.poll(5),
        "an agent, some granted": granted,
        "2.20's queue": lambda: waiting.queue_runs(office.ctx, office.queue_id, before=now, limit=10),
        "2.20's pool": lambda: waiting.pool_runs(
            office.ctx, "p", ["default"], before=now, after=None, limit=10
        ),
        "a queue's status": lambda: work.queue_status(office.ctx, office.queue_id),
        "late marker": late,
    }
    await house.gather(0, A_FEW)
    before = {name: await house.reckon(ask) for name, ask in asked.items()}
    await house.gather(A_FEW, CROWD)
    after = {name: await house.reckon(ask) for name, ask in asked.items()}
    grown = [
        f"{name}: {before[name].get(sql, 0)} → {read} of\n  {sql}"
        for name, reads in after.items()
        for sql, read in reads.items()
        if read > before[name].get(sql, 0) + SPARE
    ]
    assert not grown, "\n\n".join(grown)
