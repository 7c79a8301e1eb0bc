"""Tasks in processes of a flow that an agent runs: reported, logged, cancelled like all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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
