"""What users of Prefect 2.20 do every day, done by its own programs against a reeve server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.interop.guests import GuestHouse, until

CANCELLING = {"state": {"type": "CANCELLING", "name": "Cancelling"}}


def test_a_flow_called_directly(house: GuestHouse) -> None:
    house.run_program("direct.py")

    outer, inner = house.runs_of()
    states = house.told("GET", f"/flow_run_states/?flow_run_id={outer['id']}")
    assert [state["name"] for state in states] == ["Pending", "Running", "Completed"]
    assert inner["state_name"] == "Completed"

    tasks = house.told("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": [outer["id"]]}}})
    ended = {task["name"]: (task["state_name"], task["run_count"]) for task in tasks}
    parent = next(task for task in tasks if task["id"] == inner["parent_task_run_id"])
    assert ended == {
        "flaky-0": ("Completed", 3),
        "square-0": ("Completed", 1),
        "square-1": ("Completed", 1),
        parent["name"]: ("Completed", 1),
    }
    assert parent["state"]["state_details"]["child_flow_run_id"] == inner["id"]

    assert "2 numbers" in house.log_lines(outer["id"])
    assert "inner says hello" in house.log_lines(inner["id"])


def test_a_served_flow_runs_and_is_cancelled(house: GuestHouse) -> None:
    house.start_guest("serve", "serve.py")
    served = house.until_deployed("served/here")

    first = asked_for(house, served, seconds=0)
    assert house.state_is(first, "Completed", "Failed", "Crashed")["state_name"] == "Completed"

    second = asked_for(house, served, seconds=600)
    house.state_is(second, "Running")
    assert house.members(second), "the process of the run is to be found by the run's id"
    house.told("POST", f"/flow_runs/{second}/set_state", CANCELLING)
    house.state_is(second, "Cancelled")
    until("the process of the run to end", lambda: not house.members(second))

    house.interrupt("serve")
    assert house.told("GET", f"/deployments/{served}")["paused"]


def test_a_deployment_is_run_by_the_2_20_agent(house: GuestHouse) -> None:
    house.run_program("apply.py", "theirs")
    run = asked_for(house, house.until_deployed("applied/theirs"), word="theirs")

    house.prefect("agent", "start", "-q", "theirs", "--run-once")

    assert house.told("GET", f"/flow_runs/{run}")["state_name"] == "Completed"
    assert "the word is theirs" in house.log_lines(run)


def test_a_2_20_deployment_is_run_and_fenced_by_the_agent_of_reeve(house: GuestHouse, tmp_path: Path) -> None:
    house.run_program("apply.py", "ours", "--python", house.python)
    deployed = house.until_deployed("applied/ours")
    house.start("agent", "agent", "start", "-q", "ours", "--name", "ours")
    told, go = tmp_path / "told", tmp_path / "go"

    run = asked_for(house, deployed, word="ours", told=str(told), go=str(go), pin="471147114711")
    token = until("the engine to tell its key", lambda: told.read_text() if told.exists() else "")

    assert house.state_is(run, "Running")["infrastructure_pid"]
    assert token not in {"", house.key}
    stranger = house.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "COMPLETED"}})
    assert (stranger.status_code, stranger.json()["code"]) == (403, "attempt_superseded")
    other = house.told("POST", f"/deployments/{deployed}/create_flow_run", {"state": {"type": "PAUSED"}})[
        "id"
    ]
    elsewhere = house.ask("POST", f"/flow_runs/{other}/set_state", {"state": {"type": "FAILED"}}, key=token)
    assert elsewhere.status_code == 403

    go.touch()
    assert house.state_is(run, "Completed", "Failed", "Crashed")["state_name"] == "Completed"
    house.is_logged(run, "the word is ours", "the pin has 12 signs")
    assert house.told("GET", f"/flow_runs/{run}")["parameters"]["pin"] == "********"
    until("the attempt to end", lambda: all(each["closed"] for each in attempts(house, run)))
    late = house.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "RUNNING"}}, key=token)
    assert late.json()["status"] == "ABORT"


def asked_for(house: GuestHouse, deployment: str, **parameters: Any) -> str:
    """Ask for a run of a deployment, and return its id."""
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    return str(house.told("POST", f"/deployments/{deployment}/create_flow_run", body)["id"])


def attempts(house: GuestHouse, run: str) -> list[Any]:
    """Return the attempts of a run."""
    found: list[Any] = house.told("GET", f"/flow_runs/{run}/attempts")
    return found
