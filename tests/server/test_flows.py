"""Flows, seen on the wire."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Outside, made

from reeve.server.services import flows


async def test_a_flow_is_made_once(api: Outside) -> None:
    first = await api.post("/flows/", {"name": "f", "tags": ["a"]})
    again = await api.post("/flows/", {"name": "f", "tags": ["b"]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["tags"] == ["a"]
    assert set(first.json()) == {"id", "created", "updated", "name", "tags"}


async def test_a_flow_asked_for_at_once_is_made_once(api: Outside) -> None:
    answers = await asyncio.gather(*(api.post("/flows/", {"name": "f"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_flow_is_found_by_id_and_name(api: Outside) -> None:
    flow = await api.flow("my flow")
    assert made(await api.get(f"/flows/{flow['id']}")) == flow
    assert made(await api.get("/flows/name/my flow")) == flow
    by_id = await api.get(f"/flows/{uuid4()}")
    assert (by_id.status_code, by_id.json()) == (404, {"detail": "Flow not found"})
    assert (await api.get("/flows/name/other")).status_code == 404


async def test_the_tags_of_a_flow_change(api: Outside) -> None:
    flow = await api.flow(tags=["a"])
    path = f"/flows/{flow['id']}"
    for body, tags in (({}, ["a"]), ({"tags": ["x", "x"]}, ["x", "x"]), ({"tags": []}, [])):
        assert (await api.patch(path, body)).status_code == 204
        assert made(await api.get(path))["tags"] == tags
    assert made(await api.get(path))["updated"] > flow["updated"]
    for wrong in ({"tags": None}, {"name": "g"}):
        assert (await api.patch(path, wrong)).status_code == 422
    for body in ({}, {"tags": ["a"]}):
        unknown = await api.patch(f"/flows/{uuid4()}", body)
        assert (unknown.status_code, unknown.json()) == (404, {"detail": "Flow not found"})


async def test_a_flow_is_deleted_with_all_that_is_its_own(api: Outside, monkeypatch: Any) -> None:
    monkeypatch.setattr(flows, "RUNS_AT_ONCE", 2)
    deployment = await api.deployment()
    runs = [await api.run(name=name) for name in "abcde"]
    other = await api.run(flow="other")
    task = made(
        await api.post("/task_runs/", {"flow_run_id": runs[0]["id"], "task_key": "t", "dynamic_key": "0"})
    )
    assert (await api.delete(f"/flows/{deployment['flow_id']}")).status_code == 204
    gone = [f"/flows/{deployment['flow_id']}", f"/deployments/{deployment['id']}", f"/task_runs/{task['id']}"]
    for path in [*gone, *(f"/flow_runs/{run['id']}" for run in runs)]:
        assert (await api.get(path)).status_code == 404, path
    assert made(await api.get(f"/flow_runs/{other['id']}"))["id"] == other["id"]
    again = await api.delete(f"/flows/{deployment['flow_id']}")
    assert (again.status_code, again.json()) == (404, {"detail": "Flow not found"})


@pytest.mark.parametrize("character", "/%&><")
async def test_characters_that_no_name_has(sqlite_api: Outside, character: str) -> None:
    name = f"a{character}b"
    flow = await sqlite_api.flow()
    await sqlite_api.pool("p")
    for path, body in (
        ("/flows/", {}),
        ("/deployments/", {"flow_id": flow["id"]}),
        ("/work_pools/", {}),
        ("/work_queues/", {}),
        ("/work_pools/p/queues", {}),
    ):
        answer = await sqlite_api.post(path, {"name": name, **body})
        assert answer.status_code == 422, path
        assert answer.json()["exception_detail"][0]["loc"] == ["body", "name"]
        assert (await sqlite_api.post(path, {"name": "a?b#c", **body})).status_code == 201, path


async def test_flows_come_a_page_at_a_time(api: Outside) -> None:
    for name in "cab":
        await api.flow(name)

    async def names(**query: object) -> list[str]:
        return [flow["name"] for flow in (await api.post("/flows/filter", query)).json()]

    assert await names() == ["a", "b", "c"]
    assert await names(sort="NAME_DESC") == ["c", "b", "a"]
    assert await names(sort="CREATED_DESC") == ["b", "a", "c"]
    assert await names(sort="UPDATED_DESC") == ["b", "a", "c"]
    assert await names(limit=2) == ["a", "b"]
    assert await names(limit=2, offset=2) == ["c"]
    assert await names(limit=0) == []
    assert await names(offset=2**40) == []
