"""Work pools and queues, seen on the wire (api-contract §2, §3, §11)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.outside import Outside, made

from reeve.server.services.hub import pool_topic
from reeve.server.storage import work
from reeve.server.storage.work import shifted

DEFAULT = "default-agent-pool"


async def order(api: Outside, pool: str) -> dict[str, int]:
    queues = (await api.post(f"/work_pools/{pool}/queues/filter")).json()
    return {queue["name"]: queue["priority"] for queue in queues}


async def test_a_pool_comes_with_its_queue(api: Outside) -> None:
    answer = await api.post("/work_pools/", {"name": "p", "type": "process"})
    pool = answer.json()
    assert answer.status_code == 201
    assert pool == {
        "id": pool["id"],
        "created": pool["created"],
        "updated": pool["updated"],
        "name": "p",
        "description": None,
        "type": "process",
        "base_job_template": {},
        "is_paused": False,
        "concurrency_limit": None,
        "status": "NOT_READY",
        "default_queue_id": pool["default_queue_id"],
    }
    assert made(await api.get("/work_pools/p")) == pool
    queue = made(await api.get("/work_pools/p/queues/default"))
    assert queue == {
        "id": pool["default_queue_id"],
        "created": queue["created"],
        "updated": queue["updated"],
        "name": "default",
        "description": "The work pool's default queue.",
        "is_paused": False,
        "concurrency_limit": None,
        "priority": 1,
        "work_pool_id": pool["id"],
        "filter": None,
        "last_polled": None,
        "work_pool_name": "p",
        "status": "NOT_READY",
    }


async def test_pools_that_cannot_be_made(api: Outside) -> None:
    await api.pool("p")
    for name, status in (
        ("p", 409),
        ("Prefect-mine", 403),
        ("prefect", 403),
        ("", 400),
        ("  ", 400),
        ("a/b", 422),
    ):
        answer = await api.post("/work_pools/", {"name": name})
        assert answer.status_code == status, name
    template = await api.post("/work_pools/", {"name": "x", "base_job_template": {"variables": {}}})
    assert template.status_code == 422
    assert [pool["name"] for pool in (await api.post("/work_pools/filter")).json()] == ["p"]


async def test_an_unknown_pool_is_not_found_anywhere(api: Outside) -> None:
    path = "/work_pools/x"
    for answer in (
        await api.get(path),
        await api.patch(path, {"is_paused": True}),
        await api.post(f"{path}/get_scheduled_flow_runs", {}),
        await api.post(f"{path}/queues", {"name": "q"}),
        await api.post(f"{path}/queues/filter", {}),
        await api.get(f"{path}/queues/q"),
        await api.patch(f"{path}/queues/q", {}),
        await api.post(f"{path}/workers/heartbeat", {"name": "w"}),
    ):
        assert (answer.status_code, answer.json()) == (404, {"detail": 'Work pool "x" not found.'})
    options = await api.put(f"{path}/options", {"on_lost": "wait"})
    assert (options.status_code, options.json()["code"]) == (404, "not_found")


async def test_a_pools_status(api: Outside) -> None:
    async def status(name: str) -> str | None:
        shown: str | None = made(await api.get(f"/work_pools/{name}"))["status"]
        return shown

    await api.pool("agents")
    await api.pool("resting", type="process", is_paused=True)
    assert (await status("agents"), await status("resting")) == (None, "PAUSED")
    for name, expected in (("agents", None), ("resting", "NOT_READY")):
        assert (await api.patch(f"/work_pools/{name}", {"is_paused": False})).status_code == 204
        assert await status(name) == expected
    beat = await api.post("/work_pools/resting/workers/heartbeat", {"name": "w"})
    assert (beat.status_code, beat.content) == (204, b"")
    assert await status("resting") == "READY"
    await api.patch("/work_pools/resting", {"is_paused": True})
    await api.post("/work_pools/resting/workers/heartbeat", {"name": "w"})
    assert await status("resting") == "PAUSED"
    await api.patch("/work_pools/resting", {"is_paused": False})
    assert await status("resting") == "READY"


async def test_a_pool_changes_by_what_was_sent(api: Outside) -> None:
    template = {"variables": {"properties": {}}, "job_configuration": {"command": "{{ command }}"}}
    pool = await api.pool("p", type="process", description="text", concurrency_limit=3)
    await api.patch("/work_pools/p", {"base_job_template": template})
    changed = made(await api.get("/work_pools/p"))
    assert {key for key in pool if pool[key] != changed[key]} == {"base_job_template", "updated"}
    await api.patch("/work_pools/p", {"concurrency_limit": None, "description": None})
    changed = made(await api.get("/work_pools/p"))
    assert (changed["concurrency_limit"], changed["description"]) == (None, None)
    assert (await api.patch("/work_pools/p", {"name": "other"})).status_code == 422
    assert made(await api.put("/work_pools/p/options", {"on_lost": "replace"})) == {"on_lost": "replace"}
    assert (await api.put("/work_pools/p/options", {"on_lost": "panic"})).status_code == 422
    assert (await api.put("/work_pools/p/options", {})).status_code == 422


async def test_the_default_pool_is_made_by_its_first_queue(api: Outside) -> None:
    assert (await api.post("/work_pools/filter")).json() == []
    first = await api.post("/work_queues/", {"name": "mine"})
    assert first.status_code == 201
    pool = made(await api.get(f"/work_pools/{DEFAULT}"))
    assert (pool["type"], pool["status"]) == ("prefect-agent", None)
    assert first.json()["work_pool_name"] == DEFAULT
    assert await order(api, DEFAULT) == {"default": 1, "mine": 2}
    again = await api.post("/work_queues/", {"name": "mine"})
    assert (again.status_code, again.json()) == (
        409,
        {"detail": "A work queue with this name already exists."},
    )
    assert (await api.post("/work_queues/", {"name": "default"})).status_code == 409


async def test_the_first_queue_may_be_the_default_one(api: Outside) -> None:
    answer = await api.post("/work_queues/", {"name": "default"})
    assert answer.status_code == 201
    assert answer.json()["id"] == made(await api.get(f"/work_pools/{DEFAULT}"))["default_queue_id"]


async def test_queues_of_a_pool(api: Outside) -> None:
    await api.pool("p")
    first = await api.post("/work_pools/p/queues", {"name": "a", "priority": 1})
    assert first.status_code == 201
    await api.queue("b", pool="p")
    await api.queue("c", pool="p", priority=2)
    assert await order(api, "p") == {"a": 1, "c": 2, "default": 3, "b": 4}
    again = await api.post("/work_pools/p/queues", {"name": "a"})
    assert again.status_code == 409
    assert "{work_pool_name!r}" in again.json()["detail"]
    assert await order(api, "p") == {"a": 1, "c": 2, "default": 3, "b": 4}
    unknown = await api.get("/work_pools/p/queues/x")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Work pool queue 'p/x' not found."})


async def test_priorities_give_way_on_the_pools_route_only(api: Outside) -> None:
    await api.pool("p")
    queue = await api.queue("a", pool="p")
    assert (await api.patch("/work_pools/p/queues/a", {"priority": 1})).status_code == 204
    assert await order(api, "p") == {"a": 1, "default": 2}
    await api.patch(f"/work_queues/{queue['id']}", {"priority": 2})
    assert await order(api, "p") == {"a": 2, "default": 2}
    assert (await api.patch("/work_pools/p/queues/a", {"priority": 0})).status_code == 422


async def test_queues_made_at_once_have_a_priority_each(api: Outside) -> None:
    await api.pool("p")
    await asyncio.gather(*(api.queue(f"q{number}", pool="p", priority=1) for number in range(6)))
    assert sorted((await order(api, "p")).values()) == [1, 2, 3, 4, 5, 6, 7]


@given(st.dictionaries(st.uuids(), st.integers(1, 12), max_size=8), st.integers(1, 12))
def test_shifting_keeps_the_order_and_moves_as_few_as_it_can(others: dict[UUID, int], taken: int) -> None:
    moved = shifted(others, taken)
    after = {**others, **moved}
    assert len({taken, *after.values()}) == len(after) + 1
    assert all(moved[key] > others[key] for key in moved)
    if len(set(others.values())) == len(others):
        assert sorted(others, key=lambda key: others[key]) == sorted(after, key=lambda key: after[key])
        assert bool(moved) == (taken in others.values())


async def test_queues_are_found_by_name_in_the_default_pool_first(api: Outside) -> None:
    await api.pool("p")
    other = await api.queue("q", pool="p")
    assert made(await api.get("/work_queues/name/q")) == other
    await api.queue("mine")
    missing = await api.get("/work_queues/name/q")
    assert (missing.status_code, missing.json()) == (404, {"detail": "work queue not found"})
    own = await api.queue("q")
    assert made(await api.get("/work_queues/name/q")) == own
    assert made(await api.get(f"/work_queues/{own['id']}")) == own
    unknown = await api.get(f"/work_queues/{uuid4()}")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "work queue not found"})


async def test_a_queue_changes_by_what_was_sent(api: Outside) -> None:
    queue = await api.queue("q", description="text", concurrency_limit=2)
    path = f"/work_queues/{queue['id']}"

    async def changed(**fields: object) -> Any:
        answer = await api.patch(path, fields)
        assert (answer.status_code, answer.content) == (204, b"")
        return made(await api.get(path))

    assert (await changed(concurrency_limit=0))["concurrency_limit"] == 0
    assert (await changed(concurrency_limit=None))["concurrency_limit"] is None
    assert (await changed(description="other"))["description"] == "other"
    assert (await changed(is_paused=True))["status"] == "PAUSED"
    assert (await changed(is_paused=False))["status"] == "NOT_READY"
    polled = await changed(last_polled=datetime.now(UTC).isoformat(), is_paused=False)
    assert polled["status"] == "READY"
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    assert (await changed(last_polled=long_ago.isoformat(), is_paused=False))["status"] == "NOT_READY"
    assert (await api.patch(path, {"name": "default"})).status_code == 409
    missing = await api.patch(f"/work_queues/{uuid4()}", {"is_paused": True})
    assert missing.status_code == 404
    assert missing.json() == {"detail": "Work Queue <built-in function id> not found"}


async def test_a_queues_new_name_is_that_of_what_waits_in_it(api: Outside) -> None:
    deployment = await api.deployment(work_queue_name="q")
    run = await api.run_of(deployment)
    queue = made(await api.get("/work_queues/name/q"))
    await api.patch(f"/work_queues/{queue['id']}", {"name": "new"})
    assert made(await api.get(f"/deployments/{deployment['id']}"))["work_queue_name"] == "new"
    assert made(await api.get(f"/flow_runs/{run['id']}"))["work_queue_name"] == "new"


async def test_changes_wake_those_who_wait_for_work(api: Outside) -> None:
    pool = await api.pool("p", is_paused=True)
    queue = await api.queue("q", pool="p", is_paused=True, concurrency_limit=1)
    for path, change in (
        ("/work_pools/p", {"is_paused": False}),
        (f"/work_queues/{queue['id']}", {"is_paused": False}),
        ("/work_pools/p/queues/q", {"concurrency_limit": 2}),
    ):
        with api.ctx.hub.waiting(pool_topic(UUID(pool["id"]))) as woken:
            await api.patch(path, change)
            await asyncio.wait_for(woken.wait(), 10)


async def test_what_nobody_serves_any_more_is_not_ready(api: Outside) -> None:
    await api.pool("p", type="process")
    deployment = await api.deployment(work_pool_name="p")
    await api.post("/work_pools/p/workers/heartbeat", {"name": "w", "heartbeat_interval_seconds": 10})
    await api.post("/work_pools/p/get_scheduled_flow_runs", {})

    async def statuses() -> tuple[str, str, str]:
        return (
            made(await api.get("/work_pools/p"))["status"],
            made(await api.get("/work_pools/p/queues/default"))["status"],
            made(await api.get(f"/deployments/{deployment['id']}"))["status"],
        )

    async def later(seconds: float) -> tuple[str, str, str]:
        now = datetime.now(UTC) + timedelta(seconds=seconds)
        await api.ctx.store.write(lambda tx: work.unserved(tx, now))
        return await statuses()

    assert await later(0) == ("READY", "READY", "READY")
    assert await later(29) == ("READY", "READY", "READY")
    assert await later(31) == ("NOT_READY", "READY", "READY")
    assert await later(61) == ("NOT_READY", "NOT_READY", "NOT_READY")


@pytest.mark.parametrize("seconds", [-1, 1e214])
async def test_a_worker_beats_within_a_year(api: Outside, seconds: float) -> None:
    await api.pool("p", type="process")
    beat = {"name": "w", "heartbeat_interval_seconds": seconds}
    answer = await api.post("/work_pools/p/workers/heartbeat", beat)
    assert answer.status_code == 422
    assert "heartbeat_interval_seconds" in str(answer.json())


async def test_agents_make_what_they_serve_ready(api: Outside) -> None:
    await api.pool("p", type="process")
    await api.queue("other", pool="p")
    deployment = await api.deployment(work_pool_name="p")
    who = {"id": str(uuid4()), "name": "a", "host": "h", "machine_id": "m", "boot_id": "b", "version": "0"}
    made(await api.post("/agents/register", {**who, "pool": "p", "queues": ["default"]}))
    now = datetime.now(UTC)
    await api.ctx.store.write(lambda tx: work.polled_by_agents(tx, [UUID(who["id"])], now))
    queues = {
        queue["name"]: queue["status"] for queue in (await api.post("/work_pools/p/queues/filter")).json()
    }
    assert queues == {"default": "READY", "other": "NOT_READY"}
    assert made(await api.get("/work_pools/p"))["status"] == "READY"
    assert made(await api.get(f"/deployments/{deployment['id']}"))["status"] == "READY"
    await api.ctx.store.write(lambda tx: work.unserved(tx, now + timedelta(seconds=10)))
    assert made(await api.get("/work_pools/p"))["status"] == "READY"


@pytest.mark.parametrize("path", ["/work_queues/filter", "/work_pools/p/queues/filter", "/work_pools/filter"])
async def test_listings_by_filter(sqlite_api: Outside, path: str) -> None:
    await sqlite_api.pool("p")
    await sqlite_api.pool("q")
    await sqlite_api.queue("alpha", pool="p")

    async def names(query: Mapping[str, object]) -> list[str]:
        return [each["name"] for each in (await sqlite_api.post(path, query)).json()]

    if path == "/work_pools/filter":
        assert await names({"work_pools": {"name": {"any_": ["q"]}}}) == ["q"]
        assert await names({"limit": 1, "offset": 1}) == ["q"]
        return
    begins = {"work_queues": {"name": {"startswith_": ["AL", "x"]}}}
    assert await names(begins) == ["alpha"]
    assert await names({"work_queues": {"name": {"startswith_": []}}}) == []
    everything = ["default", "alpha"] if "p/" in path else ["alpha", "default", "default"]
    assert await names({}) == everything
