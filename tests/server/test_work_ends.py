"""Pools, queues and workers that are counted, judged and deleted, seen on the wire (api-contract §3, §11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.server.outside import Outside, made

from reeve.server.storage import work


async def test_a_pool_goes_with_its_queues_and_leaves_their_names(api: Outside) -> None:
    await api.pool("p")
    await api.queue("q", pool="p")
    deployment = await api.deployment(work_pool_name="p", work_queue_name="q")
    run = await api.run_of(deployment)
    gone = await api.delete("/work_pools/p")
    assert (gone.status_code, gone.content) == (204, b"")
    assert made(await api.post("/work_queues/filter")) == []
    shown = made(await api.get(f"/deployments/{deployment['id']}"))
    assert (shown["work_queue_name"], shown["work_pool_name"]) == ("q", None)
    shown = made(await api.get(f"/flow_runs/{run['id']}"))
    assert (shown["work_queue_id"], shown["work_queue_name"], shown["work_pool_name"]) == (None, "q", None)
    again = await api.delete("/work_pools/p")
    assert (again.status_code, again.json()) == (404, {"detail": 'Work pool "p" not found.'})


async def test_pools_that_2_20_keeps(api: Outside) -> None:
    kept = "Work pools starting with 'Prefect' are reserved for internal use"
    changing = f"{kept} and can only be updated to set concurrency limits or pause."
    for answer, sentence in (
        (await api.post("/work_pools/", {"name": "prefect-x"}), f"{kept}."),
        (await api.post("/work_pools/", {"name": "PREFECTED"}), f"{kept}."),
        (await api.delete("/work_pools/Prefect-x"), f"{kept} and can not be deleted."),
        (await api.patch("/work_pools/prefect-x", {"description": "d", "is_paused": True}), changing),
    ):
        assert (answer.status_code, answer.json()) == (403, {"detail": sentence})
    for body in ({"is_paused": True}, {"concurrency_limit": 3}):
        assert (await api.patch("/work_pools/prefect-x", body)).status_code == 404


async def test_a_pool_stays_while_its_agents_hold_runs(api: Outside) -> None:
    await api.pool("p", type="process")
    await api.run_of(await api.deployment(work_pool_name="p"))
    grant = await api.grant(pool="p")
    refused = await api.delete("/work_pools/p")
    assert refused.status_code == 409
    assert "1 runs of the work pool 'p'" in refused.json()["detail"]
    report = {"seq": 1, "kind": "not_launched", "reason": "no room"}
    made(await api.report(grant, report))
    assert (await api.delete("/work_pools/p")).status_code == 204


async def test_pools_are_counted(api: Outside) -> None:
    assert made(await api.post("/work_pools/count")) == 0
    await api.pool("p", type="process")
    await api.pool("q")
    assert made(await api.post("/work_pools/count", {})) == 2
    assert made(await api.post("/work_pools/count", {"work_pools": {"type": {"any_": ["process"]}}})) == 1
    assert (await api.post("/work_pools/count", {"work_pools": {"age": 1}})).status_code == 422


async def test_queues_go_but_for_the_default_one(api: Outside) -> None:
    pool = await api.pool("p")
    by_id, by_name = await api.queue("a", pool="p"), await api.queue("b", pool="p")
    deployment = await api.deployment(work_pool_name="p", work_queue_name="a")
    for path in (f"/work_queues/{by_id['id']}", "/work_pools/p/queues/b"):
        gone = await api.delete(path)
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await api.delete(path)).status_code == 404
    assert made(await api.get(f"/deployments/{deployment['id']}"))["work_queue_name"] == "a"
    assert by_name["id"] not in {each["id"] for each in made(await api.post("/work_queues/filter"))}
    for path in (f"/work_queues/{pool['default_queue_id']}", "/work_pools/p/queues/default"):
        refused = await api.delete(path)
        assert refused.status_code == 409
        assert "default queue of the work pool 'p'" in refused.json()["detail"]
    missing = await api.delete(f"/work_queues/{uuid4()}")
    assert (missing.status_code, missing.json()) == (404, {"detail": "work queue not found"})
    missing = await api.delete("/work_pools/p/queues/x")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Work pool queue 'p/x' not found."})
    missing = await api.delete("/work_pools/x/queues/q")
    assert (missing.status_code, missing.json()) == (404, {"detail": 'Work pool "x" not found.'})


async def test_a_queues_health(api: Outside) -> None:
    queue = await api.queue("q")
    path = f"/work_queues/{queue['id']}"

    async def status() -> Any:
        return made(await api.get(f"{path}/status"))

    assert await status() == {
        "healthy": False,
        "late_runs_count": 0,
        "last_polled": None,
        "health_check_policy": {"maximum_late_runs": 0, "maximum_seconds_since_last_polled": 60},
    }
    now = datetime.now(UTC)
    await api.patch(path, {"last_polled": now.isoformat()})
    assert (await status())["healthy"]
    assert datetime.fromisoformat((await status())["last_polled"]) == now
    await api.patch(path, {"last_polled": (now - timedelta(seconds=61)).isoformat()})
    assert not (await status())["healthy"]
    await api.patch(path, {"last_polled": now.isoformat()})
    run = await api.run_of(await api.deployment(work_queue_name="q"))
    assert (await status())["healthy"]
    made(await api.enter(run, "SCHEDULED", name="Late", force=True))
    shown = await status()
    assert (shown["healthy"], shown["late_runs_count"]) == (False, 1)
    unknown = uuid4()
    missing = await api.get(f"/work_queues/{unknown}/status")
    assert missing.status_code == 404
    assert missing.json() == {"exception_message": f"Work queue with id {unknown} not found"}


@pytest.fixture
async def workers(api: Outside) -> Outside:
    await api.pool("p", type="process")
    await api.pool("other", type="process")
    for pool, name in (("p", "a"), ("p", "b"), ("other", "c")):
        beat = {"name": name, "heartbeat_interval_seconds": 10}
        assert (await api.post(f"/work_pools/{pool}/workers/heartbeat", beat)).status_code == 204
    return api


async def test_workers_are_listed(workers: Outside) -> None:
    path = "/work_pools/p/workers/filter"
    found = made(await workers.post(path))
    assert [each["name"] for each in found] == ["b", "a"]
    newest, oldest = found
    assert oldest == {
        "id": oldest["id"],
        "created": oldest["created"],
        "updated": oldest["updated"],
        "name": "a",
        "work_pool_id": oldest["work_pool_id"],
        "last_heartbeat_time": oldest["last_heartbeat_time"],
        "heartbeat_interval_seconds": 10,
        "status": "ONLINE",
    }

    async def names(**filter_: Any) -> list[str]:
        return [each["name"] for each in made(await workers.post(path, {"workers": filter_}))]

    assert await names(last_heartbeat_time={"before_": oldest["last_heartbeat_time"]}) == ["a"]
    assert await names(last_heartbeat_time={"after_": newest["last_heartbeat_time"]}) == ["b"]
    # The status is taken and restricts nothing; a 2.20 client sends another key altogether.
    assert await names(status={"any_": ["OFFLINE"]}) == ["b", "a"]
    assert await names(operator="or_", status={"not_any_": ["ONLINE"]}) == ["b", "a"]
    ignored = made(await workers.post(path, {"worker_filter": {"no": 1}, "limit": 1, "offset": 1}))
    assert [each["name"] for each in ignored] == ["a"]
    for refused in ({"status": {"any_": ["ASLEEP"]}}, {"name": {"any_": ["a"]}}):
        assert (await workers.post(path, {"workers": refused})).status_code == 422
    later = datetime.now(UTC) + timedelta(seconds=31)
    await workers.ctx.store.write(lambda tx: work.unserved(tx, later))
    assert {each["status"] for each in made(await workers.post(path))} == {"OFFLINE"}
    unknown = await workers.post("/work_pools/x/workers/filter")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": 'Work pool "x" not found.'})


async def test_workers_are_forgotten(workers: Outside) -> None:
    gone = await workers.delete("/work_pools/p/workers/a")
    assert (gone.status_code, gone.content) == (204, b"")
    assert [each["name"] for each in made(await workers.post("/work_pools/p/workers/filter"))] == ["b"]
    for path, detail in (
        ("/work_pools/p/workers/a", "Worker not found."),
        ("/work_pools/x/workers/b", 'Work pool "x" not found.'),
    ):
        missing = await workers.delete(path)
        assert (missing.status_code, missing.json()) == (404, {"detail": detail})


async def test_a_worker_is_known_again_by_its_next_heartbeat(workers: Outside) -> None:
    (first,) = made(await workers.post("/work_pools/other/workers/filter"))
    await workers.post("/work_pools/other/workers/heartbeat", {"name": "c"})
    (second,) = made(await workers.post("/work_pools/other/workers/filter"))
    assert UUID(first["id"]) == UUID(second["id"])
    assert second["heartbeat_interval_seconds"] == 10
    assert second["last_heartbeat_time"] > first["last_heartbeat_time"]
