"""Lines that a run logged to a file: stored once, as they were said, and only where the run may write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from tests.server.office import Desk, Office

from reeve import clock
from reeve.server.services import attempts, follow
from reeve.server.storage.store import Store, open_store
from reeve.wire import codec, requests


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


def record(message: str, flow_run_id: UUID | None, task_run_id: UUID | None = None) -> bytes:
    line = requests.LogCreate(
        name="reeve.flow_runs",
        level=20,
        message=message,
        timestamp=clock.now(),
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
    )
    return codec.encode(line) + b"\n"


async def send(office: Office, agent: Desk, attempt_id: UUID, data: bytes, offset: int = 0) -> None:
    chunk = requests.OutputChunk(stream="records", offset=offset, text=data.decode(), timestamp=clock.now())
    await attempts.output(office.ctx, attempt_id, requests.Output(epoch=agent.epoch, chunks=[chunk]))


async def test_records_are_stored_once_whatever_ends_of_lines_they_hold(store: Store) -> None:
    office = await Office(store).furnish()
    run, agent = await office.run(), await office.agent()
    (grant,) = (await agent.poll(1)).grants
    first, second = record("one\u2028two\nthree", run.id), record("four", run.id)
    await send(office, agent, grant.attempt_id, first)
    await send(office, agent, grant.attempt_id, first + second)
    await send(office, agent, grant.attempt_id, b'{"cut', len(first + second))
    news = await follow.follow(office.ctx, run.id, requests.Follow(hold_seconds=0))
    said = [(line.name, line.message) for line in news.logs]
    expected = [("reeve.flow_runs", "one\u2028two\nthree"), ("reeve.flow_runs", "four")]
    assert said == [*expected, ("reeve.records", '{"cut')]


async def test_records_about_the_runs_of_others_stay_with_the_run_that_wrote_them(store: Store) -> None:
    office = await Office(store).furnish()
    run, other, agent = await office.run(), await office.run(), await office.agent()
    (grant,) = (await agent.poll(1)).grants
    assert grant.run.id == run.id
    data = record("mine", run.id) + record("not mine", other.id) + record("nobody's", None)
    await send(office, agent, grant.attempt_id, data + record("of no task", run.id, uuid4()))
    news = await follow.follow(office.ctx, run.id, requests.Follow(hold_seconds=0))
    assert [line.message for line in news.logs] == ["mine", "not mine", "nobody's", "of no task"]
    theirs = await follow.follow(office.ctx, other.id, requests.Follow(hold_seconds=0))
    assert not theirs.logs
