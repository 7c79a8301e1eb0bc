"""What users of Prefect 2.20 do every day, done by its own programs against a reeve server."""

from __future__ import annotations

from tests.interop.guests import GuestHouse


def test_a_flow_called_directly(house: GuestHouse) -> None:
    house.python_run("direct.py")

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
