"""What a kill -9 does, at each place where it hurts: no run is lost, stuck or doubled.

The user's code appends to a file opened with O_APPEND, so that doubles and losses are counted by something
that is not reeve.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.acceptance.house import House, alive, until

SHORT = """
import os
from reeve import flow

@flow
def main(marks: str, n: int = 0):
    with open(marks, "a") as file:
        file.write(os.environ["REEVE_RUN_ID"] + "\\n")
"""

WAITING = """
import os, pathlib, time
from reeve import flow

@flow
def main(marks: str):
    with open(marks, "a") as file:
        file.write(f"{os.environ['REEVE_RUN_ID']} {os.getpid()}\\n")
    while not pathlib.Path(marks + ".go").exists():
        time.sleep(0.05)
"""


def marked(marks: Path) -> Counter[str]:
    """Count the starts of user code by run."""
    lines = marks.read_text().splitlines() if marks.exists() else []
    return Counter(line.split()[0] for line in lines)


def pids(marks: Path) -> list[int]:
    """Return the pids that user code has written, in order."""
    return [int(line.split()[1]) for line in marks.read_text().splitlines()] if marks.exists() else []


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    return tmp_path / "marks"


def test_a_killed_run_is_crashed_within_two_seconds_and_retried(house: House, marks: Path) -> None:
    house.start_agent()
    run_id = house.run(house.deploy(WAITING, "main", "--crash-retries", "1"), f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    os.kill(pids(marks)[0], signal.SIGKILL)
    killed = time.monotonic()
    until("the crash", lambda: house.attempts(run_id)[0].state == "CRASHED")
    noticed = time.monotonic() - killed
    first = house.attempts(run_id)[0]
    assert "SIGKILL" in (first.cause or "")
    assert first.signal == 9
    until("the second attempt", lambda: len(pids(marks)) == 2)
    Path(f"{marks}.go").touch()
    run = house.ends(run_id)
    assert run.state_name == "Completed"
    assert [each.state for each in house.attempts(run_id)] == ["CRASHED", "ENDED"]
    assert noticed < 20, "a figure for the eye; the goal of 2 s is measured in benches"


def test_without_a_crash_budget_a_killed_run_says_why_it_crashed(house: House, marks: Path) -> None:
    house.start_agent()
    run_id = house.run(house.deploy(WAITING), f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    os.kill(pids(marks)[0], signal.SIGKILL)
    run = house.ends(run_id)
    assert run.state_name == "Crashed"
    assert run.state is not None
    assert "SIGKILL" in (run.state.message or "")
    assert "SIGKILL" in house.cli("runs", "explain", str(run_id))


def test_a_server_killed_amid_fifty_runs_loses_and_doubles_none(house: House, marks: Path) -> None:
    deployment = house.deploy(SHORT)
    house.start_agent("agent", "--limit", "4")
    run_ids = house.run_at_once(deployment, 50, marks=str(marks))
    until("some runs", lambda: sum(marked(marks).values()) >= 8)
    house.kill("server")
    time.sleep(0.5)  # an outage; nothing is waited for
    house.start_server()
    for run_id in run_ids:
        assert house.ends(run_id).state_name == "Completed"
    assert marked(marks) == Counter(str(run_id) for run_id in run_ids)


POINTS = (
    "after_claim",
    "before_launch",
    "after_launch",
    "after_handle",
    "before_report",
    "after_report",
    "before_forget",
)


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_killed_at_any_step_loses_and_doubles_none(house: House, marks: Path, point: str) -> None:
    deployment = house.deploy(SHORT)
    run_id = house.run(deployment, f"-Pmarks={marks}")
    dying = house.start_agent("agent", REEVE_FAULT=point)
    assert dying.wait(60) == -signal.SIGKILL
    house.start_agent("agent")
    run = house.ends(run_id)
    assert run.state_name == "Completed"
    assert marked(marks) == Counter([str(run_id)])


def test_an_agent_killed_while_five_runs_run_adopts_them(house: House, marks: Path) -> None:
    deployment = house.deploy(WAITING)
    house.start_agent()
    run_ids = house.run_at_once(deployment, 5, marks=str(marks))
    until("five runs", lambda: len(pids(marks)) == 5)
    house.kill("agent")
    assert all(alive(pid) for pid in pids(marks))
    house.start_agent()
    Path(f"{marks}.go").touch()
    for run_id in run_ids:
        assert house.ends(run_id).state_name == "Completed"
        assert len(house.attempts(run_id)) == 1
    assert marked(marks) == Counter(str(run_id) for run_id in run_ids)


def test_runs_that_end_while_the_agent_is_dead_are_reported_by_the_next(house: House, marks: Path) -> None:
    deployment = house.deploy(WAITING)
    house.start_agent()
    run_id = house.run(deployment, f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    house.kill("agent")
    Path(f"{marks}.go").touch()
    until("its end", lambda: not alive(pids(marks)[0]))
    house.start_agent()
    assert house.ends(run_id).state_name == "Completed"
    (attempt,) = house.attempts(run_id)
    assert (attempt.state, attempt.exit_code) == ("ENDED", 0)


def test_the_shim_renews_while_the_agent_is_dead(house: House, marks: Path) -> None:
    deployment = house.deploy(WAITING)
    house.start_agent()
    run_id = house.run(deployment, f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    house.kill("agent")
    before = house.attempts(run_id)[0].lease_until
    until("a renewal without the agent", lambda: house.attempts(run_id)[0].lease_until != before)
    Path(f"{marks}.go").touch()
    house.start_agent()
    assert house.ends(run_id).state_name == "Completed"


def test_a_killed_shim_ends_its_runs_and_says_so(house: House, marks: Path) -> None:
    deployment = house.deploy(WAITING, "main", "--crash-retries", "1")
    house.start_agent()
    run_id = house.run(deployment, f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    for pid in house.shims():
        os.kill(pid, signal.SIGKILL)
    until("the second attempt", lambda: len(pids(marks)) == 2)
    first = house.attempts(run_id)[0]
    assert "shim" in (first.cause or "")
    assert not alive(pids(marks)[0])
    Path(f"{marks}.go").touch()
    assert house.ends(run_id).state_name == "Completed"
    assert marked(marks)[str(run_id)] == 2


def test_server_and_agent_both_killed(house: House, marks: Path) -> None:
    deployment = house.deploy(WAITING)
    house.start_agent()
    run_ids = house.run_at_once(deployment, 3, marks=str(marks))
    until("three runs", lambda: len(pids(marks)) == 3)
    house.kill("agent")
    house.kill("server")
    Path(f"{marks}.go").touch()
    house.start_server()
    house.start_agent()
    for run_id in run_ids:
        assert house.ends(run_id).state_name == "Completed"
    assert marked(marks) == Counter(str(run_id) for run_id in run_ids)


def test_an_agent_waits_for_a_server_that_is_down(house: House, marks: Path) -> None:
    deployment = house.deploy(SHORT)
    run_id = house.run(deployment, f"-Pmarks={marks}")
    house.stop("server")
    agent = house.start_agent()
    until("a word about it", lambda: "No server" in house.log("agent"))
    assert agent.poll() is None
    assert "Traceback" not in house.log("agent")
    house.start_server()
    assert house.ends(run_id).state_name == "Completed"


STUBBORN = """
import os, signal, subprocess, sys, time
from reeve import flow

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

@flow
def main(marks: str):
    child = subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True)
    with open(marks, "a") as file:
        file.write(f"{os.environ['REEVE_RUN_ID']} {child.pid}\\n")
    time.sleep(600)
"""


def test_cancelled_means_that_nothing_is_left(house: House, marks: Path) -> None:
    house.start_agent()
    deployment = house.deploy(STUBBORN, "main", "--job", "grace_seconds=3")
    run_id = house.run(deployment, f"-Pmarks={marks}")
    until("the child", lambda: pids(marks))
    attempt_id = str(house.attempts(run_id)[0].id)
    census = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "census"), attempt_id]
    assert len(subprocess.run(census, capture_output=True, text=True, check=False).stdout.splitlines()) >= 2
    house.cli("runs", "cancel", str(run_id))
    run = house.ends(run_id)
    assert run.state_name == "Cancelled"
    done = subprocess.run(census, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert not alive(pids(marks)[0])


def test_a_cancel_while_the_agent_is_dead_is_kept_until_it_can_be_proven(house: House, marks: Path) -> None:
    house.start_agent()
    run_id = house.run(house.deploy(WAITING), f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    house.kill("agent")
    house.cli("runs", "cancel", str(run_id), "--no-wait")
    # The shim renews, is told to stop, and ends the tree; who may say Cancelled is the next agent.
    until("its end", lambda: not alive(pids(marks)[0]))
    assert house.read(run_id).state_name == "Cancelling"
    house.start_agent()
    assert house.ends(run_id).state_name == "Cancelled"


def test_draining_finishes_what_runs_and_claims_no_more(house: House, marks: Path) -> None:
    deployment = house.deploy(WAITING)
    house.start_agent()
    running = house.run(deployment, f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    agent = house.processes["agent"]
    agent.send_signal(signal.SIGTERM)
    waiting = house.run(deployment, f"-Pmarks={marks}")
    Path(f"{marks}.go").touch()
    assert agent.wait(60) == 0
    assert house.ends(running).state_name == "Completed"
    assert house.read(waiting).state_name in {"Scheduled", "Late"}
    assert not house.members(f"REEVE_ATTEMPT={house.attempts(running)[0].id}")


NOISY = """
import os, pathlib, time
from reeve import flow

@flow
def main(marks: str):
    with open(marks, "a") as file:
        file.write(f"{os.environ['REEVE_RUN_ID']} {os.getpid()}\\n")
    while not pathlib.Path(marks + ".go").exists():
        time.sleep(0.05)
    for n in range(3000):
        print(n, "x" * 100)
"""


def test_a_full_disk_loses_output_and_not_the_run(house: House, marks: Path) -> None:
    """No file of the shim may grow beyond 20,000 bytes: what the run writes on is lost, counted and told."""
    house.start_agent()
    run_id = house.run(house.deploy(NOISY), f"-Pmarks={marks}")
    until("user code", lambda: pids(marks))
    (shim,) = house.shims()
    resource.prlimit(shim, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    Path(f"{marks}.go").touch()
    assert house.ends(run_id).state_name == "Completed"
    log = house.cli("runs", "logs", str(run_id))
    assert "bytes of this run's output were lost: the agent's disk was full." in log
    assert "100 " + "x" * 100 in log


SPEAKS = """
from reeve import flow, task

@task
def word():
    return 1

@flow
def main(marks: str = ""):
    word()
"""


@pytest.mark.parametrize("cut", ["REEVE_API_URL=http://127.0.0.1:9/api", "REEVE_AGENT_SOCKET=/nowhere/calls"])
def test_a_run_reports_by_its_agent_or_by_itself(house: House, cut: str) -> None:
    """Either way alone will do."""
    house.start_agent()
    deployment = house.deploy(SPEAKS, "main", f"--job=env.{cut}")
    assert house.ends(house.run(deployment)).state_name == "Completed"
