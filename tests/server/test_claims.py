"""Claims and polls: every due run is granted once, within every limit, in order, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from tests.server.office import Desk, Office

from reeve import clock
from reeve.core.attempts import LeaseTerms
from reeve.core.states import StateDetails, StateType
from reeve.errors import ConflictError, NotFoundError
from reeve.server.services import agents, blocks, deployments
from reeve.server.storage.dialects.sqlite import SqliteStore
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import filters, queries, requests, responses


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


def due_in(seconds: float) -> requests.StateCreate:
    at = clock.now() + timedelta(seconds=seconds)
    return requests.StateCreate(type=StateType.SCHEDULED, state_details=StateDetails(scheduled_time=at))


async def opened(office: Office, agent: Desk) -> None:
    """Wait until the server holds the agent's poll open."""
    while not office.ctx.presence.is_newest(agent.id, agent.epoch, 1):
        await asyncio.sleep(0.01)  # the server says so by this alone


async def test_a_due_run_is_granted_with_all_that_launching_needs(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run(parameters={"x": 1})
    agent = await office.agent()
    (grant,) = (await agent.poll(5)).grants
    assert grant.run.id == run.id
    assert grant.run.state_name == "Pending"
    assert grant.run.parameters == {"x": 1}
    assert grant.flow_name == "f"
    assert grant.deployment is not None
    assert grant.deployment.id == office.deployment_id
    assert grant.engine == "reeve"
    assert grant.attempt_number == 1
    assert (await agent.poll(5)).grants == []


async def test_a_lost_answer_is_given_again(store: Store) -> None:
    office = await Office(store).furnish()
    await office.run()
    agent = await office.agent()
    (lost,) = (await agent.poll(5, acknowledge=False)).grants
    (again,) = (await agent.poll(5)).grants
    assert (lost.attempt_id, lost.token, lost.number) == (again.attempt_id, again.token, again.number)


async def test_grants_that_were_not_acknowledged_count_as_taken_slots(store: Store) -> None:
    office = await Office(store).furnish()
    for _ in range(3):
        await office.run()
    agent = await office.agent()
    assert len((await agent.poll(2, acknowledge=False)).grants) == 2
    assert len((await agent.poll(2)).grants) == 2
    assert len((await agent.poll(0)).grants) == 0


async def test_polls_of_an_agent_that_cross_keep_to_its_slots(store: Store) -> None:
    office = await Office(store).furnish()
    for _ in range(40):
        await office.run()
    for number in range(5):
        agent = await office.agent(f"agent {number}")
        await asyncio.gather(*(agent.poll(2, acknowledge=False) for _ in range(4)))
        assert len((await agent.poll(2, acknowledge=False)).grants) == 2


async def test_three_claimers_at_once_keep_to_a_limit_of_five(store: Store) -> None:
    """A claim that counts and locks in one statement fills more than five on PostgreSQL."""
    office = await Office(store).furnish(queue_limit=5)
    for _ in range(30):
        await office.run()
    desks = [await office.agent(f"agent {n}") for n in range(3)]
    for _ in range(4):
        works = await asyncio.gather(*(desk.poll(10) for desk in desks))
        del works
        assert sum(len(desk.held) for desk in desks) == 5
        for desk in desks:
            for attempt_id in list(desk.held):
                await desk.launched(attempt_id)
                await desk.exited(attempt_id, "exited with code 1", exit_code=1)


async def test_claimers_at_once_keep_to_the_limit_of_a_deployment(store: Store) -> None:
    """Its runs wait in two queues, which the agents serve in part: no two of them share a queue's lock."""
    office = await Office(store).furnish(concurrency_limit=5)
    for name in ["default", "other"] * 12:
        await office.run(work_queue_name=name)
    desks = [await office.agent(f"agent {n}", queues=[["default"], ["other"], []][n % 3]) for n in range(6)]
    for _ in range(4):
        await asyncio.gather(*(desk.poll(10) for desk in desks))
        assert sum(len(desk.held) for desk in desks) == 5
        for desk in desks:
            for attempt_id in list(desk.held):
                await desk.launched(attempt_id)
                await desk.exited(attempt_id, "exited with code 1", exit_code=1)


async def test_a_full_deployment_hides_nothing_behind_its_runs(store: Store) -> None:
    office = await Office(store).furnish(concurrency_limit=2)
    first, second, third = [(await office.run(state=due_in(-9))).id for _ in range(3)]
    free = await office.another_deployment()
    behind = await office.run(state=due_in(-5), of=free)
    agent = await office.agent()
    granted = [grant.run.id for grant in (await agent.poll(3)).grants]
    assert granted[-1] == behind.id
    assert len({*granted} & {first, second, third}) == 2
    soon = await office.run(state=due_in(0.5), of=free)
    (grant,) = (await asyncio.wait_for(agent.poll(1, hold=20), 15)).grants
    assert grant.run.id == soon.id


async def test_a_place_in_a_deployment_wakes_the_polls_of_its_pool(store: Store) -> None:
    office = await Office(store).furnish(concurrency_limit=1)
    await office.run()
    second = await office.run()
    agent = await office.agent()
    (attempt_id,) = [grant.attempt_id for grant in (await agent.poll(5)).grants]
    polling = asyncio.create_task(agent.poll(5, hold=20))
    while not office.ctx.presence.is_newest(agent.id, agent.epoch, 2):
        await asyncio.sleep(0.01)  # the server says so by this alone
    await store.write(lambda tx: tx.execute("update attempts set work_pool_id = null"))  # of another pool
    await agent.launched(attempt_id)
    await agent.exited(attempt_id, "exited with code 1", exit_code=1)
    (grant,) = (await asyncio.wait_for(polling, 15)).grants
    assert grant.run.id == second.id


@pytest.mark.parametrize("raised", [2, None])
async def test_a_limit_that_is_raised_wakes_the_polls_of_its_pool(store: Store, raised: int | None) -> None:
    office = await Office(store).furnish(concurrency_limit=0)
    run = await office.run()
    agent = await office.agent()
    polling = asyncio.create_task(agent.poll(5, hold=20))
    await opened(office, agent)
    body = requests.DeploymentOptions(concurrency_limit=raised)
    await deployments.set_options(office.ctx, office.deployment_id, body)
    (grant,) = (await asyncio.wait_for(polling, 15)).grants
    assert grant.run.id == run.id


async def test_many_claimers_grant_each_run_once(store: Store) -> None:
    office = await Office(store).furnish()
    made = {(await office.run()).id for _ in range(40)}
    desks = [await office.agent(f"agent {n}") for n in range(4)]
    granted = []
    for _ in range(4):
        for work in await asyncio.gather(*(desk.poll(3) for desk in desks)):
            granted += [grant.run.id for grant in work.grants]
    assert len(granted) == len(set(granted)) == 40
    assert set(granted) == made


async def test_runs_come_by_priority_then_by_scheduled_time(store: Store) -> None:
    office = await Office(store).furnish()
    later = await office.run(state=due_in(-1))
    first = await office.run(state=due_in(-2))
    urgent = await office.run(state=due_in(-0.5), work_queue_name="urgent")
    await office.ctx.store.write(
        lambda tx: tx.execute("update work_queues set priority = case when name = 'urgent' then 1 else 2 end")
    )
    agent = await office.agent()
    assert [grant.run.id for grant in (await agent.poll(5)).grants] == [urgent.id, first.id, later.id]


async def test_a_held_poll_is_answered_when_a_run_is_asked_for(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    polling = asyncio.create_task(agent.poll(1, hold=20))
    await opened(office, agent)
    run = await office.run()
    (grant,) = (await asyncio.wait_for(polling, 15)).grants
    assert grant.run.id == run.id


async def test_on_sqlite_a_run_is_claimed_by_the_transaction_that_makes_it(sqlite_url: str) -> None:
    """Only for an agent that has room, and waits; a poll that an agent has given up claims nothing."""
    store = await open_store(sqlite_url)
    assert isinstance(store, SqliteStore)
    office = await Office(store).furnish()
    agent, busy = await office.agent(), await office.agent("busy")

    async def resting() -> None:
        """Wait until the agent's poll has seen that there is nothing for it."""
        while not store._rides._waiting:
            await asyncio.sleep(0.01)

    polls = [asyncio.create_task(busy.poll(0, hold=20)), asyncio.create_task(agent.poll(1, hold=20))]
    await resting()
    run = await office.run()
    (attempt,) = await office.attempts(run.id)
    assert attempt.agent_id == agent.id
    (grant,) = (await asyncio.wait_for(polls[1], 15)).grants
    assert grant.attempt_id == attempt.id

    given_up = asyncio.create_task(agent.poll(1, hold=20))
    await resting()
    given_up.cancel()
    await asyncio.wait([given_up])
    run = await office.run()
    assert await office.attempts(run.id) == []
    assert [grant.run.id for grant in (await agent.poll(1)).grants] == [run.id]
    polls[0].cancel()
    await store.close()


async def test_a_run_asked_for_at_one_server_reaches_the_agent_of_another(postgres_url: str) -> None:
    here, there = await open_store(postgres_url), await open_store(postgres_url)
    try:
        office, other = await Office(here).furnish(), Office(there)
        agent = await office.agent()
        polling = asyncio.create_task(agent.poll(1, hold=20))
        await opened(office, agent)
        run = await other.run(of=office.deployment_id)
        (grant,) = (await asyncio.wait_for(polling, 15)).grants
        assert grant.run.id == run.id
    finally:
        await here.close()
        await there.close()


async def test_a_held_poll_is_answered_when_a_run_falls_due(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run(state=due_in(0.3))
    agent = await office.agent()
    (grant,) = (await asyncio.wait_for(agent.poll(1, hold=20), 15)).grants
    assert grant.run.id == run.id


async def test_a_run_that_is_held_back_hides_none_that_falls_due(store: Store) -> None:
    office = await Office(store).furnish(queue_limit=0)
    await office.run(state=due_in(-5))
    agent = await office.agent()
    assert (await agent.poll(1)).grants == []
    free = await office.run(state=due_in(0.5), work_queue_name="free")
    (grant,) = (await asyncio.wait_for(agent.poll(1, hold=20), 15)).grants
    assert grant.run.id == free.id


async def test_runs_are_granted_as_early_as_their_agent_wants_them(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run(state=due_in(60.5))
    agent = await office.agent(prefetch_seconds=60.0)
    (grant,) = (await asyncio.wait_for(agent.poll(1, hold=20), 15)).grants
    assert grant.run.id == run.id


async def test_a_held_poll_is_answered_when_a_run_without_a_queue_is_cancelled(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run()
    agent = await office.agent()
    await agent.poll(1)
    await office.ctx.store.write(lambda tx: tx.execute("update flow_runs set work_queue_id = null"))
    polling = asyncio.create_task(agent.poll(0, hold=20))
    while not office.ctx.presence.is_newest(agent.id, agent.epoch, 2):
        await asyncio.sleep(0.01)  # the server says so by this alone
    await office.propose(run.id, StateType.CANCELLING)
    (told,) = (await asyncio.wait_for(polling, 15)).cancel
    assert told.attempt_id in agent.held


async def test_a_newer_poll_ends_the_older_one(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    older = asyncio.create_task(agent.poll(1, hold=20))
    await opened(office, agent)
    await agent.poll(1)
    assert (await asyncio.wait_for(older, 15)).grants == []


@pytest.mark.parametrize("table", ["work_queues", "work_pools"])
async def test_paused_queues_and_pools_grant_nothing(store: Store, table: str) -> None:
    office = await Office(store).furnish()
    await office.run()
    await office.ctx.store.write(lambda tx: tx.execute(f"update {table} set is_paused = $1", True))
    assert (await (await office.agent()).poll(5)).grants == []


async def test_a_prefix_that_matches_nothing_serves_nothing(store: Store) -> None:
    office = await Office(store).furnish()
    await office.run()
    assert (await (await office.agent("none", prefixes=["x"])).poll(5)).grants == []
    assert len((await (await office.agent("some", prefixes=["DEF"])).poll(5)).grants) == 1


async def test_a_poll_with_no_work_writes_nothing(sqlite_url: str) -> None:
    office = await Office(await open_store(sqlite_url)).furnish()
    agent = await office.agent()
    version = "pragma data_version"
    before = await office.ctx.store.read(lambda tx: tx.fetchval(version))
    for _ in range(5):
        await agent.poll(5)
    assert await office.ctx.store.read(lambda tx: tx.fetchval(version)) == before
    await office.ctx.store.close()


async def test_a_newer_epoch_refuses_the_older_and_keeps_what_is_held(store: Store) -> None:
    office = await Office(store).furnish()
    kept, dropped = await office.run(), await office.run()
    first = await office.agent()
    await first.poll(5)
    by_run = {
        attempt.flow_run_id: attempt.id
        for run in (kept, dropped)
        for attempt in await office.attempts(run.id)
    }
    second = await office.agent(id_=first.id, held=[by_run[kept.id]])
    assert second.epoch == first.epoch + 1
    with pytest.raises(ConflictError, match="newer start"):
        await first.poll(5)
    assert (await office.read(kept.id)).attempt_id == by_run[kept.id]
    again = await office.read(dropped.id)
    assert again.state is not None
    assert again.state.type is StateType.SCHEDULED
    assert "never received" in (again.state.message or "")


async def test_another_agent_with_a_living_name_is_refused(store: Store) -> None:
    office = await Office(store).furnish()
    await office.agent("twin")
    with pytest.raises(ConflictError, match="twin is alive on host; choose --name"):
        await office.agent("twin")


async def test_an_unknown_pool_is_named_with_those_there_are(store: Store) -> None:
    office = await Office(store).furnish()
    body = requests.Register(
        id=office.pool_id, name="x", host="h", machine_id="m", boot_id="b", pool="nope", version="0"
    )
    with pytest.raises(NotFoundError, match=r'"nope" not found\. Pools: p\. Create it with'):
        await agents.register(office.ctx, body)


async def test_what_an_agent_dropped_is_scheduled_again_and_in_the_end_crashed(store: Store) -> None:
    office = await Office(store, LeaseTerms(launch_tries=2)).furnish()
    run = await office.run()
    agent = await office.agent()
    await agent.poll(1)
    agent.held.clear()  # it has acknowledged the grant, and forgotten it
    (grant,) = (await agent.poll(1, hold=20)).grants
    assert grant.attempt_number == 2
    agent.held.clear()
    assert (await agent.poll(1)).grants == []
    ended = await office.read(run.id)
    assert ended.state is not None
    assert ended.state.type is StateType.CRASHED
    assert "Not launched in 2 attempts" in (ended.state.message or "")


async def test_what_an_agent_cannot_launch_is_left_to_others(store: Store) -> None:
    office = await Office(store).furnish()
    box = await _kept_block(office, "docker-container")
    foreign = await office.run(state=due_in(-5), infrastructure_document_id=box)
    plain = await office.run(state=due_in(-4))
    agent = await office.agent("processes")
    assert [grant.run.id for grant in (await agent.poll(5)).grants] == [plain.id]
    other = await office.agent("boxes", kinds=["docker-container"])
    assert [grant.run.id for grant in (await other.poll(5)).grants] == [foreign.id]


async def test_a_default_document_is_what_runs_without_one_need(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run()
    box = await _kept_block(office, "docker-container")
    unable = await office.agent("a", default_infrastructure_document_id=box)
    assert not unable.registration.is_drivable
    assert (await unable.poll(5)).grants == []
    able = await office.agent("b", default_infrastructure_document_id=box, kinds=["docker-container"])
    (grant,) = (await able.poll(5)).grants
    assert grant.run.id == run.id
    assert grant.infrastructure is not None
    assert grant.infrastructure.type == "docker-container"


async def test_a_grant_brings_the_block_that_its_deployment_names(store: Store) -> None:
    office = await Office(store).furnish()
    document_id = await _kept_block(office, "process", command=["x"])
    gone = uuid4()
    agent = await office.agent()
    for named, type_slug, data in ((document_id, "process", {"command": ["x"]}), (gone, "deleted", {})):
        await store.write(partial(name_infrastructure, document_id=named))
        await office.run()
        (grant,) = (await agent.poll(5)).grants
        assert grant.infrastructure == responses.Infrastructure(type=type_slug, data=data)


async def name_infrastructure(tx: Transaction, document_id: UUID) -> None:
    await tx.execute("update deployments set infrastructure_document_id = $1", document_id)


async def _kept_block(office: Office, slug: str, **data: object) -> UUID:
    """Keep an infrastructure block; return its id."""
    await blocks.install_system_types(office.ctx.store)
    type_ = await blocks.type_by_slug(office.ctx, slug)
    query = queries.BlockSchemaQuery(
        block_schemas=filters.BlockSchemaFilter(block_type_id=filters.Ids(any_=[type_.id]))
    )
    (schema,) = await blocks.schemas(office.ctx, query, 1, 0)
    body = requests.BlockDocumentCreate(
        name="here", data=data, block_schema_id=schema.id, block_type_id=type_.id
    )
    return (await blocks.create_document(office.ctx, body)).id
