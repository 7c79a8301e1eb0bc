"""Tasks of a flow that an agent runs: told of in batches, in processes, over retries and deaths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.house import House, alive, until

from reeve.wire import endpoints as api

FLOWS = """
import os, time
from pathlib import Path
from reeve import create_markdown_artifact, flow, get_run_logger, task

@task
def inner(x: int) -> int:
    return x + 1

@task
def double(x: int) -> int:
    get_run_logger().info("doubling %d", x)
    create_markdown_artifact("seen", key=f"seen-{x}")
    return 2 * inner(x)

@task
def waits(folder: str) -> None:
    Path(folder, "pid").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        Path(folder, "cleaned").touch()

@flow(task_runner="processes", max_workers=2)
def doubles(folder: str = "") -> int:
    doubled = double.map([1, 2]).result()
    if folder:
        waits.submit(folder).result()
    return sum(doubled)
"""


TRIED = """
import os, signal
from pathlib import Path
from reeve import Variable, flow, task

@task(persist_result=True)
def once(folder: str, x: int) -> int:
    with Path(folder, "calls").open("a") as file:
        file.write("x")
    return x

@task
def light(x: int) -> int:
    return x

@task(retries=1)
def dies_once(folder: str) -> None:
    mark = Path(folder, "died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

@flow(task_runner="processes", max_workers=1)
def goes_on(folder: str) -> None:
    dies_once.submit(folder).result()

@task
def dies() -> None:
    Variable.get("none", default=None)  # who asks the server has told it all
    os.kill(os.getpid(), signal.SIGKILL)

@flow(retries=1)
def tried(folder: str) -> None:
    once.map(folder, range(3)).wait()
    for x in range(20):
        light(x)
    mark = Path(folder, "tried")
    if not mark.exists():
        mark.touch()
        raise ValueError("first time")
    dies()
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    tmp_path = tmp_path_factory.mktemp("house")
    made = House(tmp_path, f"sqlite:///{tmp_path}/reeve.db")
    try:
        made.start_server()
        made.cli("pools", "create", "default")
        made.start_agent("agent", "--limit", "2")
        yield made
    finally:
        made.close()


def test_they_report_and_are_cancelled(house: House) -> None:
    (run_id,) = house.run_at_once(house.deploy(FLOWS, "doubles"), 1, folder=str(house.root))
    pid = house.root / "pid"
    until("the task", lambda: pid.exists() and pid.read_text())
    house.cli("runs", "cancel", str(run_id))
    assert house.ends(run_id).state_name == "Cancelled"
    assert not alive(int(pid.read_text()))
    assert (house.root / "cleaned").exists()
    of_run: Any = {"flow_runs": {"id": {"any_": [str(run_id)]}}}
    of_run_log: Any = {"logs": {"flow_run_id": {"any_": [str(run_id)]}}}
    found = {run.name: run for run in house.client.call(api.filter_task_runs, of_run)}
    ended = {name: run.state_name for name, run in found.items() if name.startswith("double")}
    assert ended == {"double-0": "Completed", "double-1": "Completed"}
    inner = sorted(name for name in found if name.startswith("inner"))
    assert inner == sorted(f"inner-{found[name].id.hex[:8]}-0" for name in ended)
    assert found["waits-0"].state_name in {"Crashed", "Cancelled"}
    lines = house.client.call(api.filter_logs, of_run_log)
    assert {"doubling 1", "doubling 2"} <= {line.message for line in lines if line.task_run_id}
    seen = house.client.call(api.filter_artifacts, of_run)
    assert {artifact.task_run_id for artifact in seen} == {found[name].id for name in ended}


def test_tasks_are_the_same_runs_in_every_try_and_end_with_their_process(house: House) -> None:
    deployment = house.deploy(TRIED, "tried", "--crash-retries", "0", file="tried.py")
    (run_id,) = house.run_at_once(deployment, 1, folder=str(house.root))
    assert house.ends(run_id).state_name == "Crashed"
    assert (house.root / "calls").read_text() == "xxx", "a result that is there is not made again"
    of_run: Any = {"flow_runs": {"id": {"any_": [str(run_id)]}}}
    found = house.client.call(api.filter_task_runs, of_run)
    states = {run.name: (run.state_name, run.run_count) for run in found}
    assert len(found) == 24
    assert {states[f"light-{x}"] for x in range(20)} == {("Completed", 1)}
    assert {states[f"once-{x}"] for x in range(3)} == {("Completed", 1)}
    assert states["dies-0"] == ("Crashed", 1)


def test_a_worker_that_died_is_told_of_and_its_task_tried_again(house: House) -> None:
    (run_id,) = house.run_at_once(house.deploy(TRIED, "goes_on", file="tried.py"), 1, folder=str(house.root))
    assert house.ends(run_id).state_name == "Completed"
    of_run: Any = {"flow_runs": {"id": {"any_": [str(run_id)]}}}
    (task_run,) = house.client.call(api.filter_task_runs, of_run)
    states = house.client.call(api.task_run_states, query={"task_run_id": task_run.id})
    assert [state.name for state in states] == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Completed",
    ]
    assert "was killed by SIGKILL" in (states[2].message or "")
