"""What a poll that waits costs: of agents that are alike one looks for all, and who is busy does not look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from uuid import uuid4

import pytest
from tests.server.office import Desk, Office
from tests.server.overheard import Overheard

from reeve.core.agents import Agent
from reeve.core.states import StateType
from reeve.errors import NotFoundError
from reeve.server.services import agents, work
from reeve.server.services.hub import Hub, pool_topic, room_topic
from reeve.server.services.lookout import FRESH_SECONDS, Lookout, Outlook
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import requests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGENTS = 12


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


def agent(**fields: Any) -> Agent:
    known = {"name": "a", "host": "h", "machine_id": "m", "boot_id": "b", "work_pool_name": "p", "epoch": 1}
    at = {"created": NOW, "started": NOW, "last_seen": NOW}
    return Agent(**{"id": uuid4(), "work_pool_id": uuid4(), **known, **at, **fields})


class Heard:
    """An office that notes the statements of its polls."""

    def __init__(self, store: Store) -> None:
        self.statements: list[str] = []
        self.office = Office(cast("Store", Overheard(store, self._hear)))

    async def _hear(self, _: Transaction, sql: str, __: tuple[Any, ...]) -> None:
        self.statements.append(sql)

    async def waiting(self, desk: Desk, free: int) -> asyncio.Task[Any]:
        """Open a poll, and return it when it has looked at all that it looks at."""
        before = self.count("where t.agent_id = $1")
        polling = asyncio.create_task(desk.poll(free, hold=20))
        while self.count("where t.agent_id = $1") == before:
            await asyncio.sleep(0.01)
        return polling

    def count(self, words: str) -> int:
        """Return how many statements had these words."""
        return sum(words in statement for statement in self.statements)

    def looks(self) -> int:
        """Return how often somebody looked for what is due."""
        return self.count("select next_scheduled_start_time from flow_runs where work_queue_id")


async def test_of_many_agents_that_wait_alike_one_looks(store: Store) -> None:
    heard = Heard(store)
    office = await heard.office.furnish()
    desks = [await office.agent(f"a{number}") for number in range(AGENTS)]
    polls = [await heard.waiting(desk, 1) for desk in desks]
    assert heard.looks() == 1
    run = await office.run()
    done, left = await asyncio.wait(polls, timeout=15, return_when=asyncio.FIRST_COMPLETED)
    assert [grant.run.id for poll in done for grant in poll.result().grants] == [run.id]
    assert heard.looks() <= 4  # the one that claims, the next one, and one more if that was before the claim
    for poll in left:
        poll.cancel()


async def test_each_of_many_runs_finds_one_of_many_agents(store: Store) -> None:
    office = await Office(store).furnish()
    desks = [await office.agent(f"a{number}") for number in range(AGENTS)]
    polls = [asyncio.create_task(desk.poll(1, hold=20)) for desk in desks]
    for _ in range(AGENTS):
        await office.run()
    answers = await asyncio.wait_for(asyncio.gather(*polls), 15)
    assert [len(answer.grants) for answer in answers] == [1] * AGENTS


async def test_a_busy_agent_looks_at_nothing_when_a_run_is_due(store: Store) -> None:
    heard = Heard(store)
    office = await heard.office.furnish()
    polling = await heard.waiting(await office.agent(), 0)
    made_by = len(heard.statements)
    await office.run()
    assert not any("from agents" in one for one in heard.statements[made_by:])
    assert heard.looks() == 0
    polling.cancel()


async def test_a_busy_agent_hears_of_an_attempt_that_others_have_closed(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run()
    desk = await office.agent()
    (grant,) = (await desk.poll(1)).grants
    polling = asyncio.create_task(desk.poll(0, hold=20))
    await office.propose(run.id, StateType.FAILED, force=True)
    assert (await asyncio.wait_for(polling, 15)).stop == [grant.attempt_id]


async def test_a_poll_hears_of_what_an_older_one_that_it_crossed_was_granted(store: Store) -> None:
    heard = Heard(store)
    office = await heard.office.furnish()
    desk = await office.agent()
    run = await office.run()
    older = requests.Poll(epoch=desk.epoch, seq=1, free=1, held=[], acked_grant=0, hold_seconds=0.0)
    polling = await heard.waiting(desk, 0)
    await store.write(partial(agents._claim, office.ctx, agent_id=desk.id, body=older))
    (grant,) = (await asyncio.wait_for(polling, 15)).grants
    assert grant.run.id == run.id


async def test_a_busy_agent_hears_that_its_pool_is_gone(store: Store) -> None:
    heard = Heard(store)
    office = await heard.office.furnish()
    polling = await heard.waiting(await office.agent(), 0)
    await work.delete_pool(office.ctx, "p")
    with pytest.raises(NotFoundError):
        await asyncio.wait_for(polling, 15)


async def test_agents_that_differ_look_for_themselves(store: Store) -> None:
    office = await Office(store).furnish()
    blind = asyncio.create_task((await office.agent("blind", prefixes=["x"])).poll(1, hold=20))
    seeing = asyncio.create_task((await office.agent("seeing")).poll(1, hold=20))
    run = await office.run()
    (grant,) = (await asyncio.wait_for(seeing, 15)).grants
    assert grant.run.id == run.id
    blind.cancel()


def test_what_was_seen_is_out_of_date_with_a_wake_up_or_for_who_asks_anew_after_a_while() -> None:
    at = [0.0]
    hub, seen, one = Hub(), Lookout(lambda: at[0]), agent()
    assert seen.wait(hub, one) is None
    seen.note(one, seen.wakes(hub, one), Outlook(None))
    assert seen.wait(hub, one, older=False) == float("inf")
    assert seen.wait(hub, agent(work_pool_id=one.work_pool_id), older=False) == float("inf")
    assert seen.wait(hub, agent(work_pool_id=one.work_pool_id, queues=["q"])) is None
    hub.wake(room_topic(one.work_pool_id))
    assert seen.wait(hub, one) == float("inf")
    hub.wake(pool_topic(one.work_pool_id))
    assert seen.wait(hub, one) is None
    seen.note(one, seen.wakes(hub, one), Outlook(None, limited=True))
    at[0] += FRESH_SECONDS + 0.1
    assert seen.wait(hub, one) == float("inf")
    assert seen.wait(hub, one, older=False) is None
    hub.wake(room_topic(one.work_pool_id))
    assert seen.wait(hub, one) is None


def test_what_is_due_stays_so_until_somebody_has_claimed_in_vain() -> None:
    at = [0.0]
    hub, seen, one = Hub(), Lookout(lambda: at[0]), agent()
    seen.note(one, seen.wakes(hub, one), Outlook(2.0))
    assert seen.wait(hub, one) == 2.0
    at[0] += 100
    hub.wake(pool_topic(one.work_pool_id))
    assert seen.wait(hub, one, older=False) == -98.0
    seen.forget(one)
    assert seen.wait(hub, one) is None


def test_a_wake_up_during_a_look_makes_it_out_of_date() -> None:
    hub, seen, one = Hub(), Lookout(), agent()
    wakes = seen.wakes(hub, one)
    hub.wake(pool_topic(one.work_pool_id))
    seen.note(one, wakes, Outlook(None))
    assert seen.wait(hub, one) is None


def test_a_waiter_knows_by_what_it_was_woken_until_it_has_taken_that() -> None:
    hub = Hub()
    with hub.waiting("t", "u") as both, hub.waiting("u") as one:
        hub.wake("t")
        assert not one.is_set()
        assert both.is_set()
        hub.wake("u")
        assert both.take() == {"t", "u"}
        assert not both.is_set()
        assert both.take() == set()
        hub.wake_all()
        assert both.is_set()
        assert one.take() == {"u"}
