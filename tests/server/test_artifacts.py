"""Artifacts and the newest of each key, seen on the wire (api-contract §4, §5)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.server.outside import Json, Outside, bearer, made

MISSING = (404, {"detail": "Artifact not found."})


async def artifact(api: Outside, **fields: Any) -> Json:
    shown: Json = made(await api.post("/artifacts/", fields))
    return shown


async def test_an_artifact_changes_by_what_was_sent(api: Outside) -> None:
    answer = await api.post("/artifacts/", {"key": "k", "type": "progress", "data": 0.0})
    shown = answer.json()
    path = f"/artifacts/{shown['id']}"
    assert answer.status_code == 201
    assert made(await api.get(path)) == shown
    changed = await api.patch(path, {"data": {"rows": [1, None]}, "metadata_": {"a": "b"}})
    assert (changed.status_code, changed.content) == (204, b"")
    after = made(await api.get(path))
    assert after == {
        **shown,
        "data": {"rows": [1, None]},
        "metadata_": {"a": "b"},
        "updated": after["updated"],
    }
    await api.patch(path, {"data": None, "description": "text"})
    after = made(await api.get(path))
    assert (after["data"], after["description"], after["metadata_"]) == (None, "text", {"a": "b"})
    for body in ({"key": "other"}, {"metadata_": {"a": 1}}):
        assert (await api.patch(path, body)).status_code == 422
    gone = await api.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.get(path)).status_code == 404


async def test_unknown_artifacts(api: Outside) -> None:
    path = f"/artifacts/{uuid4()}"
    for answer in (
        await api.get(path),
        await api.patch(path, {"data": 1}),
        await api.delete(path),
        await api.get("/artifacts/k/latest"),
    ):
        assert (answer.status_code, answer.json()) == MISSING
    assert (await api.get("/artifacts/k")).status_code == 422
    assert (await api.post("/artifacts/", {"name": "k"})).status_code == 422


async def test_the_newest_artifact_of_a_key(api: Outside) -> None:
    first = await artifact(api, key="a", data=1)
    await artifact(api, key="b", type="table", data=[])
    await artifact(api, data="without a key")
    second = await artifact(api, key="a", data=2, description="text", metadata_={"m": "n"})
    assert made(await api.get("/artifacts/a/latest")) == second
    found = made(await api.post("/artifacts/latest/filter", {"sort": "KEY_ASC"}))
    assert [each["key"] for each in found] == ["a", "b"]
    collection = found[0]
    assert collection == {
        **second,
        "id": collection["id"],
        "created": first["created"],
        "latest_id": second["id"],
    }
    assert made(await api.post("/artifacts/latest/count")) == 2
    await api.delete(f"/artifacts/{second['id']}")
    (after,) = made(await api.post("/artifacts/latest/filter", {"artifacts": {"key": {"any_": ["a"]}}}))
    assert (after["id"], after["latest_id"], after["data"]) == (collection["id"], first["id"], 1)


async def test_artifacts_are_found_by_filter(api: Outside) -> None:
    deployment = await api.deployment("d", flow="f")
    run, other = await api.run_of(deployment), await api.run(flow="g", tags=["t"])
    task = made(
        await api.post("/task_runs/", {"task_key": "t", "dynamic_key": "0", "flow_run_id": run["id"]})
    )
    made_ = {
        name: await artifact(api, description=name, **fields)
        for name, fields in {
            "one": {"key": "report-1", "type": "table", "flow_run_id": run["id"]},
            "two": {"key": "report-1", "type": "markdown", "flow_run_id": other["id"]},
            "three": {"key": "x", "flow_run_id": run["id"], "task_run_id": task["id"]},
            "four": {"type": "table"},
        }.items()
    }

    async def found(path: str, **body: Any) -> set[str]:
        shown = [each["description"] for each in made(await api.post(f"{path}/filter", body))]
        assert made(await api.post(f"{path}/count", body)) == len(shown)
        return set(shown)

    async def among_all(**own: Any) -> set[str]:
        return await found("/artifacts", artifacts=own)

    async def among_newest(**own: Any) -> set[str]:
        return await found("/artifacts/latest", artifacts=own)

    assert await among_all() == {"one", "two", "three", "four"}
    assert await among_newest() == {"two", "three"}
    assert await among_all(id={"any_": [made_["one"]["id"]]}) == {"one"}
    assert await among_newest(latest_id={"any_": [made_["one"]["id"], made_["two"]["id"]]}) == {"two"}
    assert await among_all(key={"like_": "REPORT"}) == {"one", "two"}
    assert await among_all(key={"exists_": False}) == {"four"}
    assert await among_all(type={"any_": ["table"]}) == {"one", "four"}
    assert await among_all(type={"not_any_": ["table"]}) == {"two"}
    assert await among_newest(task_run_id={"any_": [task["id"]]}) == {"three"}
    assert await among_newest(flow_run_id={"any_": [run["id"]]}) == {"three"}
    for related, expected in (
        ({"flow_runs": {"tags": {"all_": ["t"]}}}, {"two"}),
        ({"flow_runs": {}}, {"one", "two", "three"}),
        ({"task_runs": {"id": {"any_": [task["id"]]}}}, {"three"}),
        ({"flows": {"name": {"any_": ["f"]}}}, {"one", "three"}),
        ({"deployments": {"name": {"any_": ["d"]}}}, {"one", "three"}),
    ):
        assert await found("/artifacts", **related) == expected
        assert await found("/artifacts/latest", **related) == expected - {"one"}
    for path in ("/artifacts", "/artifacts/latest"):
        for sort in ("CREATED_DESC", "UPDATED_DESC", "ID_DESC", "KEY_DESC", "KEY_ASC"):
            assert await found(path, sort=sort)
        assert (await api.post(f"{path}/filter", {"sort": "NAME_ASC"})).status_code == 422
        assert (await api.post(f"{path}/filter", {"artifacts": {"name": {}}})).status_code == 422
    by_key = made(await api.post("/artifacts/filter", {"sort": "KEY_DESC", "limit": 1}))
    assert [each["key"] for each in by_key] == ["x"]


async def test_an_attempt_changes_its_own_artifacts_only(api: Outside) -> None:
    await api.pool("p", type="process")
    await api.run_of(await api.deployment(work_pool_name="p"))
    grant = await api.grant(pool="p")
    own = await artifact(api, flow_run_id=grant["run"]["id"])
    other = await artifact(api, flow_run_id=(await api.run(flow="g"))["id"])
    key = bearer(grant["token"])
    assert (await api.patch(f"/artifacts/{own['id']}", {"data": 1}, headers=key)).status_code == 204
    refused = await api.patch(f"/artifacts/{other['id']}", {"data": 1}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await api.delete(f"/artifacts/{own['id']}", headers=key)).status_code == 403
