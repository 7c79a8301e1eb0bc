"""Limits on the tags of task runs, seen on the wire; their slots are rows with holders (protocol §1)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Json, Outside, made

LIMITS = "/concurrency_limits"
MISSING = (404, {"detail": "Concurrency limit not found"})


async def limited(api: Outside, tag: str, size: int) -> Json:
    shown: Json = made(await api.post(f"{LIMITS}/", {"tag": tag, "concurrency_limit": size}))
    return shown


class Tasks:
    """Task runs of one running flow, all with the tag."""

    def __init__(self, api: Outside, run: Json) -> None:
        self.api = api
        self.run = run

    async def create(self, key: str, tag: str) -> Json:
        body = {"task_key": key, "dynamic_key": "0", "flow_run_id": self.run["id"], "tags": [tag]}
        task: Json = made(await self.api.post("/task_runs/", body))
        return task

    async def enter(self, task: Json, type_: str) -> str:
        answer = await self.api.post(f"/task_runs/{task['id']}/set_state", {"state": {"type": type_}})
        status: str = made(answer)["status"]
        return status


@pytest.fixture
async def tasks(api: Outside) -> Tasks:
    run = await api.run()
    made(await api.enter(run, "RUNNING"))
    return Tasks(api, run)


async def test_a_limit_is_made_or_resized(api: Outside) -> None:
    answer = await api.post(f"{LIMITS}/", {"tag": "a/b", "concurrency_limit": 2})
    first = answer.json()
    assert answer.status_code == 200
    assert first == {
        "id": first["id"],
        "created": first["created"],
        "updated": first["created"],
        "tag": "a/b",
        "concurrency_limit": 2,
        "active_slots": [],
    }
    again = await api.post(f"{LIMITS}/", {"tag": "a/b", "concurrency_limit": 3})
    second = again.json()
    assert again.status_code == 200
    assert second == {**first, "concurrency_limit": 3, "updated": second["updated"]}
    for path in (f"{LIMITS}/{first['id']}", f"{LIMITS}/tag/a%2Fb"):
        assert made(await api.get(path)) == second
    for body in ({"tag": "x"}, {"concurrency_limit": 1}, {"tag": "x", "concurrency_limit": 1, "slots": 1}):
        refused = await api.post(f"{LIMITS}/", body)
        assert (refused.status_code, refused.json()["request_body"]) == (422, body)


async def test_slots_are_shown_and_freed(api: Outside, tasks: Tasks) -> None:
    await limited(api, "t", 1)
    first, second = await tasks.create("a", "t"), await tasks.create("b", "t")

    async def active() -> list[str]:
        (shown,) = made(await api.post(f"{LIMITS}/filter"))
        assert made(await api.get(f"{LIMITS}/tag/t")) == shown
        slots: list[str] = shown["active_slots"]
        return slots

    assert await tasks.enter(first, "RUNNING") == "ACCEPT"
    assert await active() == [first["id"]]
    assert await tasks.enter(second, "RUNNING") == "WAIT"
    assert await tasks.enter(first, "COMPLETED") == "ACCEPT"
    assert await active() == []
    assert await tasks.enter(second, "RUNNING") == "ACCEPT"
    reset = await api.post(f"{LIMITS}/tag/t/reset", {})
    assert (reset.status_code, reset.json()) == (200, None)
    assert await active() == []


async def test_a_reset_may_name_the_holders(api: Outside, tasks: Tasks) -> None:
    await limited(api, "t", 2)
    running, waiting = await tasks.create("a", "t"), await tasks.create("b", "t")
    await tasks.enter(running, "RUNNING")
    others = [str(uuid4()), waiting["id"]]
    body: dict[str, Any] = {"slot_override": [*others, others[0]]}
    assert (await api.post(f"{LIMITS}/tag/t/reset", body)).status_code == 200
    assert set(made(await api.get(f"{LIMITS}/tag/t"))["active_slots"]) == set(others)
    holders = await api.ctx.store.read(lambda tx: tx.fetch("select holder, attempt_id from slots"))
    assert [(row["holder"], row["attempt_id"]) for row in holders] == [("unknown", None)] * 2
    # One that the override names may start in its own slot; its end frees it.
    assert await tasks.enter(waiting, "RUNNING") == "ACCEPT"
    assert await tasks.enter(waiting, "COMPLETED") == "ACCEPT"
    assert made(await api.get(f"{LIMITS}/tag/t"))["active_slots"] == others[:1]
    for body in ({"slot_override": None}, {"unknown": 1}):
        assert (await api.post(f"{LIMITS}/tag/t/reset", body)).status_code == 200
    assert (await api.post(f"{LIMITS}/tag/t/reset")).status_code == 200
    assert made(await api.get(f"{LIMITS}/tag/t"))["active_slots"] == []
    assert (await api.post(f"{LIMITS}/tag/t/reset", {"slot_override": ["x"]})).status_code == 422


async def test_limits_are_listed_by_tag_and_deleted(api: Outside, tasks: Tasks) -> None:
    for tag in ("b", "a", "c"):
        await limited(api, tag, 1)
    task = await tasks.create("a", "b")
    await tasks.enter(task, "RUNNING")

    async def tags(**body: Any) -> list[str]:
        return [each["tag"] for each in made(await api.post(f"{LIMITS}/filter", body))]

    assert await tags() == ["a", "b", "c"]
    assert await tags(limit=1, offset=1) == ["b"]
    gone = await api.delete(f"{LIMITS}/tag/b")
    assert (gone.status_code, gone.json()) == (200, None)
    shown = made(await api.get(f"{LIMITS}/tag/c"))
    gone = await api.delete(f"{LIMITS}/{shown['id']}")
    assert (gone.status_code, gone.json()) == (200, None)
    assert await tags() == ["a"]
    assert await tasks.enter(task, "COMPLETED") == "ACCEPT"
    assert (await api.post(f"{LIMITS}/filter", {"offset": -1})).status_code == 422


async def test_unknown_limits(api: Outside) -> None:
    for path in (f"{LIMITS}/{uuid4()}", f"{LIMITS}/tag/x"):
        for answer in (await api.get(path), await api.delete(path)):
            assert (answer.status_code, answer.json()) == MISSING
    reset = await api.post(f"{LIMITS}/tag/x/reset", {})
    assert (reset.status_code, reset.json()) == MISSING
    assert (await api.get(f"{LIMITS}/x")).status_code == 422
