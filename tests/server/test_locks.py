"""Who waits for a lock sees what the one before has left, on both databases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tests.server.office import OPERATOR, Office

from reeve import clock
from reeve.core.states import StateType
from reeve.server.services import attempts
from reeve.server.services import task_runs as service
from reeve.server.storage import attempts as stored
from reeve.server.storage import deployments, runs, task_runs
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import requests

AT_ONCE = 12


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


async def test_a_run_that_was_waited_for_comes_with_the_state_it_was_given_meanwhile(store: Store) -> None:
    run = await (await Office(store).furnish()).run()

    async def move(tx: Transaction) -> bool:
        locked = await runs.lock(tx, run.id)
        assert locked is not None
        if locked.state is None:
            return False
        await runs.enter(tx, [replace(locked, state=replace(locked.state, id=uuid4()))])
        return True

    assert all(await asyncio.gather(*(store.write(move) for _ in range(AT_ONCE))))


async def test_a_deployment_that_was_waited_for_comes_with_the_options_it_was_given_meanwhile(
    store: Store,
) -> None:
    office = await Office(store).furnish()

    async def count(tx: Transaction) -> None:
        locked = await deployments.lock(tx, office.deployment_id)
        assert locked is not None
        budget = replace(locked.options.budget, retries=locked.options.budget.retries + 1)
        await deployments.set_options(tx, locked.id, replace(locked.options, budget=budget))
        await deployments.update(tx, replace(locked, updated=await tx.now()))

    await asyncio.gather(*(store.write(count) for _ in range(AT_ONCE)))
    found = await store.read(lambda tx: deployments.read(tx, office.deployment_id))
    assert found is not None
    assert found.options.budget.retries == AT_ONCE


async def test_a_task_run_that_was_waited_for_comes_with_the_state_it_was_given_meanwhile(
    store: Store,
) -> None:
    office = await Office(store).furnish()
    run = await office.run()
    body = requests.TaskRunCreate(
        flow_run_id=run.id,
        task_key="t",
        dynamic_key="0",
        state=requests.StateCreate(type=StateType.PENDING),
    )
    made, _ = await service.create(office.ctx, OPERATOR, body)

    async def move(tx: Transaction) -> bool:
        one = await task_runs.lock(tx, made.id)
        assert one is not None
        unfinished = await task_runs.unfinished(tx, run.id, 10)
        if one.state is None or any(each.state is None for each in unfinished):
            return False
        await task_runs.enter(tx, [replace(one, state=replace(one.state, id=uuid4()))])
        return True

    assert all(await asyncio.gather(*(store.write(move) for _ in range(AT_ONCE))))


async def test_output_that_is_sent_twice_at_once_is_stored_once(store: Store) -> None:
    """A line was cut: the request is repeated while the server is still at work on the first."""
    office = await Office(store).furnish()
    agent = await office.agent()
    run = await office.run()
    (grant,) = (await agent.poll(1)).grants
    text = "".join(f"line {number}\n" for number in range(50))
    chunk = requests.OutputChunk(stream="stdout", offset=0, text=text, timestamp=clock.now())
    body = requests.Output(epoch=agent.epoch, chunks=[chunk])
    await asyncio.gather(*(attempts.output(office.ctx, grant.attempt_id, body) for _ in range(AT_ONCE)))
    count = "select count(*) from logs where flow_run_id = $1"
    assert await store.read(lambda tx: tx.fetchval(count, run.id)) == 50


async def test_a_launch_and_its_start_that_are_told_at_once_wait_for_one_another_in_one_order(
    postgres_url: str,
) -> None:
    """A deadlock is found after a second only."""
    store = await open_store(postgres_url)
    office = await Office(store).furnish()
    agent = await office.agent()
    for _ in range(40):
        await office.run()
    grants = (await agent.poll(40)).grants
    for grant in grants:
        await asyncio.gather(
            agent.launched(grant.attempt_id),
            office.propose(grant.run.id, StateType.RUNNING, grant.attempt_id),
        )
    found = "select deadlocks from pg_stat_database where datname = current_database()"
    await store.close()
    store = await open_store(postgres_url)
    assert await store.read(lambda tx: tx.fetchval(found)) == 0
    await store.close()


async def test_a_renewal_and_reports_on_the_same_attempts_lock_them_in_one_order(postgres_url: str) -> None:
    """Whoever loses a deadlock tries again: it would be seen by its second try."""
    store = await open_store(postgres_url)
    office = await Office(store).furnish()
    agent = await office.agent()
    for _ in range(2):
        await office.run()
    held = sorted(grant.attempt_id for grant in (await agent.poll(2)).grants)
    has_locked, tries = asyncio.Event(), Counter[str]()

    async def report(tx: Transaction) -> None:
        tries["report"] += 1
        found = await stored.read_of_all_locked(tx, held)
        has_locked.set()
        for attempt in reversed(found):
            await stored.update(tx, replace(attempt, last_seq=1))
            await tx.fetchval("select pg_sleep(0.2)")  # the renewal comes to its locks

    async def renew(tx: Transaction) -> None:
        tries["renew"] += 1
        await stored.renew(tx, held, clock.now())

    reporting = asyncio.create_task(store.write(report))
    await has_locked.wait()
    await store.write(renew)
    await reporting
    assert tries == {"report": 1, "renew": 1}
    await store.close()
