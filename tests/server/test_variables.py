"""Variables, seen on the wire (api-contract §3, §5)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Json, Outside, bearer, made

CONFLICT = (
    "Data integrity conflict. This usually means a unique or foreign key constraint was violated. "
    "See server logs for details."
)
MISSING = (404, {"detail": "Variable not found."})


async def variable(api: Outside, name: str, value: str = "v", **fields: Any) -> Json:
    shown: Json = made(await api.post("/variables/", {"name": name, "value": value, **fields}))
    return shown


async def test_a_variable_is_made_once(api: Outside) -> None:
    answer = await api.post("/variables/", {"name": "v_1", "value": "", "tags": ["t"]})
    shown = answer.json()
    assert (answer.status_code, shown) == (
        201,
        {
            "id": shown["id"],
            "created": shown["created"],
            "updated": shown["created"],
            "name": "v_1",
            "value": "",
            "tags": ["t"],
        },
    )
    again = await api.post("/variables/", {"name": "v_1", "value": "other"})
    assert (again.status_code, again.json()) == (409, {"detail": CONFLICT})
    assert (await variable(api, "v_2"))["tags"] == []
    assert (await variable(api, "v_3", tags=None))["tags"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "V", "value": ""}, "name"),
        ({"name": "a-b", "value": ""}, "name"),
        ({"name": "a\n", "value": ""}, "name"),
        ({"name": "", "value": ""}, "name"),
        ({"name": "a" * 256, "value": ""}, "name"),
        ({"name": "a", "value": "v" * 5001}, "value"),
        ({"name": "a", "value": 1}, "value"),
        ({"name": "a"}, "value"),
        ({"name": "a", "value": "", "color": "red"}, "color"),
    ],
)
async def test_variables_that_cannot_be_made(sqlite_api: Outside, body: Json, field: str) -> None:
    answer = await sqlite_api.post("/variables/", body)
    told = answer.json()
    assert (answer.status_code, told["exception_message"]) == (422, "Invalid request received.")
    assert [fault["loc"] for fault in told["exception_detail"]] == [["body", field]]
    assert told["request_body"] == body


async def test_the_longest_variable(api: Outside) -> None:
    assert len((await variable(api, "a" * 255, "v" * 5000))["value"]) == 5000


async def test_a_variable_by_id_and_by_name(api: Outside) -> None:
    shown = await variable(api, "v", tags=["t"])
    for path in (f"/variables/{shown['id']}", "/variables/name/v"):
        before = made(await api.get(path))
        changed = await api.patch(path, {"value": path})
        assert (changed.status_code, changed.content) == (204, b"")
        after = made(await api.get(path))
        assert after == {**shown, "value": path, "updated": after["updated"]}
        assert after["updated"] > before["updated"]
    await api.patch("/variables/name/v", {"name": "w", "tags": None, "value": None})
    after = made(await api.get("/variables/name/w"))
    assert (after["id"], after["tags"], after["value"]) == (shown["id"], [], "/variables/name/v")
    await variable(api, "x")
    taken = await api.patch("/variables/name/x", {"name": "w"})
    assert (taken.status_code, taken.json()) == (409, {"detail": CONFLICT})
    for body in ({"name": "W"}, {"created": "2026-01-01"}):
        assert (await api.patch("/variables/name/x", body)).status_code == 422
    gone = await api.delete(f"/variables/{shown['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.delete("/variables/name/x")).status_code == 204
    assert made(await api.post("/variables/count")) == 0


async def test_unknown_variables(api: Outside) -> None:
    for path in (f"/variables/{uuid4()}", "/variables/name/v"):
        for answer in (
            await api.get(path),
            await api.patch(path, {"value": "v"}),
            await api.delete(path),
        ):
            assert (answer.status_code, answer.json()) == MISSING
    assert (await api.get("/variables/v")).status_code == 422


async def test_variables_are_found_by_filter(api: Outside) -> None:
    ids = {
        name: (await variable(api, name, value, tags=tags))["id"]
        for name, value, tags in (
            ("beta", "Apple", ["x", "y"]),
            ("alpha", "pear", ["x"]),
            ("gamma", "apple tree", []),
        )
    }

    async def names(**body: Any) -> list[str]:
        found = [each["name"] for each in made(await api.post("/variables/filter", body))]
        if not body.keys() & {"limit", "offset"}:
            assert made(await api.post("/variables/count", body)) == len(found)
        return found

    assert await names() == ["alpha", "beta", "gamma"]
    assert await names(sort="NAME_DESC") == ["gamma", "beta", "alpha"]
    assert await names(sort="CREATED_DESC") == ["gamma", "alpha", "beta"]
    assert await names(limit=1, offset=1) == ["beta"]
    assert await names(variables={"id": {"any_": [ids["beta"]]}}) == ["beta"]
    assert await names(variables={"name": {"like_": "LPH"}}) == ["alpha"]
    assert await names(variables={"value": {"like_": "apple"}}) == ["beta", "gamma"]
    assert await names(variables={"value": {"any_": ["pear"]}}) == ["alpha"]
    assert await names(variables={"tags": {"all_": ["x", "y"]}}) == ["beta"]
    assert await names(variables={"tags": {"is_null_": True}}) == ["gamma"]
    either = {"operator": "or_", "name": {"any_": ["alpha"]}, "tags": {"is_null_": True}}
    assert await names(variables=either) == ["alpha", "gamma"]
    assert (await api.post("/variables/filter", {"variables": {"age": {}}})).status_code == 422
    assert (await api.post("/variables/filter", {"limit": 201})).status_code == 422


async def test_a_run_writes_them_while_its_attempt_is_open_and_deletes_none(api: Outside) -> None:
    await api.pool("p", type="process")
    run = await api.run_of(await api.deployment(work_pool_name="p"))
    key = bearer((await api.grant(pool="p"))["token"])
    body = {"name": "mark", "value": "1"}
    assert (await api.post("/variables/", body, headers=key)).status_code == 201
    for path in (
        "/variables/name/mark",
        f"/variables/{(await api.get('/variables/name/mark')).json()['id']}",
    ):
        assert (await api.patch(path, {"value": "2"}, headers=key)).status_code == 204
        refused = await api.delete(path, headers=key)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    made(await api.post(f"/flow_runs/{run['id']}/cancel", {"force": True}))
    for late in (
        await api.post("/variables/", {"name": "late", "value": "1"}, headers=key),
        await api.patch("/variables/name/mark", {"value": "3"}, headers=key),
    ):
        assert (late.status_code, late.json()["code"]) == (403, "attempt_superseded")
    assert (await api.get("/variables/name/mark")).json()["value"] == "2"
