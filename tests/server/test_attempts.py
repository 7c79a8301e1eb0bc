"""Attempts: reports in order and once, crash budget, fence, leases, cancel; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from tests.server.office import Desk, Office, long_up

from reeve.core.attempts import LeaseTerms
from reeve.core.rules.verdict import SetStateStatus
from reeve.core.runs import FlowRun
from reeve.core.states import StateType
from reeve.core.work import OnLost
from reeve.errors import AttemptSupersededError, ForbiddenError
from reeve.server.loops.reaper import Reaper
from reeve.server.services import attempts, explain, follow, runs, task_runs
from reeve.server.services.context import Principal
from reeve.server.storage.store import Store, open_store
from reeve.wire import requests


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


async def claimed(office: Office, agent: Desk, *, started: bool = True) -> tuple[FlowRun, UUID]:
    """Ask for a run and have the agent claim, launch and start it."""
    run = await office.run()
    (grant,) = (await agent.poll(1)).grants
    if started:
        await agent.launched(grant.attempt_id)
        await office.propose(run.id, StateType.RUNNING, grant.attempt_id)
    return await office.read(run.id), grant.attempt_id


def state_of(run: FlowRun) -> tuple[str, str]:
    assert run.state is not None
    return run.state.type.value, run.state.name


async def test_a_run_that_completes(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    assert run.infrastructure_pid == "host:1"
    await office.propose(run.id, StateType.COMPLETED, attempt_id)
    assert (await office.read(run.id)).attempt_id == attempt_id  # its process may still be at work
    await agent.exited(attempt_id, exit_code=0, cpu_seconds=0.5, max_rss_kib=1000)
    run = await office.read(run.id)
    assert state_of(run) == ("COMPLETED", "Completed")
    assert run.attempt_id is None
    (attempt,) = await office.attempts(run.id)
    assert (attempt.state, attempt.cpu_seconds, attempt.agent_name) == ("ENDED", 0.5, "a")


async def test_reports_are_applied_once(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=5)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    for _ in range(3):
        receipt = await agent.report(attempt_id, requests.Exited(seq=0, cause="killed by SIGKILL"), seq=2)
        assert (receipt.next_seq, receipt.closed) == (3, True)
    assert (await office.read(run.id)).crash_count == 1


async def test_a_report_out_of_order_waits_for_the_missing_one(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    _, attempt_id = await claimed(office, agent, started=False)
    receipt = await agent.report(attempt_id, requests.Exited(seq=0, cause="x"), seq=2)
    assert (receipt.next_seq, receipt.closed) == (1, False)


async def test_crashes_are_retried_within_their_budget(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=1)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await agent.exited(attempt_id, "killed by SIGKILL", signal=9)
    run = await office.read(run.id)
    assert state_of(run) == ("SCHEDULED", "AwaitingRetry")
    assert run.state is not None
    assert run.state.message == "killed by SIGKILL"
    (grant,) = (await agent.poll(1)).grants
    assert grant.attempt_number == 2
    await agent.launched(grant.attempt_id)
    await agent.exited(grant.attempt_id, "killed by SIGKILL", signal=9)
    assert state_of(await office.read(run.id)) == ("CRASHED", "Crashed")
    assert [each.state for each in await office.attempts(run.id)] == ["CRASHED", "CRASHED"]


async def test_a_crash_that_the_process_reports_itself_is_retried_too(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=1)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await office.propose(run.id, StateType.CRASHED, attempt_id)
    assert state_of(await office.read(run.id)) == ("SCHEDULED", "AwaitingRetry")
    await agent.exited(attempt_id, "exited with code 1", exit_code=1)
    run = await office.read(run.id)
    assert (state_of(run), run.crash_count) == (("SCHEDULED", "AwaitingRetry"), 1)
    assert len((await agent.poll(1)).grants) == 1


async def test_exit_code_zero_without_an_end_is_a_crash(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await agent.exited(attempt_id, "exited with code 0", exit_code=0)
    assert state_of(await office.read(run.id)) == ("CRASHED", "Crashed")


async def test_open_task_runs_and_subflows_end_with_the_process(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    holder = Principal(attempt_id)
    body = requests.TaskRunCreate(task_key="t", dynamic_key="0", flow_run_id=run.id)
    task, created = await task_runs.create(office.ctx, holder, body)
    assert created
    assert not (await task_runs.create(office.ctx, holder, body))[1]
    child, _ = await runs.create_flow_run(
        office.ctx, holder, requests.FlowRunCreate(flow_id=office.flow_id, parent_task_run_id=task.id), None
    )
    await office.propose(child.id, StateType.RUNNING, attempt_id)
    await agent.exited(attempt_id, "killed by SIGKILL", signal=9)
    ended = await task_runs.read(office.ctx, task.id)
    assert ended.state is not None
    assert ended.state.type is StateType.CRASHED
    assert state_of(await office.read(child.id)) == ("CRASHED", "Crashed")


async def test_only_the_holder_is_heard(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=1)
    agent = await office.agent()
    run, old = await claimed(office, agent)
    with pytest.raises(AttemptSupersededError):
        await office.propose(run.id, StateType.COMPLETED)
    await agent.exited(old, "killed by SIGKILL")
    (grant,) = (await agent.poll(1)).grants
    late = await office.propose(run.id, StateType.RUNNING, old)
    assert late.verdict.status is SetStateStatus.ABORT
    with pytest.raises(AttemptSupersededError):
        await office.propose(run.id, StateType.COMPLETED, old)
    accepted = await office.propose(run.id, StateType.RUNNING, grant.attempt_id)
    assert accepted.verdict.status is SetStateStatus.ACCEPT


async def test_an_attempt_may_not_write_another_run(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    _, mine = await claimed(office, agent)
    other, _ = await claimed(office, agent)
    with pytest.raises(ForbiddenError, match="another run"):
        await office.propose(other.id, StateType.COMPLETED, mine)


async def test_not_launched_is_scheduled_again_then_crashed(store: Store) -> None:
    office = await Office(store, LeaseTerms(launch_tries=2)).furnish()
    agent = await office.agent()
    run, first = await claimed(office, agent, started=False)
    await agent.report(first, requests.NotLaunched(seq=0, reason="no memory"))
    assert state_of(await office.read(run.id)) == ("SCHEDULED", "Scheduled")
    (grant,) = (await agent.poll(1)).grants
    await agent.report(grant.attempt_id, requests.NotLaunched(seq=0, reason="no memory"))
    run = await office.read(run.id)
    assert state_of(run) == ("CRASHED", "Crashed")
    assert run.state is not None
    assert run.state.message == "Not launched in 2 attempts; the last: no memory"


async def test_what_agents_that_leave_give_back_is_scheduled_again_however_often(store: Store) -> None:
    office = await Office(store, LeaseTerms(launch_tries=2)).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent, started=False)
    for _ in range(3):
        back = requests.NotLaunched(seq=0, reason="its agent is stopping", given_back=True)
        await agent.report(attempt_id, back)
        assert state_of(await office.read(run.id)) == ("SCHEDULED", "Scheduled")
        (grant,) = (await agent.poll(1)).grants
        attempt_id = grant.attempt_id


async def test_what_can_never_be_launched_fails_with_the_reason(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent, started=False)
    await agent.report(attempt_id, requests.NotLaunched(seq=0, reason="no such command", permanent=True))
    run = await office.read(run.id)
    assert run.state is not None
    assert (run.state.type, run.state.message) == (StateType.FAILED, "Submission failed. no such command")


async def reap(office: Office) -> None:
    await long_up(office.ctx).round()


async def test_a_lease_that_ends_before_the_launch_gives_the_run_back(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, _ = await claimed(office, agent, started=False)
    await reap(office)
    assert state_of(await office.read(run.id)) == ("PENDING", "Pending")
    await office.age_leases(60)
    await reap(office)
    run = await office.read(run.id)
    assert state_of(run) == ("SCHEDULED", "Scheduled")
    assert run.state is not None
    assert "not heard of" in (run.state.message or "")


async def test_silence_is_shown_then_healed_by_a_renewal(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await office.age_leases(30)
    await reap(office)
    assert state_of(await office.read(run.id)) == ("RUNNING", "Unreachable")
    account = await explain.explain(office.ctx, run.id)
    assert account.summary == "The run's agent is unreachable."
    renewal = await agent.renew(attempt_id)
    assert (renewal.stop, renewal.over) == ([], [])
    run = await office.read(run.id)
    assert state_of(run) == ("RUNNING", "Running")
    assert run.run_count == 1


async def test_silence_for_good_is_a_crash_and_late_words_are_refused(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await office.age_leases(400)
    await reap(office)
    assert state_of(await office.read(run.id)) == ("CRASHED", "Crashed")
    assert [each.state for each in await office.attempts(run.id)] == ["LOST"]
    assert (await agent.renew(attempt_id)).over == [attempt_id]
    with pytest.raises(AttemptSupersededError):
        await office.propose(run.id, StateType.COMPLETED, attempt_id)


async def test_replace_opens_the_next_attempt_sooner(store: Store) -> None:
    office = await Office(store).furnish(crash_retries=1)
    agent = await office.agent()
    earlier, _ = await claimed(office, agent)
    await store.write(lambda tx: tx.execute("update work_pools set on_lost = 'replace'"))
    run = await office.run()
    (grant,) = (await agent.poll(1)).grants
    assert grant.on_lost is OnLost.REPLACE
    await agent.launched(grant.attempt_id)
    await office.age_leases(30)
    await reap(office)
    assert state_of(await office.read(run.id)) == ("SCHEDULED", "AwaitingRetry")
    # Its shim knows nothing of the pool's new setting, and would go on beside a second attempt.
    assert state_of(await office.read(earlier.id)) == ("RUNNING", "Unreachable")


async def test_a_server_that_just_started_reaps_nothing(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, _ = await claimed(office, agent)
    await office.age_leases(400)
    await Reaper(office.ctx, 1.0).round()
    assert state_of(await office.read(run.id)) == ("RUNNING", "Running")


async def test_a_renewal_with_a_forged_token_is_told_to_stop(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    _, attempt_id = await claimed(office, agent)
    agent.tokens[attempt_id] += "x"
    assert (await agent.renew(attempt_id)).over == [attempt_id]


async def test_cancel_of_a_scheduled_run_is_at_once(store: Store) -> None:
    office = await Office(store).furnish()
    run = await office.run()
    await runs.cancel(office.ctx, run.id, requests.CancelRun())
    assert state_of(await office.read(run.id)) == ("CANCELLED", "Cancelled")


async def test_cancelled_only_with_the_proof_that_it_is_gone(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await runs.cancel(office.ctx, run.id, requests.CancelRun())
    assert state_of(await office.read(run.id)) == ("CANCELLING", "Cancelling")
    (told,) = (await agent.poll(0)).cancel
    assert told.attempt_id == attempt_id
    refused = await office.propose(run.id, StateType.COMPLETED, attempt_id)
    assert refused.verdict.status is SetStateStatus.REJECT
    await agent.exited(attempt_id, "ended on request", stopped=True, signal=15)
    assert state_of(await office.read(run.id)) == ("CANCELLED", "Cancelled")
    assert [each.state for each in await office.attempts(run.id)] == ["ENDED"]


async def test_a_stop_that_fails_keeps_it_cancelling_and_says_why(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await runs.cancel(office.ctx, run.id, requests.CancelRun())
    await agent.report(attempt_id, requests.StopFailed(seq=0, reason="pid 7 does not end"))
    run = await office.read(run.id)
    assert run.state is not None
    assert (run.state.type, run.state.message) == (StateType.CANCELLING, "pid 7 does not end")


async def test_force_ends_it_unproven_and_frees_its_slot(store: Store) -> None:
    office = await Office(store).furnish(queue_limit=1)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await runs.cancel(office.ctx, run.id, requests.CancelRun(force=True, by="ann"))
    run = await office.read(run.id)
    assert state_of(run) == ("CANCELLED", "Cancelled")
    assert run.state is not None
    assert (run.state.message or "").startswith("Cancelled by ann, unproven")
    await office.run()
    work = await agent.poll(1)
    assert work.stop == [attempt_id]
    assert len(work.grants) == 1


async def test_output_is_stored_once(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    chunk = requests.OutputChunk(stream="stdout", offset=0, text="one\ntwo\n", timestamp=run.created)
    for _ in range(3):
        await attempts.output(office.ctx, attempt_id, requests.Output(epoch=agent.epoch, chunks=[chunk]))
    overlapping = requests.OutputChunk(stream="stdout", offset=4, text="two\nthree\n", timestamp=run.created)
    await attempts.output(office.ctx, attempt_id, requests.Output(epoch=agent.epoch, chunks=[overlapping]))
    news = await follow.follow(office.ctx, run.id, requests.Follow(hold_seconds=0))
    assert [line.message for line in news.logs] == ["one", "two", "three"]
    assert [state.name for state in news.states] == ["Scheduled", "Pending", "Running"]
    again = requests.Follow(state_cursor=news.state_cursor, log_cursor=news.log_cursor, hold_seconds=0)
    nothing = await follow.follow(office.ctx, run.id, again)
    assert (nothing.states, nothing.logs) == ([], [])


async def test_a_foreign_client_fills_the_limit_and_is_never_reaped(store: Store) -> None:
    office = await Office(store).furnish(queue_limit=1)
    first, second = await office.run(), await office.run()
    assert (await office.propose(first.id, StateType.PENDING)).verdict.status is SetStateStatus.ACCEPT
    full = await office.propose(second.id, StateType.PENDING)
    assert full.verdict.status is SetStateStatus.ABORT
    assert "default" in (full.verdict.reason or "")
    agent = await office.agent()
    assert (await agent.poll(5)).grants == []
    await office.age_leases(10_000)
    await reap(office)
    await office.propose(first.id, StateType.RUNNING)
    assert state_of(await office.read(first.id)) == ("RUNNING", "Running")
    assert "2.20 client" in (await explain.explain(office.ctx, first.id)).summary
    await office.propose(first.id, StateType.COMPLETED)
    assert len((await agent.poll(5)).grants) == 1


@pytest.mark.parametrize("permanent", [False, True])
async def test_what_has_said_running_is_not_given_back_as_never_launched(
    store: Store, permanent: bool
) -> None:
    """A launch that failed half-way: the process was there, and had begun, before its agent gave it up."""
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent, started=False)
    await office.propose(run.id, StateType.RUNNING, attempt_id)
    await agent.report(attempt_id, requests.NotLaunched(seq=0, reason="no shim", permanent=permanent))
    run = await office.read(run.id)
    assert state_of(run) == ("CRASHED", "Crashed")
    assert run.state is not None
    assert "It had begun when its launch was given up: no shim" in (run.state.message or "")
    (attempt,) = await office.attempts(run.id)
    assert (attempt.state, attempt.crash_reason) == ("LOST", "agent_lost")
    assert (await agent.poll(1)).grants == []


async def test_clients_at_once_keep_to_the_limit_of_a_deployment(store: Store) -> None:
    office = await Office(store).furnish(concurrency_limit=3)
    wanted = [(await office.run()).id for _ in range(9)]
    answers = await asyncio.gather(*(office.propose(one, StateType.PENDING) for one in wanted))
    refused = [answer.verdict for answer in answers if answer.verdict.status is SetStateStatus.ABORT]
    assert len(refused) == 6
    assert all("deployment 'd'" in (verdict.reason or "") for verdict in refused)


@pytest.mark.parametrize("type_", [StateType.PENDING, StateType.RUNNING])
async def test_a_run_without_a_queue_keeps_to_the_limit_of_its_deployment(
    store: Store, type_: StateType
) -> None:
    """As ``serve`` of 2.20 has them; a place that is given back is free."""
    office = await Office(store).furnish(concurrency_limit=1)
    first, second = await office.run(), await office.run()
    await store.write(lambda tx: tx.execute("update flow_runs set work_queue_id = null"))
    assert (await office.propose(first.id, type_)).verdict.status is SetStateStatus.ACCEPT
    assert (await office.propose(second.id, type_)).verdict.status is SetStateStatus.ABORT
    await office.propose(first.id, StateType.COMPLETED, force=True)
    assert (await office.propose(second.id, type_)).verdict.status is SetStateStatus.ACCEPT


async def test_reports_about_a_deleted_run_are_answered(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await runs.delete(office.ctx, run.id)
    exited = requests.Exited(seq=0, exit_code=0, cause="Its process exited with 0.")
    assert (await agent.report(attempt_id, exited)).closed
    assert (await agent.renew(attempt_id)).over == [attempt_id]


async def test_a_tree_that_cannot_be_ended_frees_its_slot_in_the_end_and_says_so(store: Store) -> None:
    office = await Office(store).furnish(queue_limit=1)
    agent = await office.agent()
    run, attempt_id = await claimed(office, agent)
    await runs.cancel(office.ctx, run.id, requests.CancelRun())
    await agent.report(attempt_id, requests.StopFailed(seq=0, reason="pid 7 in uninterruptible sleep"))
    await reap(office)
    assert state_of(await office.read(run.id)) == ("CANCELLING", "Cancelling")
    office.longer(lost_after=0)
    await reap(office)
    run = await office.read(run.id)
    assert state_of(run) == ("CANCELLED", "Cancelled")
    assert run.state is not None
    assert "unconfirmed" in (run.state.message or "")
    await office.run()
    assert len((await agent.poll(1)).grants) == 1


async def test_subflows_with_processes_of_their_own_are_cancelled_with_their_parent(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    parent, attempt_id = await claimed(office, agent)
    holder = Principal(attempt_id)
    inner = await child(office, holder, parent.id)
    waiting = await child(office, holder, inner.id, deployment_id=office.deployment_id)
    running = await child(office, holder, parent.id, deployment_id=office.deployment_id)
    await office.propose(running.id, StateType.RUNNING, force=True)
    done = await child(office, holder, parent.id, deployment_id=office.deployment_id)
    await office.propose(done.id, StateType.COMPLETED, force=True)
    await runs.cancel(office.ctx, parent.id, requests.CancelRun())
    ends = [state_of(await office.read(one.id))[1] for one in (parent, inner, waiting, running, done)]
    assert ends == ["Cancelling", "Scheduled", "Cancelled", "Cancelling", "Completed"]
    await agent.exited(attempt_id, "ended on request", signal=15)
    assert [state_of(await office.read(one.id))[1] for one in (parent, inner)] == ["Cancelled", "Cancelled"]


async def test_a_subflow_with_a_deployment_is_claimed_like_any_run(store: Store) -> None:
    office = await Office(store).furnish()
    agent = await office.agent()
    parent, attempt_id = await claimed(office, agent)
    waiting = await child(office, Principal(attempt_id), parent.id, deployment_id=office.deployment_id)
    # A 2.20 agent that claims it is not taken for a second executor of the parent.
    claim = await office.propose(waiting.id, StateType.PENDING)
    assert claim.verdict.status is SetStateStatus.ACCEPT
    with pytest.raises(AttemptSupersededError):
        await office.propose(waiting.id, StateType.COMPLETED, attempt_id)


async def child(
    office: Office, holder: Principal, parent: UUID, deployment_id: UUID | None = None
) -> FlowRun:
    """Make a subflow of a run, as its engine does."""
    task = requests.TaskRunCreate(task_key="t", dynamic_key=str(uuid4()), flow_run_id=parent)
    made, _ = await task_runs.create(office.ctx, holder, task)
    body = requests.FlowRunCreate(
        flow_id=office.flow_id,
        deployment_id=deployment_id,
        parent_task_run_id=made.id,
        state=requests.StateCreate(type=StateType.SCHEDULED),
    )
    run, _ = await runs.create_flow_run(office.ctx, holder, body, None)
    return run


async def test_an_attempt_says_which_code_it_runs(store: Store) -> None:
    office = await Office(store).furnish(code_version="abc+changed")
    run = await office.run()
    agent = await office.agent()
    (grant,) = (await agent.poll(1)).grants
    (attempt,) = await office.attempts(run.id)
    assert attempt.code_version == "abc+changed"
    own, other = Principal(grant.attempt_id), Principal(uuid4())
    await attempts.set_code_version(office.ctx, own, grant.attempt_id, "fetched")
    with pytest.raises(ForbiddenError):
        await attempts.set_code_version(office.ctx, other, grant.attempt_id, "forged")
    assert [each.code_version for each in await office.attempts(run.id)] == ["fetched"]
    await agent.launched(grant.attempt_id)
    await agent.exited(grant.attempt_id, exit_code=1)
    with pytest.raises(AttemptSupersededError):
        await attempts.set_code_version(office.ctx, own, grant.attempt_id, "late")
    foreign = await office.run()
    await office.propose(foreign.id, StateType.PENDING)
    assert [each.code_version for each in await office.attempts(foreign.id)] == ["abc+changed"]
