"""What an agent does, seen from its server and from the runs it launches."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import KEY, Agents
from tests.agent.standin import WAIT_SECONDS, Attempt, Refused, StandIn, grant

from reeve.agent.faults import POINTS
from reeve.core.work import OnLost
from reeve.wire import endpoints
from reeve.wire.requests import NotLaunched


class Job:
    """A run's command that says on disk what it does: it marks each of its starts, and ends when let go."""

    def __init__(self, directory: Path, name: str = "job") -> None:
        self.marks = directory / f"{name}.marks"
        self._gate = directory / f"{name}.gate"
        self.waiting = (
            "/bin/sh",
            "-c",
            f"{self._mark}; while ! test -e {self._gate}; do sleep 0.02; done; echo late",
        )
        self.short = ("/bin/sh", "-c", self._mark)

    @property
    def _mark(self) -> str:
        return f"echo $$ >> {self.marks}"

    @property
    def starts(self) -> list[int]:
        return [int(line) for line in self.marks.read_text().splitlines()] if self.marks.exists() else []

    async def started(self) -> int:
        """Wait for its first start; return its pid."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not self.starts:
                await asyncio.sleep(0.02)
        return self.starts[0]

    def let_go(self) -> None:
        self._gate.touch()

    @property
    def is_alive(self) -> bool:
        return any(Path(f"/proc/{pid}").exists() for pid in self.starts)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


async def test_runs_what_is_granted_and_reports_it(server: StandIn, agents: Agents) -> None:
    attempt = await server.submit("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    agent = await agents.start()
    await server.until(lambda: attempt.end)
    assert attempt.launched
    assert attempt.launched.infrastructure_pid.endswith(f":{attempt.launched.handle['details']['pid']}")
    assert attempt.exit.exit_code == 3
    assert attempt.exit.cause == "Flow run infrastructure exited with non-zero status code 3."
    assert attempt.exit.output_tail == "err"
    assert not attempt.exit.stopped
    assert attempt.output == {"stdout": "out\n", "stderr": "err\n"}
    assert await agent.end() == 0
    assert len(server.farewells) == 1
    assert f"Submitting flow run '{attempt.grant.run.id}'" in agent.log
    assert f"Completed submission of flow run '{attempt.grant.run.id}'" in agent.log


async def test_works_through_many_runs_within_its_limit(server: StandIn, agents: Agents) -> None:
    attempts = [await server.submit("/bin/true") for _ in range(30)]
    await agents.start(limit=3)
    await server.until(lambda: all(one.closed for one in attempts))
    assert all(one.exit.exit_code == 0 for one in attempts)
    assert max(poll.free for poll in server.polls) == 3
    assert max(len(poll.held) for poll in server.polls) <= 3


async def test_a_slot_is_held_until_the_server_has_settled_the_attempt(
    server: StandIn, agents: Agents, job: Job
) -> None:
    server.figures["poll_seconds"] = 0.2  # it asks anew while the report is refused
    first, second = await server.submit(*job.waiting), await server.submit("/bin/true")
    await agents.start(limit=1)
    await server.until(lambda: first.launched)
    server.refusals[endpoints.report_attempts.name] = Refused(500, "Not now.")
    job.let_go()
    await server.until(lambda: server.refused)  # it has ended, and the server does not know
    asked = server.newest.seq
    await server.until(lambda: server.newest.seq > asked + 1)
    assert (server.newest.free, second.granted) == (0, 0)
    server.refusals.clear()
    await server.until(lambda: second.closed)
    assert first.exit.exit_code == 0


async def test_every_way_out_frees_its_slot(server: StandIn, agents: Agents, job: Job) -> None:
    await agents.start(limit=1)
    unprepared = await server.submit("/bin/true", overrides={"comand": "x"})
    await server.until(lambda: unprepared.closed)
    broken = await server.submit("/bin/true", template=_bottomless())
    await server.until(lambda: broken.closed)
    unlaunched = await server.submit("no-such-program")
    await server.until(lambda: unlaunched.closed)
    crashed = await server.submit("/bin/false")
    await server.until(lambda: crashed.closed)
    cancelled = await server.submit(*job.waiting)
    await server.until(lambda: cancelled.launched)
    await server.cancel(cancelled)
    await server.until(lambda: cancelled.closed)
    deleted = await server.submit(*job.waiting)
    await server.until(lambda: deleted.launched)
    deleted.forgotten = deleted.closed = True
    job.let_go()
    last = await server.submit("/bin/true")
    await server.until(lambda: last.closed)
    assert last.exit.exit_code == 0
    ends = [type(one.end).__name__ for one in (unprepared, broken, unlaunched, crashed, cancelled)]
    assert ends == ["NotLaunched", "NotLaunched", "NotLaunched", "Exited", "Exited"]


async def test_an_error_nobody_thought_of_ends_nothing_else(
    server: StandIn, agents: Agents, job: Job
) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    odd = await server.submit("/bin/true", template=_bottomless())
    await server.until(lambda: odd.closed)
    assert isinstance(odd.end, NotLaunched)
    assert "Traceback" in agent.log  # a fault of the program's, told in full
    job.let_go()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 0


# --- the network


async def test_waits_for_a_server_that_is_not_there_yet(server: StandIn, agents: Agents) -> None:
    await server.down()
    agent = await agents.start()
    await agent.says(f"No server at {server.url} yet; trying again")
    await server.up()
    await server.until(lambda: server.polls)
    await agent.says("Agent started! Looking for work from work pool 'default-agent-pool'...")
    assert agent.log.count("No server at") == 1
    assert "Traceback" not in agent.log


async def test_stops_while_there_is_no_server(server: StandIn, agents: Agents) -> None:
    await server.down()
    agent = await agents.start()
    await agent.says("No server at")
    assert await agent.end() == 0


async def test_lost_answers_lose_and_double_nothing(server: StandIn, agents: Agents, job: Job) -> None:
    server.figures["renew_seconds"] = 0.1
    for endpoint in (
        endpoints.register_agent,
        endpoints.poll_agent,
        endpoints.renew_attempts,
        endpoints.report_attempts,
        endpoints.attempt_output,
    ):
        server.lose(endpoint)
    attempt = await server.submit(*job.waiting)
    await agents.start()
    await job.started()
    await server.until(lambda: attempt.renewals > 3)
    server.lose(endpoints.report_attempts)
    job.let_go()
    await server.until(lambda: attempt.closed)
    assert len(job.starts) == 1
    assert attempt.granted > 1
    assert [type(one).__name__ for one in attempt.reports] == ["Launched", "Exited"]
    assert attempt.output["stdout"] == "late\n"


async def test_a_grant_that_comes_again_is_not_taken_again(server: StandIn, agents: Agents, job: Job) -> None:
    first = await server.submit(*job.short)
    await agents.start()
    await server.until(lambda: first.closed and server.newest.held == [])
    server.repeated = [first.grant]
    second = await server.submit("/bin/true")
    await server.until(lambda: second.closed)
    assert len(job.starts) == 1


async def test_an_outage_costs_no_run(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await job.started()
    await server.until(lambda: attempt.launched)
    await server.down()
    await agent.says("The server does not answer")
    job.let_go()
    await server.up()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 0
    assert attempt.output["stdout"] == "late\n"
    assert len(job.starts) == 1


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_refused_polls_end_neither_agent_nor_runs(
    server: StandIn, agents: Agents, job: Job, status: int
) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    server.refusals[endpoints.poll_agent.name] = Refused(status, "A broken server.")
    second = await server.submit("/bin/true")  # ends the open poll: the next is refused
    await server.until(lambda: server.refused)
    await agent.says("The server refused asking for work: A broken server.")
    server.refusals.clear()
    job.let_go()
    await server.until(lambda: attempt.closed and second.closed)
    assert (attempt.exit.exit_code, second.exit.exit_code) == (0, 0)


async def test_a_server_that_has_lost_its_memory_is_told_anew(server: StandIn, agents: Agents) -> None:
    for _ in range(3):
        before = await server.submit("/bin/true")
    await agents.start()
    await server.until(lambda: before.closed and not server.newest.held)
    await server.lose_memory()
    after = await server.submit("/bin/true")
    await server.until(lambda: after.closed)
    assert after.grant.number == 1
    assert len(server.registrations) == 2


async def test_no_agent_of_a_newer_process_is_disturbed(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await job.started()
    await server.until(lambda: attempt.launched)
    await server.supersede()
    assert await agent.wait() == 1
    assert "A newer process of this agent has registered" in agent.log
    assert job.is_alive
    await agents.start()
    await server.until(lambda: attempt.epoch == server.epoch)
    job.let_go()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 0


# --- death and return


@pytest.mark.parametrize("point", POINTS)
async def test_killed_anywhere_a_run_starts_once_and_ends_once(
    server: StandIn, agents: Agents, job: Job, point: str
) -> None:
    attempt = await server.submit(*job.short)
    agent = await agents.start({"REEVE_FAULT": point})
    assert await agent.wait() == -signal.SIGKILL, f"{point} was not reached"
    if point not in {"after_claim", "before_launch"}:
        await job.started()
    await agents.start()
    await server.until(lambda: attempt.closed and not server.newest.held)
    if point in {"after_claim", "before_launch"}:
        assert isinstance(attempt.end, NotLaunched)
        assert not attempt.end.permanent
        assert job.starts == []
    else:
        assert [type(one).__name__ for one in attempt.reports] == ["Launched", "Exited"]
        assert attempt.exit.exit_code == 0
        assert len(job.starts) == 1


async def test_a_run_is_adopted_with_its_output(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting[:2], f"echo early; {job.waiting[2]}")
    agent = await agents.start()
    await server.until(lambda: attempt.output["stdout"] == "early\n")
    await agent.end(signal.SIGKILL)
    server.figures["renew_seconds"] = 0.1
    await agents.start()
    await server.until(lambda: attempt.id in server.registrations[-1].held and attempt.renewals > 1)
    job.let_go()
    await server.until(lambda: attempt.closed)
    assert attempt.output["stdout"] == "early\nlate\n"
    assert len(job.starts) == 1


async def test_output_that_was_sent_and_not_noted_is_not_doubled(
    server: StandIn, agents: Agents, job: Job
) -> None:
    attempt = await server.submit(*job.waiting[:2], f"echo one; echo two; {job.waiting[2]}")
    agent = await agents.start()
    await server.until(lambda: attempt.output["stdout"] == "one\ntwo\n")
    await agent.end(signal.SIGKILL)
    (file,) = agents.home.glob("agents/*/tester/journal.db")
    with contextlib.closing(sqlite3.connect(file)) as journal, journal:
        journal.execute("update attempts set stdout = 0")
    job.let_go()
    await agents.start()
    await server.until(lambda: attempt.closed)
    assert attempt.output["stdout"] == "one\ntwo\nlate\n"


async def test_a_run_that_ended_meanwhile_is_reported(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    await agent.end(signal.SIGKILL)
    job.let_go()
    async with asyncio.timeout(WAIT_SECONDS):
        while job.is_alive:
            await asyncio.sleep(0.02)
    await agents.start()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 0
    assert attempt.output["stdout"] == "late\n"


async def test_a_run_is_found_without_the_journal(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    await agent.end(signal.SIGKILL)
    for file in agents.home.glob("agents/*/tester/journal.db*"):
        file.unlink()
    await agents.start()
    await server.until(lambda: attempt.granted > 1)
    job.let_go()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 0
    assert len(job.starts) == 1


async def test_what_the_server_has_given_up_is_ended(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    await agent.end(signal.SIGKILL)
    attempt.closed = True
    server.forget = [attempt.id]
    await agents.start()
    await server.until(lambda: server.polls and server.newest.epoch == 2 and not server.newest.held)
    assert not job.is_alive


async def test_a_run_that_was_deleted_is_ended(server: StandIn, agents: Agents, job: Job) -> None:
    server.figures["renew_seconds"] = 0.1
    attempt = await server.submit(*job.waiting)
    await agents.start()
    await job.started()
    await server.until(lambda: attempt.launched)
    attempt.forgotten = attempt.closed = True  # the answer to a renewal says so
    await server.until(lambda: not server.newest.held)
    assert not job.is_alive


# --- stopping the agent


async def test_told_to_stop_it_lets_runs_end_and_serves_them(
    server: StandIn, agents: Agents, job: Job, tmp_path: Path
) -> None:
    cancelled_job = Job(tmp_path, "cancelled")
    attempt, cancelled = await server.submit(*job.waiting), await server.submit(*cancelled_job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched and cancelled.launched)
    agent.send(signal.SIGTERM)
    await server.until(lambda: server.newest.free == 0 and len(server.newest.held) == 2)
    await server.cancel(cancelled)
    await server.until(lambda: cancelled.closed)
    assert cancelled.exit.stopped
    late = await server.submit("/bin/true")
    job.let_go()
    assert await agent.wait() == 0
    assert attempt.exit.exit_code == 0
    assert late.granted == 0
    assert len(server.farewells) == 1
    await _gone(agents)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_twice_it_ends_runs_at_once(
    server: StandIn, agents: Agents, job: Job, number: signal.Signals
) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    agent.send(number)
    await agent.says("Told to stop")
    assert await agent.end(number) == 0
    assert attempt.exit.stopped
    assert "its agent is stopping" in attempt.exit.cause
    assert not job.is_alive
    await _gone(agents)


async def test_runs_that_outlast_the_drain_are_left_to_the_next_start(
    server: StandIn, agents: Agents, job: Job
) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start(drain_timeout=0.0, leave_runs=True)
    await server.until(lambda: attempt.launched)
    assert await agent.end() == 0
    assert "Leaving 1 flow runs to the next start of this agent" in agent.log
    assert len(server.farewells) == 1
    assert job.is_alive
    assert not attempt.closed
    await agents.start()
    await server.until(lambda: attempt.id in server.registrations[-1].held)
    job.let_go()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.exit_code == 0
    assert attempt.output["stdout"] == "late\n"
    assert len(job.starts) == 1


async def test_told_twice_to_stop_an_agent_leaves_no_run(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start(drain_timeout=WAIT_SECONDS, leave_runs=True)
    await server.until(lambda: attempt.launched)
    agent.send(signal.SIGTERM)
    await agent.says("Told to stop")
    assert await agent.end() == 0
    assert attempt.exit.stopped
    assert not job.is_alive


async def test_runs_that_outlast_the_drain_are_ended(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start(drain_timeout=0.1)
    await server.until(lambda: attempt.launched)
    assert await agent.end() == 0
    assert attempt.exit.stopped
    assert not job.is_alive


async def test_a_shell_that_ignores_interrupts_does_not_hold_it(server: StandIn, agents: Agents) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited, as by a background job (W9)
    try:
        agent = await agents.start()
    finally:
        signal.signal(signal.SIGINT, before)
    await server.until(lambda: server.polls)
    assert await agent.end(signal.SIGINT) == 0


async def test_ends_while_the_server_is_away_are_told_at_the_next_start(
    server: StandIn, agents: Agents, job: Job
) -> None:
    attempt = await server.submit(*job.waiting, overrides={"grace_seconds": 0.1})
    agent = await agents.start(drain_timeout=0.1, delivery_seconds=0.3)
    await server.until(lambda: attempt.launched)
    await server.down()
    assert await agent.end() == 0
    assert "at the next start" in agent.log
    assert not job.is_alive
    await server.up()
    await agents.start()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.stopped


# --- cancelling


async def test_a_cancelled_run_is_ended(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    await agents.start()
    await server.until(lambda: attempt.launched)
    await server.cancel(attempt)
    await server.until(lambda: attempt.closed)
    assert attempt.exit.stopped
    assert attempt.exit.signal == signal.SIGTERM
    assert "its run was cancelled" in attempt.exit.cause
    assert not job.is_alive


async def test_one_that_will_not_end_is_killed_after_its_grace_period(
    server: StandIn, agents: Agents, job: Job
) -> None:
    stubborn = f"trap '' TERM; {job.waiting[2]}"
    attempt = await server.submit("/bin/sh", "-c", stubborn, overrides={"grace_seconds": 0.3})
    await agents.start()
    await job.started()
    await server.cancel(attempt)
    await server.until(lambda: attempt.closed)
    assert attempt.exit.signal == signal.SIGKILL
    assert "after the grace period" in attempt.exit.cause
    assert not job.is_alive


async def test_an_adopted_run_can_be_cancelled(server: StandIn, agents: Agents, job: Job) -> None:
    attempt = await server.submit(*job.waiting)
    agent = await agents.start()
    await server.until(lambda: attempt.launched)
    await agent.end(signal.SIGKILL)
    await server.cancel(attempt)
    await agents.start()
    await server.until(lambda: attempt.closed)
    assert attempt.exit.stopped


async def test_one_grant_too_many_waits_and_can_be_cancelled(
    server: StandIn, agents: Agents, job: Job, tmp_path: Path
) -> None:
    server.is_generous = True
    second_job = Job(tmp_path, "second")
    first, second = await server.submit(*job.waiting), await server.submit(*second_job.waiting)
    third = await server.submit("/bin/true")
    await agents.start(limit=1)
    await server.until(lambda: first.launched and len(server.newest.held) == 3)
    await server.cancel(second)
    await server.until(lambda: second.closed)
    assert isinstance(second.end, NotLaunched)
    assert second.end.reason == "its run was cancelled before the launch"
    assert third.reports == []
    job.let_go()
    await server.until(lambda: third.closed)
    assert second_job.starts == []


async def test_what_waits_for_a_slot_is_given_back_at_once_by_an_agent_that_stops(
    server: StandIn, agents: Agents, job: Job, tmp_path: Path
) -> None:
    server.is_generous = True
    second_job = Job(tmp_path, "second")
    first, second = await server.submit(*job.waiting), await server.submit(*second_job.waiting)
    agent = await agents.start(limit=1)
    await server.until(lambda: first.launched and len(server.newest.held) == 2)
    agent.send(signal.SIGTERM)
    await server.until(lambda: second.closed)
    assert isinstance(second.end, NotLaunched)
    assert second.end.reason == "its agent is stopping before the launch"
    assert second.end.given_back
    assert job.is_alive
    job.let_go()
    assert await agent.wait() == 0
    assert first.exit.exit_code == 0
    assert second_job.starts == []


async def test_what_is_granted_while_an_agent_is_told_to_stop_is_given_back(
    server: StandIn, agents: Agents, job: Job
) -> None:
    agent = await agents.start()
    await server.until(lambda: any(one.hold_seconds for one in server.polls))  # the first is answered at once
    server.is_crossing = True
    attempt = Attempt(grant([*job.waiting]))
    server.attempts[attempt.id] = attempt
    assert await agent.end() == 0
    assert isinstance(attempt.end, NotLaunched)
    assert attempt.end.reason == "its agent is stopping before the launch"


# --- what cannot be launched


async def test_a_job_variable_that_means_nothing_fails_the_run(server: StandIn, agents: Agents) -> None:
    attempt = await server.submit("/bin/true", overrides={"comand": "x"})
    agent = await agents.start()
    await server.until(lambda: attempt.closed)
    assert isinstance(attempt.end, NotLaunched)
    assert attempt.end.permanent
    assert "Did you mean 'command'?" in attempt.end.reason
    assert f"Failed to get infrastructure for flow run '{attempt.grant.run.id}'." in agent.log
    assert "Traceback" not in agent.log


async def test_a_command_that_is_not_there_is_named(server: StandIn, agents: Agents) -> None:
    attempt = await server.submit("no-such-program")
    agent = await agents.start()
    await server.until(lambda: attempt.closed)
    assert isinstance(attempt.end, NotLaunched)
    assert "no-such-program" in attempt.end.reason
    assert await agent.end() == 0
    assert list(agents.home.glob("agents/*/tester/jobs/*")) == []
    assert list(agents.home.glob("agents/*/tester/spool/*")) == []


# --- once


async def test_once_runs_what_is_due_and_ends(server: StandIn, agents: Agents) -> None:
    attempts = [await server.submit("/bin/sh", "-c", f"exit {n}") for n in range(3)]
    agent = await agents.start(run_once=True, limit=1)
    assert await agent.wait() == 0
    assert [one.exit.exit_code for one in attempts] == [0, 1, 2]
    assert len(server.farewells) == 1


async def test_once_without_a_server_fails(server: StandIn, agents: Agents) -> None:
    await server.down()
    agent = await agents.start(run_once=True, once_seconds=0.5)
    assert await agent.wait() == 1
    assert f"No reeve server answers at {server.url}" in agent.log


# --- refusals at the start


@pytest.mark.parametrize(
    "refused",
    [
        Refused(409, "tester is alive on elsewhere; choose --name"),
        Refused(404, 'Work pool "nopool" not found. Pools: none yet.'),
    ],
)
async def test_a_refusal_is_told_to_the_user(server: StandIn, agents: Agents, refused: Refused) -> None:
    server.refusal = refused
    agent = await agents.start(work_pool_name="nopool")
    assert await agent.wait() == 1
    assert f"Error: {refused}" in agent.log
    assert "Traceback" not in agent.log


async def test_two_agents_of_one_home_need_two_names(server: StandIn, agents: Agents) -> None:
    await agents.start()
    await server.until(lambda: server.polls)
    twin = await agents.start()
    assert await twin.wait() == 1
    assert (
        "An agent named 'tester' runs already from this home. Stop it, or choose another --name." in twin.log
    )
    await agents.start(name="other")
    await server.until(lambda: len(server.registrations) == 2)
    assert len({one.id for one in server.registrations}) == 2


async def test_it_is_the_same_agent_after_a_restart(server: StandIn, agents: Agents) -> None:
    for _ in range(2):
        server.polls.clear()
        agent = await agents.start()
        await server.until(lambda: server.polls)
        assert await agent.end() == 0
    first, second = server.registrations
    assert (first.id, first.machine_id) == (second.id, second.machine_id)


# --- what a run finds around it, and what it leaves


async def test_a_run_never_sees_the_agents_key(server: StandIn, agents: Agents) -> None:
    attempt = await server.submit("/usr/bin/env", overrides={"env": {"PATH": None, "MINE": "yes"}})
    await agents.start(
        {"PREFECT_API_KEY": KEY, "REEVE_DATABASE_URL": "postgresql://u:secret@h/d", "HERE": "1"}
    )
    await server.until(lambda: attempt.closed)
    seen = dict(line.split("=", 1) for line in attempt.output["stdout"].splitlines())
    assert KEY not in attempt.output["stdout"]
    assert "secret" not in attempt.output["stdout"]
    assert seen["REEVE_API_KEY"] == seen["PREFECT_API_KEY"] == attempt.grant.token
    assert seen["REEVE_API_URL"] == seen["PREFECT_API_URL"] == server.url
    assert seen["REEVE_RUN_ID"] == seen["PREFECT__FLOW_RUN_ID"] == str(attempt.grant.run.id)
    assert seen["REEVE_ATTEMPT"] == str(attempt.id)
    assert (seen["MINE"], seen["HERE"], "PATH" in seen) == ("yes", "1", False)


async def test_output_arrives_whatever_it_is(server: StandIn, agents: Agents, tmp_path: Path) -> None:
    written = b"broken \xff\xfe line\n" + "é".encode() * 200_000 + b"\nno end"
    (tmp_path / "output").write_bytes(written)
    attempt = await server.submit("/bin/cat", str(tmp_path / "output"))
    await agents.start()
    await server.until(lambda: attempt.closed)
    assert attempt.output["stdout"] == "broken ?? line\n" + "é" * 200_000 + "\nno end"
    assert attempt.exit.output_tail
    assert attempt.exit.output_tail.endswith("no end")


async def test_what_failed_stays_a_while_to_be_looked_at(server: StandIn, agents: Agents) -> None:
    failed = [await server.submit("/bin/false") for _ in range(7)]
    fine = await server.submit("/bin/true")
    await agents.start(limit=1)
    await server.until(lambda: all(one.closed for one in (*failed, fine)) and not server.newest.held)
    async with asyncio.timeout(WAIT_SECONDS):
        while len(kept := {one.name for one in agents.home.glob("agents/*/tester/spool/*")}) > 5:
            await asyncio.sleep(0.02)
    assert kept == {str(one.id) for one in failed[2:]}


async def test_where_another_attempt_may_follow_the_lease_is_renewed_first(
    server: StandIn, agents: Agents
) -> None:
    attempt = await server.submit("/bin/true", on_lost=OnLost.REPLACE)
    await agents.start()
    await server.until(lambda: attempt.launched)
    assert attempt.renewals == 1


async def test_an_idle_agent_is_small(server: StandIn, agents: Agents) -> None:
    agent = await agents.start()
    await server.until(lambda: server.polls)
    status = Path(f"/proc/{agent.pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 40 * 1024, f"{resident} KiB"  # design §6


def _bottomless() -> dict[str, Any]:
    """Return a job template at which preparing fails as nobody has thought of: by the depth of calls."""
    labels: dict[str, Any] = {}
    for _ in range(700):
        labels = {"deeper": labels}
    return {"job_configuration": {"labels": labels}}


async def _gone(agents: Agents) -> None:
    """Wait until no shim of the home is left."""
    async with asyncio.timeout(WAIT_SECONDS):
        while list(agents.shims()):
            await asyncio.sleep(0.02)
