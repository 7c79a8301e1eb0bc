"""Saved searches, seen on the wire (api-contract §4)."""

from __future__ import annotations

from uuid import uuid4

from tests.server.outside import Outside, made

CRITERION = {"object": "flow", "property": "name", "type": "string", "operation": "equals", "value": ["f"]}


async def test_a_search_is_kept_under_its_name(api: Outside) -> None:
    first = await api.put("/saved_searches/", {"name": "s", "filters": [CRITERION]})
    shown = first.json()
    assert first.status_code == 201
    assert shown == {
        "id": shown["id"],
        "created": shown["created"],
        "updated": shown["created"],
        "name": "s",
        "filters": [CRITERION],
    }
    second = await api.put("/saved_searches/", {"name": "s", "filters": [{**CRITERION, "value": None}]})
    assert second.status_code == 200
    assert second.json() == {
        **shown,
        "filters": [{**CRITERION, "value": None}],
        "updated": second.json()["updated"],
    }
    path = f"/saved_searches/{shown['id']}"
    assert made(await api.get(path)) == second.json()
    assert made(await api.put("/saved_searches/", {"name": "a"}))["filters"] == []
    found = made(await api.post("/saved_searches/filter"))
    assert [each["name"] for each in found] == ["a", "s"]
    assert made(await api.post("/saved_searches/filter", {"limit": 1, "offset": 1})) == [second.json()]
    gone = await api.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for answer in (await api.get(path), await api.delete(path), await api.get(f"/saved_searches/{uuid4()}")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Saved search not found"})


async def test_searches_that_cannot_be_kept(sqlite_api: Outside) -> None:
    missing = {key: value for key, value in CRITERION.items() if key != "value"}
    for body, loc in (
        ({}, ["body", "name"]),
        ({"name": "s", "color": "red"}, ["body", "color"]),
        ({"name": "s", "filters": [missing]}, ["body", "filters", 0, "value"]),
    ):
        answer = await sqlite_api.put("/saved_searches/", body)
        assert answer.status_code == 422
        assert [fault["loc"] for fault in answer.json()["exception_detail"]] == [loc]
