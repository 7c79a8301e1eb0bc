"""Graphs of flow runs, seen on the wire and compared as a whole (api-contract §4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Json, Outside, made

from reeve.server.services import graphs


async def task(api: Outside, run: Json, name: str, *states: str, took: tuple[Json, ...] = ()) -> Json:
    """Make a task run that took the results of others, and have it enter states."""
    inputs = {
        "x": [{"input_type": "task_run", "id": each["id"]} for each in took],
        "again": [{"input_type": "task_run", "id": each["id"]} for each in took],
        "y": [{"input_type": "parameter", "name": "p"}, {"input_type": "constant", "type": "int"}],
        "odd": [{"input_type": "task_run", "id": "?"}, {"input_type": "task_run", "id": 7}, {}],
    }
    who = {"flow_run_id": run["id"], "task_key": name, "dynamic_key": "0", "name": name}
    found: Json = made(await api.post("/task_runs/", {**who, "task_inputs": inputs}))
    for type_ in states:
        entered = {"state": {"type": type_}, "force": True}
        made(await api.post(f"/task_runs/{found['id']}/set_state", entered))
    return found


async def artifact(api: Outside, run: Json, **fields: Any) -> Json:
    body = {"flow_run_id": run["id"], "type": "markdown", "data": "text", **fields}
    found: Json = made(await api.post("/artifacts/", body))
    return found


async def test_a_graph(api: Outside) -> None:
    run = await api.run(name="top", state={"type": "RUNNING"})
    a = await task(api, run, "a", "RUNNING", "COMPLETED")
    waits = await task(api, run, "waits", took=(a,))
    sub = await task(api, run, "sub", took=(a, waits))
    child = await api.run(flow="below", name="child", parent_task_run_id=sub["id"], state={"type": "RUNNING"})
    b = await task(api, run, "b", "RUNNING", took=(a, sub))
    lone = await task(api, run, "lone", "CRASHED", took=(waits,))
    of_task = await artifact(api, run, key="k", task_run_id=a["id"])
    of_run = await artifact(api, run, key="k")
    unnamed = await artifact(api, run, task_run_id=a["id"])
    await artifact(api, run, type="result")
    graph = made(await api.get(f"/flow_runs/{run['id']}/graph-v2"))

    def edges(*ends: Json) -> list[Json]:
        return [{"id": end["id"]} for end in ends]

    def shown(made: Json, *, latest: bool) -> Json:
        return {name: made[name] for name in ("id", "created", "key", "type")} | {"is_latest": latest}

    a, b, lone = [made(await api.get(f"/task_runs/{each['id']}")) for each in (a, b, lone)]
    child, run = [made(await api.get(f"/flow_runs/{each['id']}")) for each in (child, run)]
    states = made(await api.get("/flow_run_states/", params={"flow_run_id": run["id"]}))
    nodes: dict[str, Json] = {
        a["id"]: {
            "kind": "task-run",
            "id": a["id"],
            "label": "a",
            "state_type": "COMPLETED",
            "start_time": a["start_time"],
            "end_time": a["end_time"],
            "parents": [],
            "children": edges(child, b),
            "artifacts": [shown(of_task, latest=False), shown(unnamed, latest=True)],
        },
        child["id"]: {
            "kind": "flow-run",
            "id": child["id"],
            "label": "below / child",
            "state_type": "RUNNING",
            "start_time": child["start_time"],
            "end_time": None,
            "parents": edges(a),
            "children": edges(b),
            "artifacts": [],
        },
        b["id"]: {
            "kind": "task-run",
            "id": b["id"],
            "label": "b",
            "state_type": "RUNNING",
            "start_time": b["start_time"],
            "end_time": None,
            "parents": edges(a, child),
            "children": [],
            "artifacts": [],
        },
        lone["id"]: {
            "kind": "task-run",
            "id": lone["id"],
            "label": "lone",
            "state_type": "CRASHED",
            "start_time": lone["expected_start_time"],
            "end_time": None,
            "parents": [],
            "children": [],
            "artifacts": [],
        },
    }
    assert graph == {
        "start_time": run["start_time"],
        "end_time": None,
        "root_node_ids": [a["id"], lone["id"]],
        "nodes": [[id_, node] for id_, node in nodes.items()],
        "artifacts": [shown(of_run, latest=True)],
        "states": [{name: each[name] for name in ("id", "timestamp", "type", "name")} for each in states],
    }
    # What ended before an instant is left out; who took its result still says so.
    later = datetime.fromisoformat(a["end_time"]) + timedelta(microseconds=1)
    for since in (later.isoformat(), later.isoformat().replace("+00:00", "Z")):
        young = made(await api.get(f"/flow_runs/{run['id']}/graph-v2", params={"since": since}))
        assert young["nodes"] == graph["nodes"][1:]
        assert young["root_node_ids"] == [lone["id"]]


async def test_the_graph_of_a_run_that_waits(api: Outside) -> None:
    due = "2030-01-01T00:00:00+00:00"
    run = await api.run(state={"type": "SCHEDULED", "state_details": {"scheduled_time": due}})
    graph = made(await api.get(f"/flow_runs/{run['id']}/graph-v2"))
    assert (graph["start_time"], graph["nodes"], len(graph["states"])) == (due, [], 1)
    assert made(await api.get(f"/flow_runs/{run['id']}/graph")) == []


async def test_the_older_graph_names_what_each_task_run_took(api: Outside) -> None:
    run = await api.run(state={"type": "RUNNING"})
    a = await task(api, run, "a", "RUNNING", "COMPLETED")
    b = await task(api, run, "b", took=(a,))
    found = made(await api.get(f"/flow_runs/{run['id']}/graph"))
    expected = []
    for each, took in ((a, []), (b, [{"input_type": "task_run", "id": a["id"]}])):
        read = made(await api.get(f"/task_runs/{each['id']}"))
        names = ("id", "name", "state", "expected_start_time", "start_time", "end_time", "total_run_time")
        own = {name: read[name] for name in (*names, "estimated_run_time")}
        expected.append({**own, "upstream_dependencies": took, "untrackable_result": False})
    assert found == expected


async def test_a_graph_has_bounds(sqlite_api: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MAX_NODES", 1)
    run = await sqlite_api.run(state={"type": "RUNNING"})
    await task(sqlite_api, run, "a", "RUNNING")
    paths = [f"/flow_runs/{run['id']}/{graph}" for graph in ("graph", "graph-v2")]
    for path in paths:
        assert (await sqlite_api.get(path)).status_code == 200
    await task(sqlite_api, run, "b", "RUNNING")
    for path in paths:
        answer = await sqlite_api.get(path)
        said = f"The graph of flow run {run['id']} has more than 1 nodes."
        assert (answer.status_code, answer.json()) == (400, {"detail": said})


async def test_graphs_of_nothing(sqlite_api: Outside) -> None:
    unknown = uuid4()
    older = await sqlite_api.get(f"/flow_runs/{unknown}/graph")
    assert (older.status_code, older.json()) == (
        404,
        {"exception_message": f"Flow run with id {unknown} not found"},
    )
    newer = await sqlite_api.get(f"/flow_runs/{unknown}/graph-v2")
    assert (newer.status_code, newer.json()) == (404, {"exception_message": f"Flow run {unknown} not found"})
    wrong = await sqlite_api.get(f"/flow_runs/{unknown}/graph-v2", params={"since": "soon"})
    assert wrong.status_code == 422
    assert wrong.json()["exception_detail"][0]["loc"] == ["query", "since"]
