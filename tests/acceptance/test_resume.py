"""What a run has done before it died is not done again; and what hooks of a cancelled run may still do."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.acceptance.house import House, until

RESUMES = """
import os, pathlib, time
from reeve import INPUTS, current_run, flow, get_run_logger, task

def mark(folder, word):
    with open(f"{folder}/marks", "a") as file:
        file.write(f"{word} {os.getpid()}\\n")

@task
def step(n: int, folder: str) -> dict[str, int]:
    mark(folder, f"step-{n}")
    return {"n": n}

@task(persist_result=False)
def always(folder: str) -> None:
    mark(folder, "always")

@task(cache_by=INPUTS)
def cached(x: int, folder: str) -> int:
    mark(folder, "cached")
    return x

@flow
def part(folder: str, n: int = 7) -> dict[str, int]:
    mark(folder, "part")
    return {"n": n}

@flow(flow_run_name="resumes in {folder}", persist_result=True)
def main(folder: str) -> int:
    done = [step(0, folder), step(1, folder), {"n": cached(5, folder)}, part(folder)]
    always(folder)
    if current_run().attempt == 1:
        mark(folder, "waits")
        time.sleep(600)
    done += [each.result() for each in step.map([2, 3], folder)]
    return sum(each["n"] for each in done)
"""

CANCELS = """
import os, time
from reeve import flow

def tidy(flow, run, state):
    with open(f"{run.parameters['folder']}/marks", "a") as file:
        file.write(f"{state.name} {os.getpid()}\\n")

@flow(on_cancellation=tidy, on_failure=tidy, on_crashed=tidy)
def main(folder: str):
    with open(f"{folder}/marks", "a") as file:
        file.write(f"waits {os.getpid()}\\n")
    time.sleep(600)
"""


def marks(folder: Path) -> list[str]:
    file = folder / "marks"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def last_pid(folder: Path) -> int:
    return int((folder / "marks").read_text().split()[-1])


def test_a_killed_run_goes_on_where_it_was(house: House, tmp_path: Path) -> None:
    name = house.deploy(RESUMES, "main", "--crash-retries", "2", "-p", "default", "-q", "default")
    house.start_agent()
    run_id = house.run(name, "-P", f"folder={tmp_path}")
    until("user code", lambda: "waits" in marks(tmp_path))
    os.kill(last_pid(tmp_path), signal.SIGKILL)
    run = house.ends(run_id)
    assert run.state_name == "Completed", run.state
    assert run.name == f"resumes in {tmp_path}"
    assert len(house.attempts(run_id)) == 2
    done = marks(tmp_path)
    once = {word: done.count(word) for word in ("step-0", "step-1", "step-2", "step-3", "cached", "part")}
    assert once == dict.fromkeys(once, 1)
    assert done.count("always") == 2
    shown = house.cli("runs", "show", str(run_id))
    assert "18" in shown
    assert str(house.home / "results" / str(run_id)) in shown
    assert json.loads(house.cli("runs", "show", str(run_id), "--json"))["run"]["state"]["data"]["size"] == 2

    # The next run takes what is cached, and makes anew what is gone.
    kept = set((house.home / "results").rglob("*.json"))
    again = house.run(name, "-P", f"folder={tmp_path}")
    until("the second run", lambda: marks(tmp_path).count("waits") == 2)
    assert marks(tmp_path).count("cached") == 1
    for file in set((house.home / "results").rglob("*.json")) - kept:
        file.unlink()
    os.kill(last_pid(tmp_path), signal.SIGKILL)
    assert house.ends(again).state_name == "Completed"
    assert marks(tmp_path).count("step-0") == 3
    assert marks(tmp_path).count("part") == 3
    assert marks(tmp_path).count("cached") == 1


def test_a_cancelled_run_calls_its_hook(house: House, tmp_path: Path) -> None:
    name = house.deploy(CANCELS, "main", "-p", "default", "-q", "default")
    house.start_agent()
    run_id = house.run(name, "-P", f"folder={tmp_path}")
    until("user code", lambda: "waits" in marks(tmp_path))
    house.cli("runs", "cancel", str(run_id))
    assert house.ends(run_id).state_name == "Cancelled"
    assert marks(tmp_path) == ["waits", "Cancelling"]
