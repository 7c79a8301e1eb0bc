"""Time limits and the crash budget, as the server keeps them; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from tests.server.office import Desk, Office

from reeve.core.crashes import CrashReason
from reeve.core.rules.verdict import SetStateStatus
from reeve.core.runs import FlowRun
from reeve.core.states import StateType
from reeve.core.time_limits import Then, TimeLimit
from reeve.server.loops.time_limits import TimeLimits
from reeve.server.services import explain
from reeve.server.storage.store import Store, open_store

HOUR = 3600
MICROSECOND = timedelta(microseconds=1)
TIMES = {
    "attempts": ("opened", "launched", "started", "expires"),
    "flow_runs": ("expected_start_time", "next_scheduled_start_time"),
}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


async def claimed(office: Office, agent: Desk) -> tuple[FlowRun, UUID]:
    """Ask for a run and have the agent claim and launch it."""
    run = await office.run()
    (grant,) = (await agent.poll(1)).grants
    await agent.launched(grant.attempt_id)
    return run, grant.attempt_id


async def execute(store: Store, sql: str, *args: object) -> None:
    await store.write(lambda tx: tx.execute(sql, *args))


async def pass_time(store: Store, hours: float) -> None:
    """Move what has happened into the past, as if so much time had gone by."""
    moved = timedelta(hours=hours) // MICROSECOND
    for table, columns in TIMES.items():
        changes = ", ".join(f"{column} = {column} - {moved}" for column in columns)
        await execute(store, f"update {table} set {changes}")
    await execute(store, "update flow_run_states set details = '{}'")  # with when they were due


async def ended(office: Office, run: FlowRun) -> tuple[str, str | None]:
    state = (await office.read(run.id)).state
    assert state is not None
    return state.name, state.message


@pytest.mark.parametrize(
    ("then", "name"), [(Then.FAIL, "Failed"), (Then.CANCEL, "Cancelled"), (Then.RETRY, "AwaitingRetry")]
)
async def test_a_run_that_takes_too_long_is_ended(store: Store, then: Then, name: str) -> None:
    office = await Office(store).furnish(crash_retries=1, max_run=TimeLimit(seconds=HOUR, then=then))
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await office.propose(run.id, StateType.RUNNING, attempt_id)
    assert (await agent.poll(0)).cancel == []
    await pass_time(store, 1)
    (told,) = (await agent.poll(0)).cancel
    assert (told.attempt_id, told.reason) == (attempt_id, "a time limit of its deployment is over")
    assert (await agent.renew(attempt_id)).stop == [attempt_id]
    assert "time is over" in (await explain.explain(office.ctx, run.id)).summary
    await agent.exited(attempt_id, "ended by SIGTERM", signal=15)
    assert await ended(office, run) == (name, "It ran longer than its limit of 1 h.")
    assert [one.crash_reason for one in await office.attempts(run.id)] == [None]


async def test_a_run_that_ends_by_itself_in_its_grace_has_ended_so(store: Store) -> None:
    office = await Office(store).furnish(max_run=TimeLimit(seconds=HOUR))
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await office.propose(run.id, StateType.RUNNING, attempt_id)
    await pass_time(store, 1)
    await office.propose(run.id, StateType.COMPLETED, attempt_id)
    await agent.exited(attempt_id, exit_code=0)
    assert (await ended(office, run))[0] == "Completed"


async def test_the_end_that_the_shim_made_is_the_limits(store: Store) -> None:
    office = await Office(store).furnish(max_run=TimeLimit(seconds=HOUR))
    agent = await office.agent()
    run = await office.run()
    (grant,) = (await agent.poll(1)).grants
    assert grant.max_run_seconds == HOUR
    await agent.launched(grant.attempt_id)
    await office.propose(run.id, StateType.RUNNING, grant.attempt_id)
    await agent.exited(grant.attempt_id, "ended by SIGTERM", signal=15, overran=True)
    assert await ended(office, run) == ("Failed", "It ran longer than its limit of 1 h.")


async def test_the_limits_are_those_of_the_claim(store: Store) -> None:
    office = await Office(store).furnish(max_run=TimeLimit(seconds=HOUR))
    agent = await office.agent()
    _, attempt_id = await claimed(office, agent)
    await execute(store, "update deployment_options set max_run = 1")
    await pass_time(store, 0.5)
    assert (await agent.renew(attempt_id)).stop == []


async def test_a_run_that_stays_pending_is_ended_and_does_not_start(store: Store) -> None:
    office = await Office(store).furnish(max_pending=TimeLimit(seconds=HOUR))
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await pass_time(store, 1)
    late = await office.propose(run.id, StateType.RUNNING, attempt_id)
    assert late.verdict.status is SetStateStatus.ABORT
    assert [one.attempt_id for one in (await agent.poll(0)).cancel] == [attempt_id]
    await agent.exited(attempt_id, exit_code=0)
    assert await ended(office, run) == ("Failed", "It was not Running within 1 h of its claim.")


@pytest.mark.parametrize(("then", "name"), [(Then.FAIL, "Failed"), (Then.CANCEL, "Cancelled")])
async def test_a_run_that_cannot_start_in_time_waits_no_longer(store: Store, then: Then, name: str) -> None:
    office = await Office(store).furnish(must_start_by=TimeLimit(seconds=HOUR, then=then))
    late, coming = await office.run(), await office.run()
    later = "update flow_runs set expected_start_time = expected_start_time + $1 where id = $2"
    await execute(store, later, timedelta(hours=1) // MICROSECOND, coming.id)
    limits = TimeLimits(office.ctx, 1.0)
    await pass_time(store, 0.9)
    await limits.round()
    assert (await ended(office, late))[0] == "Scheduled"
    await pass_time(store, 0.1)
    await limits.round()
    assert await ended(office, late) == (name, "It did not start within 1 h of when it was due.")
    assert (await ended(office, coming))[0] == "Scheduled"


async def test_a_late_start_is_refused_to_a_claimed_run_too(store: Store) -> None:
    office = await Office(store).furnish(must_start_by=TimeLimit(seconds=HOUR))
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await pass_time(store, 1)
    late = await office.propose(run.id, StateType.RUNNING, attempt_id)
    assert late.verdict.status is SetStateStatus.ABORT
    await agent.exited(attempt_id, exit_code=0)
    assert await ended(office, run) == ("Failed", "It did not start within 1 h of when it was due.")


async def test_a_crash_waits_its_delay(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=1, crash_retry_delay=HOUR)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await agent.exited(attempt_id, "killed by SIGKILL", signal=9)
    assert (await ended(office, run))[0] == "AwaitingRetry"
    due = (await office.read(run.id)).next_scheduled_start_time
    assert due is not None
    assert timedelta(minutes=59) < due - datetime.now(UTC) < timedelta(minutes=61)
    assert (await agent.poll(1)).grants == []


async def test_a_crash_of_another_kind_is_final(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=9, crash_retry_on=[CrashReason.OUT_OF_MEMORY])
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await agent.exited(attempt_id, "no memory", signal=9, reason=CrashReason.OUT_OF_MEMORY)
    assert (await ended(office, run))[0] == "AwaitingRetry"
    (grant,) = (await agent.poll(1)).grants
    await agent.launched(grant.attempt_id)
    await agent.exited(grant.attempt_id, "killed by SIGKILL", signal=9)
    assert await ended(office, run) == ("Crashed", "killed by SIGKILL")
    reasons = [one.crash_reason for one in await office.attempts(run.id)]
    assert reasons == [CrashReason.OUT_OF_MEMORY, CrashReason.SIGNAL]


async def test_a_run_that_takes_its_agent_down_three_times_is_quarantined(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=99)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    for _ in range(2):
        await agent.exited(attempt_id, "The machine was restarted.")
        assert (await ended(office, run))[0] == "AwaitingRetry"
        (grant,) = (await agent.poll(1)).grants
        attempt_id = grant.attempt_id
        await agent.launched(attempt_id)
    await agent.exited(attempt_id, "The machine was restarted.")
    name, message = await ended(office, run)
    assert name == "Crashed"
    assert "Quarantined: its agent was lost with it 3 times" in (message or "")
    assert (await agent.poll(1)).grants == []
