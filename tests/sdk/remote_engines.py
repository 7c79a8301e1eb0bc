"""Tasks executed by Dask and Ray, the real ones:  scripts/task-runners

Collected by that script alone: the engines are installed on demand. What is asked of them here is what
``test_process_runner`` asks of reeve's own processes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.house import House, alive, until
from tests.fixtures.flows import remote

from reeve import (
    DaskTaskRunner,
    RayTaskRunner,
    State,
    TaskFuture,
    allow_failure,
    flow,
    unmapped,
)
from reeve.sdk.runners import TaskRunner
from reeve.sdk.workers.crossing import NotPicklableError, WorkerDiedError, WorkerError
from reeve.wire import endpoints as api

RUNNERS: dict[str, Any] = {"dask": DaskTaskRunner, "ray": RayTaskRunner}
ROOT = Path(__file__).parents[2]
FLOWS = """
import logging, os, sys, time
from pathlib import Path
from reeve import flow, get_run_logger, task

@task
def double(x: int) -> int:
    get_run_logger().info("doubling %d", x)
    return 2 * x

@task
def waits(folder: str) -> None:
    Path(folder, "pid").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        Path(folder, "cleaned").touch()

@flow(task_runner="{runner}", max_workers=2)
def doubles() -> list[int]:
    return double.map([1, 2]).result()

@flow(task_runner="{runner}", max_workers=1)
def waiting(folder: str) -> None:
    waits.submit(folder).result()
"""


@pytest.fixture(params=sorted(RUNNERS))
def runner(request: pytest.FixtureRequest) -> TaskRunner:
    made: TaskRunner = RUNNERS[request.param](max_workers=2)
    return made


def test_tasks_and_their_failures(
    runner: TaskRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REEVE_RESULTS", str(tmp_path / "results"))
    values: list[Any] = []
    states: list[State[Any] | None] = []

    @flow(task_runner=runner)
    def body() -> None:
        first = remote.double.submit(4)
        values.extend(
            [
                remote.pid.submit().result() != os.getpid(),
                remote.add.submit(first, y=remote.double_later.submit(1), wait_for=[first]).result(),
                remote.add.map([1, first], unmapped(10)).result(),
                remote.second_time.submit(tmp_path).result(),
                remote.Shop(3).cost.submit(2).result(),
                remote.calls_another.submit(5).result(),
                [remote.counted.submit(tmp_path, 1).result() for _ in range(2)],
                remote.talks.submit(3).result(),
                remote.dies_once.submit(tmp_path).result(),
            ]
        )
        failed = remote.fails.submit("plain")
        later: list[TaskFuture[Any]] = [
            remote.fails.submit("stubborn"),
            remote.add.submit(1, allow_failure(failed)),
            remote.add.submit(1, y=threading.Lock()),
            remote.dies.submit(),
            remote.double.submit(2),
        ]
        states.extend(future.wait() for future in [failed, *later])

    body()
    run = {"name": "talks-0", "parameters": {"x": 3}, "task": "talks", "flow": "body"}
    assert values == [True, 10, [11, 18], "try 2", 6, 20, [2, 2], run, "alive"]
    assert (tmp_path / "calls").read_text() == "x"
    plain, stubborn, told, lock, dead, alive_again = [state for state in states if state is not None]
    with pytest.raises(ValueError, match="broken"):
        plain.result()
    with pytest.raises(WorkerError, match="out of paper"):
        stubborn.result()
    with pytest.raises(TypeError):
        told.result()
    with pytest.raises(NotPicklableError, match="its argument 'y'"):
        lock.result()
    assert dead.name == "Crashed"
    with pytest.raises(WorkerDiedError, match="has died"):
        dead.result()
    assert alive_again.result() == 4


def test_what_is_defined_in_a_function_is_sent_with_its_code(runner: TaskRunner) -> None:
    factor = 3

    from reeve import task

    @task
    def times(x: int) -> int:
        return factor * x

    @flow(task_runner=runner)
    def body() -> int:
        return times.submit(2).result()

    assert body() == 6


def test_an_interrupted_flow_stops_its_tasks(runner: TaskRunner, tmp_path: Path) -> None:
    @flow(task_runner=runner)
    def body() -> None:
        remote.leaves_a_child.submit(tmp_path)
        until("the task", lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    worker, child = map(int, (tmp_path / "pids").read_text().split())
    until("the worker to end", lambda: not alive(worker))
    os.kill(child, signal.SIGKILL)  # a task's own child: with an agent it ends with the run's tree


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, f"sqlite:///{tmp_path}/reeve.db")
    try:
        made.start_server()
        made.cli("pools", "create", "default")
        made.start_agent("agent", "--limit", "2")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", sorted(RUNNERS))
def test_a_deployed_flow_reports_and_is_cancelled(house: House, name: str) -> None:
    source = FLOWS.format(runner=name)
    run_id = house.run(house.deploy(source, "doubles"))
    assert house.ends(run_id).state_name == "Completed"
    of_run: Any = {"flow_runs": {"id": {"any_": [run_id]}}}
    of_run_log: Any = {"logs": {"flow_run_id": {"any_": [run_id]}}}
    found = house.client.call(api.filter_task_runs, of_run)
    assert sorted((run.name, run.state_name) for run in found) == [
        ("double-0", "Completed"),
        ("double-1", "Completed"),
    ]
    lines = house.client.call(api.filter_logs, of_run_log)
    assert {"doubling 1", "doubling 2"} <= {line.message for line in lines}
    (waiting,) = house.run_at_once(house.deploy(source, "waiting"), 1, folder=str(house.root))
    until("the task", lambda: (house.root / "pid").exists() and (house.root / "pid").read_text())
    house.cli("runs", "cancel", str(waiting))
    assert house.ends(waiting).state_name == "Cancelled"
    worker = int((house.root / "pid").read_text())
    until("the worker to end", lambda: not alive(worker))
