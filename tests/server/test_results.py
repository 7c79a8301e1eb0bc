"""Results of runs are artifacts (api-contract §8.1 item 7); states are found by their ids."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Json, Outside, made

REFERENCE = {"type": "reference", "artifact_type": "result", "artifact_description": "a number", "key": "k"}


async def results(api: Outside, run: Json) -> list[Json]:
    query = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    found: list[Json] = made(await api.post("/artifacts/filter", query))
    names = ("key", "type", "description", "data", "flow_run_id", "task_run_id")
    return [{name: each[name] for name in names} for each in found]


@pytest.mark.parametrize("data", [{"type": "literal", "value": 7}, [1], [], "text", 0, False, {}])
async def test_a_result_is_kept(api: Outside, data: Any) -> None:
    run = await api.run(state={"type": "RUNNING"})
    answer = made(await api.enter(run, "COMPLETED", data=data))
    assert answer["state"]["data"] == data
    plain = {"key": None, "type": None, "description": None, "data": data, "task_run_id": None}
    assert await results(api, run) == [{**plain, "flow_run_id": run["id"]}]


@pytest.mark.parametrize("data", [None, {"type": "unpersisted"}])
async def test_what_is_no_result_is_not_kept(api: Outside, data: Any) -> None:
    run = await api.run(state={"type": "RUNNING"})
    assert made(await api.enter(run, "COMPLETED", data=data))["state"]["data"] == data
    assert await results(api, run) == []


async def test_a_described_result_of_a_task(api: Outside) -> None:
    run = await api.run(state={"type": "RUNNING"})
    who = {"flow_run_id": run["id"], "task_key": "t", "dynamic_key": "0"}
    task = made(await api.post("/task_runs/", {**who, "state": {"type": "RUNNING"}}))
    state = {"state": {"type": "COMPLETED", "data": REFERENCE}}
    entered = made(await api.post(f"/task_runs/{task['id']}/set_state", state))["state"]
    assert await results(api, run) == [
        {
            "key": None,
            "type": "result",
            "description": "a number",
            "data": {"type": "reference", "key": "k"},
            "flow_run_id": run["id"],
            "task_run_id": task["id"],
        }
    ]
    assert made(await api.get(f"/task_run_states/{entered['id']}")) == entered
    assert (await api.delete(f"/flow_runs/{run['id']}")).status_code == 204
    assert await results(api, run) == []


async def test_a_description_that_is_none(api: Outside) -> None:
    run = await api.run(state={"type": "RUNNING"})
    made(await api.enter(run, "COMPLETED", data={"artifact_type": 7, "artifact_description": [], "x": 1}))
    (kept,) = await results(api, run)
    assert (kept["type"], kept["description"], kept["data"]) == (None, None, {"x": 1})


async def test_a_new_subflow_shows_in_its_parent(api: Outside) -> None:
    run = await api.run(state={"type": "RUNNING"})
    who = {"flow_run_id": run["id"], "task_key": "t", "dynamic_key": "0"}
    task = made(await api.post("/task_runs/", who))
    child = await api.run(parent_task_run_id=task["id"], state={"type": "RUNNING"})
    state = made(await api.get(f"/task_runs/{task['id']}"))["state"]
    assert (state["type"], state["state_details"]["child_flow_run_id"]) == ("RUNNING", child["id"])


async def test_a_state_is_found_by_its_id(api: Outside) -> None:
    run = await api.run()
    assert made(await api.get(f"/flow_run_states/{run['state_id']}")) == run["state"]
    for noun in ("flow", "task"):
        answer = await api.get(f"/{noun}_run_states/{uuid4()}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Flow run state not found"})


async def test_a_task_run_is_deleted_with_its_states_and_slots(api: Outside) -> None:
    made(await api.post("/concurrency_limits/", {"tag": "t", "concurrency_limit": 1}))
    run = await api.run(state={"type": "RUNNING"})
    who = {"flow_run_id": run["id"], "task_key": "t", "dynamic_key": "0", "tags": ["t"]}
    task = made(await api.post("/task_runs/", who))
    made(await api.post(f"/task_runs/{task['id']}/set_state", {"state": {"type": "RUNNING"}}))
    assert made(await api.get("/concurrency_limits/tag/t"))["active_slots"] == [task["id"]]
    assert (await api.delete(f"/task_runs/{task['id']}")).status_code == 204
    assert made(await api.get("/concurrency_limits/tag/t"))["active_slots"] == []
    assert made(await api.get("/task_run_states/", params={"task_run_id": task["id"]})) == []
    again = await api.delete(f"/task_runs/{task['id']}")
    assert (again.status_code, again.json()) == (404, {"detail": "Task not found"})


async def test_the_slots_of_an_ended_run_are_free(api: Outside) -> None:
    made(await api.post("/concurrency_limits/", {"tag": "t", "concurrency_limit": 1}))
    run = await api.run(state={"type": "RUNNING"})
    who = {"flow_run_id": run["id"], "task_key": "t", "dynamic_key": "0", "tags": ["t"]}
    task = made(await api.post("/task_runs/", who))
    made(await api.post(f"/task_runs/{task['id']}/set_state", {"state": {"type": "RUNNING"}}))
    await api.enter(run, "PAUSED")
    assert made(await api.get("/concurrency_limits/tag/t"))["active_slots"] == [task["id"]]
    await api.enter(run, "RUNNING")
    made(await api.enter(run, "CRASHED"))  # whoever started the process says that it is gone
    assert made(await api.get("/concurrency_limits/tag/t"))["active_slots"] == []
