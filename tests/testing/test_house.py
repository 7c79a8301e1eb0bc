"""``reeve.testing``: a house is a real server, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.testing import flows

from reeve import Variable, clock
from reeve.core.hearing import Hearing
from reeve.errors import InvalidInputError, NotFoundError, ReeveError
from reeve.server.loops.reaper import Reaper
from reeve.testing import House
from reeve.testing import house as opened

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_call_is_a_run_of_the_house(house: House) -> None:
    run = house.run(flows.report, "2026-03-28", times=2)
    assert run.result() == 20
    assert run.state.is_completed
    assert run.history == ["Pending", "Running", "Completed"]
    assert run.parameters == {"day": "2026-03-28", "times": 2}
    assert "report of 2026-03-28" in run.logs
    assert [artifact.data for artifact in run.artifacts] == ["20 rows"]
    assert run.task("download-0").state.is_completed
    with pytest.raises(NotFoundError, match=r"no task run 'upload-0'. Its task runs: download-0"):
        run.task("upload-0")


def test_plain_calls_are_runs_too(house: House) -> None:
    assert flows.report() == 10
    assert [run.state.name for run in house.runs()] == ["Completed"]
    assert house.runs(flows.report)
    assert house.runs(flows.broken) == []


def test_what_a_flow_raises_is_in_its_run(house: House) -> None:
    run = house.run(flows.broken)
    with pytest.raises(ValueError, match="no rows"):
        run.result()
    assert run.history[-1] == "Failed"
    assert "no rows" in str(run.state)


def test_retries_do_not_wait(house: House) -> None:
    flows.outages += ["it is away", "it is away"]
    began = house.clock.now()
    run = house.run(flows.report)
    assert run.result() == 10
    assert run.task("download-0").tries == 3
    assert timedelta(minutes=20) <= house.clock.now() - began < timedelta(minutes=21)


async def test_async_flows_are_awaited_and_their_retries_do_not_wait(house: House) -> None:
    began = house.clock.now()
    run = await house.run(flows.awaited, "2026-03-28")
    assert run.result() == 10
    assert run.history[2:] == ["AwaitingRetry", "Running", "Completed"]
    assert house.clock.now() - began >= timedelta(hours=1)


async def test_a_deployed_flow_has_a_loop_of_its_own_in_async_tests(house: House) -> None:
    run = house.deploy(flows.awaited).run(day="2026-03-28")
    assert run.result() == 10


def test_caches_expire_by_the_clock(house: House) -> None:
    assert house.run(flows.rated, "monday").task("rate-0").state.name == "Completed"
    assert house.run(flows.rated, "monday").task("rate-0").state.name == "Cached"
    house.clock.move(hours=2)
    assert house.run(flows.rated, "monday").task("rate-0").state.name == "Completed"
    assert len(flows.downloads) == 2


def test_a_schedule_is_known_ahead() -> None:
    with opened(at="2026-03-28T00:00") as house:
        daily = house.deploy(
            flows.report,
            schedules=[
                {"cron": "0 9 * * *", "timezone": "Europe/Berlin"},
                {"cron": "0 12 * * 0", "parameters": {"times": 7}},
            ],
            parameters={"day": "today"},
        )
        found = [(run.at.strftime("%d %H"), run.parameters.get("times", 1)) for run in daily.upcoming(days=3)]
    assert found == [("28 08", 1), ("29 07", 1), ("29 12", 7), ("30 07", 1)]  # the clocks are set forward


def test_due_runs_are_executed_at_their_dates() -> None:
    with opened(at="2026-03-28T00:00") as house:
        daily = house.deploy(flows.report, cron="0 9 * * *")
        first = house.run_next()
        assert first is not None
        assert first.result() == 10
        nine = datetime(2026, 3, 28, 9, tzinfo=UTC)
        assert nine <= house.clock.now() < nine + timedelta(minutes=10)
        assert [run.state.name for run in house.advance(days=3)] == ["Completed"] * 3
        assert house.clock.now() >= datetime(2026, 3, 31, 9, tzinfo=UTC)
        assert [run.state.name for run in daily.runs].count("Completed") == 4
        starts = [state for run in daily.runs for state in run.history if state in {"Late", "Pending"}]
        assert starts == ["Pending"] * 4


def test_what_is_foreseen_is_what_runs() -> None:
    with opened(at="2026-10-24T12:00") as house:
        twice = house.deploy(
            flows.report,
            schedules=[
                {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
                {"interval": "7h", "anchor": "2026-01-01", "parameters": {"times": 3}, "overlap": "skip"},
            ],
        )
        foreseen = [(run.at, run.parameters) for run in twice.upcoming(days=2)]
        done = house.advance(days=2)
        assert [(run.due, run.parameters) for run in done] == foreseen
        assert len(foreseen) == 2 + 7


def test_a_leap_leaves_runs_late_and_they_catch_up_as_their_policy_says() -> None:
    with opened(at="2026-03-28T00:30") as house:
        kept = house.deploy(flows.report, "kept", cron="0 * * * *", catchup="all")
        newest = house.deploy(flows.report, "newest", cron="0 * * * *", catchup="last")
        house.clock.move(hours=5)
        assert [run.state.name for run in kept.runs].count("Late") == 5
        assert [run.state.name for run in newest.runs].count("Skipped") == 3
        assert len(house.work()) == 6


def test_the_time_limits_of_waiting_runs_fall_due(house: House) -> None:
    run = house.deploy(flows.report, must_start_by="1h").start()
    house.clock.move(minutes=59)
    assert run.state.name == "Late"
    house.clock.move(minutes=2)
    assert run.state.name == "Failed"
    assert house.work() == []


def test_a_paused_deployment_has_no_runs(house: House) -> None:
    deployment = house.deploy(flows.report, cron="0 9 * * *", paused=True)
    assert deployment.upcoming(days=30) == []
    assert deployment.run_next() is None
    assert house.run_next() is None
    assert house.advance(days=30) == []


def test_a_run_that_nobody_may_claim_waits(house: House) -> None:
    deployment = house.deploy(flows.report, concurrency_limit=0, interval="1h")
    assert deployment.run().state.name == "Scheduled"
    assert deployment.run_next() is None
    assert house.run_next() is None
    assert house.advance(hours=3) == []


def test_a_suspended_run_goes_on_when_it_is_resumed(house: House) -> None:
    run = house.deploy(flows.leaves).run()
    assert run.state.name == "Suspended"
    run.resume(value="yes")
    (resumed,) = house.work()
    assert (resumed.id, resumed.result()) == (run.id, "yes")


def test_a_pause_ends_by_the_clock(house: House) -> None:
    with house.agent():
        run = house.deploy(flows.asks).start().wait("Paused")
        house.clock.move(minutes=59)
        assert run.state.name == "Paused"
        house.clock.move(minutes=2)
        assert run.wait().state.name == "Failed"


def test_an_agent_launches_processes() -> None:
    with opened(at="2020-02-29") as house, house.agent():
        run = house.deploy(flows.where).start().wait()
        asked = house.deploy(flows.asks).start().wait("Paused")
        asked.resume(value="yes")
        asked.wait("Completed")
        assert run.artifacts[0].data != f'[{{"pid": {os.getpid()}}}]'
        with pytest.raises(ReeveError, match="has ended as Completed"):
            run.wait("Paused", seconds=1)


def test_waiting_says_what_hinders_the_run(house: House) -> None:
    run = house.deploy(flows.report).start()
    with pytest.raises(TimeoutError, match=r"is Scheduled after 0.01 s. .*[Aa]gent"):
        run.wait(seconds=0.01)
    run.cancel()
    assert run.wait().state.name == "Cancelled"


def test_leaps_cost_no_lease(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that is under way while days go by is not lost: nobody could have renewed its lease."""
    (reaper,) = (duty for duty in house._server._duties if isinstance(duty, Reaper))
    now = house.clock.now()
    reaper.hearing = Hearing(timedelta(seconds=6))
    for seconds in range(60, -1, -1):  # it has heard for long: else it would judge nobody
        reaper.hearing.heard(now - timedelta(seconds=seconds))

    def download(day: str) -> int:
        for _ in range(65):  # each shorter than what a server takes for a gap by itself
            house.clock.move(seconds=5.5)
        house.clock.move(days=3)
        return 1

    monkeypatch.setattr(flows.download, "fn", download)
    run = house.run(flows.report)
    assert run.history == ["Pending", "Running", "Completed"]


def test_the_clock_goes_forward_only(house: House) -> None:
    now = house.clock.now()
    assert house.clock.move(days=1, hours=1) >= now + timedelta(hours=25)
    with pytest.raises(InvalidInputError, match="forward only"):
        house.clock.set(now)
    with pytest.raises(InvalidInputError, match="no moment"):
        house.clock.set("tomorrow")
    with pytest.raises(InvalidInputError, match="Say how long"):
        house.clock.move(moons=1)


def test_the_command_line_speaks_to_the_house(house: House) -> None:
    house.deploy(flows.report, "nightly")
    done = subprocess.run(
        [sys.executable, "-m", "reeve", "run", "report/nightly"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [run.result() for run in house.work()] == [10]


def test_all_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_API_URL", "http://elsewhere:1/api")
    monkeypatch.setenv("REEVE_RUN_ID", "of a run that tests")
    threads = set(threading.enumerate())
    with opened(at=NEW_YEAR) as house:
        assert NEW_YEAR <= clock.now() < NEW_YEAR + timedelta(minutes=1)
        assert "REEVE_RUN_ID" not in os.environ
        house.run(flows.report)
        Variable.set("a", "b")
        home = house.home
    assert (os.environ["REEVE_API_URL"], os.environ["REEVE_RUN_ID"]) == (
        "http://elsewhere:1/api",
        "of a run that tests",
    )
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert not home.exists()
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert left <= {"reeve-logs", "reeve-keeper"}  # those of any process that reports


def test_houses_follow_each_other_and_know_nothing_of_one_another() -> None:
    for _ in range(2):
        with opened() as house:
            assert house.runs() == []
            house.run(flows.report)
    with opened(), pytest.raises(ReeveError, match="There is a house open"), opened():
        pass


def test_what_a_block_raises_passes_and_the_house_is_closed() -> None:
    with pytest.raises(KeyError), opened() as house:
        raise KeyError
    assert not house.home.exists()


def test_a_house_opens_in_an_event_loop() -> None:
    async def use() -> int:
        with opened() as house:
            run = await house.run(flows.awaited, "monday")
            return int(run.result())

    flows.downloads.append("")
    assert asyncio.run(use()) == 6


def test_without_a_house_waits_are_waits() -> None:
    with opened():
        now = clock.now()
        assert clock.to_sleep(600) == 0
        assert clock.now() - now >= timedelta(minutes=10)
        assert 0 < clock.to_sleep(600, asks_again=True) < 1  # a slot that is held is not freed by a leap
        assert clock.now() - now < timedelta(minutes=20)
    assert clock.to_sleep(600) == 600
    assert clock.to_sleep(600, asks_again=True) == 600


def test_a_house_opens_in_less_than_a_second() -> None:
    with opened():
        pass
    began = time.process_time()  # on a busy machine the wall clock says little
    with opened():
        took = time.process_time() - began
    assert took < 1
