"""Flows that are called directly, with a server that hears of them: runs of their own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from tests.acceptance.house import PATIENCE, House, alive, until

from reeve.wire import endpoints as api
from reeve.wire import filters, queries
from reeve.wire.responses import FlowRunResponse, Log

SCRIPT = """
import asyncio, ctypes, sys, time
from reeve import flow, get_run_logger, pause_flow_run, task

@task
def double(x):
    return 2 * x

@flow(name="inner")
def inner(x):
    return double(x)

@flow(name="plain", retries=1)
def plain(x: int = 3):
    get_run_logger().info("x is %d", x)
    return inner(x) + double(x)

@flow(name="fails")
def fails():
    raise ValueError("no rows")

@flow(name="sleeps")
def sleeps():
    get_run_logger().info("asleep")
    time.sleep(600)

@flow(name="dozes")
async def dozes():
    get_run_logger().info("asleep")
    await asyncio.sleep(600)

@flow(name="asks")
def asks():
    return pause_flow_run(int)

@flow(name="holds")
def holds(seconds: float):
    ctypes.PyDLL(None).sleep(int(seconds))  # which keeps the GIL: no thread of this process gets a turn

if __name__ == "__main__":
    word = sys.argv[1]
    if word == "dozes":
        asyncio.run(dozes())
    elif word == "many":
        for n in range(5):
            plain(n)
    else:
        print(globals()[word](*map(float, sys.argv[2:])))
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(house: House) -> Iterator[Start]:
    """Start ``python script.py WORD`` in a session of its own, as a user who reports to the server."""
    (house.flows / "script.py").write_text(SCRIPT)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, ignores_interrupts: bool = False, **environ: str) -> subprocess.Popen[str]:
        command = [sys.executable, "script.py", *words]
        process = subprocess.Popen(
            ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command] if ignores_interrupts else command,
            env=house.environ(**{"REEVE_REPORT": "server", **environ}),
            cwd=house.flows,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def runs_of(house: House, flow: str) -> list[FlowRunResponse]:
    named = filters.FlowFilter(name=filters.Name(any_=[flow]))
    return house.client.call(api.filter_flow_runs, queries.FlowRunQuery(flows=named))


def run_of(house: House, flow: str) -> UUID:
    """Wait for the run of a flow, and until it says that it has begun."""

    def look() -> UUID | None:
        return next((run.id for run in runs_of(house, flow) if run.state_name == "Running"), None)

    found = until(f"a run of {flow}", look)
    assert found is not None
    return found


def log(house: House, run_id: UUID) -> list[Log]:
    ids = filters.LogFilter(flow_run_id=filters.Ids(any_=[run_id]))
    return house.client.call(api.filter_logs, queries.LogQuery(logs=ids))


def lines(house: House, run_id: UUID) -> list[str]:
    return [line.message for line in log(house, run_id)]


def test_a_direct_call_is_a_run_with_all_that_it_calls(house: House, start: Start) -> None:
    out, err = start("plain", "4").communicate(timeout=PATIENCE)
    assert (out, "x is 4" in err) == ("16\n", True), err
    (run,) = runs_of(house, "plain")
    (inner,) = runs_of(house, "inner")
    assert (run.state_name, run.parameters, inner.state_name) == ("Completed", {"x": 4}, "Completed")
    (attempt,) = house.attempts(run.id)
    assert (attempt.kind, attempt.state) == ("self", "ENDED")
    tasks = queries.TaskRunQuery(flow_runs=filters.FlowRunFilter(id=filters.RunIds(any_=[run.id])))
    assert {one.name for one in house.client.call(api.filter_task_runs, tasks)} == {"inner-0", "double-0"}
    (line,) = log(house, run.id)
    assert run.state is not None
    assert (line.message, line.created < run.state.timestamp) == ("x is 4", True), "who follows it sees all"
    until("its keeper to end", lambda: not house.members("REEVE_REPORT"))


def test_a_failure_is_told(house: House, start: Start) -> None:
    process = start("fails")
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, "ValueError: no rows" in err) == (1, True)
    (run,) = runs_of(house, "fails")
    assert run.state is not None
    assert (run.state_name, run.state.message) == (
        "Failed",
        "Flow run encountered an exception: ValueError: no rows",
    )
    assert [attempt.state for attempt in house.attempts(run.id)] == ["ENDED"]


def test_its_death_is_noticed_within_two_seconds(house: House, start: Start) -> None:
    process = start("sleeps")
    run_id = run_of(house, "sleeps")
    until("its keeper to be there", lambda: _keepers(house))
    os.killpg(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    run = house.ends(run_id)
    assert time.monotonic() - killed < 2 + 3, "seconds of a busy machine on top"
    assert run.state is not None
    assert (run.state_name, f"pid {process.pid} on" in (run.state.message or "")) == ("Crashed", True)
    assert [attempt.state for attempt in house.attempts(run_id)] == ["CRASHED"]
    until("its keeper to end", lambda: not _keepers(house))


@pytest.mark.parametrize("flow", ["sleeps", "dozes"])
def test_a_cancellation_interrupts_it(house: House, start: Start, flow: str) -> None:
    process = start(flow)
    run_id = run_of(house, flow)
    said = house.cli("runs", "cancel", str(run_id))
    assert "is Cancelled." in said
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "Flow run is cancelled, and is interrupted." in err
    assert house.ends(run_id).state_name == "Cancelled"


def test_a_cancellation_interrupts_a_background_job_too(house: House, start: Start) -> None:
    process = start("sleeps", ignores_interrupts=True)
    run_id = run_of(house, "sleeps")
    house.cli("runs", "cancel", str(run_id))
    process.communicate(timeout=PATIENCE)
    assert house.ends(run_id).state_name == "Cancelled"


def test_a_paused_one_is_resumed(house: House, start: Start) -> None:
    process = start("asks")
    found = until("the pause", lambda: [run for run in runs_of(house, "asks") if run.state_name == "Paused"])
    assert "pid" in house.cli("explain", str(found[0].id))
    house.cli("runs", "resume", str(found[0].id), "-P", "value=7")
    out, err = process.communicate(timeout=PATIENCE)
    assert out == "7\n", err
    assert house.ends(found[0].id).state_name == "Completed"


def test_a_flow_that_holds_the_gil_keeps_its_lease(house: House, start: Start) -> None:
    process = start("holds", "8")  # twice the lease of this house
    run_id = run_of(house, "holds")
    assert house.ends(run_id).state_name == "Completed"
    names = [state.name for state in house.client.call(api.flow_run_states, query={"flow_run_id": run_id})]
    assert names == ["Pending", "Running", "Completed"]
    assert process.wait(PATIENCE) == 0


def test_a_keeper_that_dies_is_replaced(house: House, start: Start) -> None:
    process = start("sleeps")
    run_id = run_of(house, "sleeps")
    (first,) = until("its keeper", lambda: _keepers(house))
    os.kill(first, signal.SIGKILL)
    until("another one", lambda: [pid for pid in _keepers(house) if pid != first])
    process.kill()
    assert house.ends(run_id).state_name == "Crashed"


def test_many_calls_share_one_keeper(house: House, start: Start) -> None:
    process = start("many")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert [run.state_name for run in runs_of(house, "plain")] == ["Completed"] * 5


def test_plain_calls_stay_plain_unless_asked(house: House, start: Start) -> None:
    out, _ = start("plain", "4", REEVE_REPORT="off").communicate(timeout=PATIENCE)
    assert (out, runs_of(house, "plain")) == ("16\n", [])
    (house.home / "settings.toml").write_text('report = "server"\n')
    process = start("plain", "4", REEVE_REPORT="")
    process.communicate(timeout=PATIENCE)
    assert (process.returncode, len(runs_of(house, "plain"))) == (0, 1)


def _keepers(house: House) -> list[int]:
    return [pid for pid in house.members("reeve.sdk.keeper") if alive(pid)]
