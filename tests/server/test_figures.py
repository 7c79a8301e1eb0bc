"""Counts, histories and lateness, seen on the wire (api-contract §4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.server.outside import Json, Outside, made

DAY = datetime(2030, 1, 1, tzinfo=UTC)
HISTORY = {"history_start": DAY.isoformat(), "history_interval_seconds": 3600}


def at(**later: float) -> str:
    return (DAY + timedelta(**later)).isoformat()


async def due(api: Outside, hours: float, **fields: Any) -> Json:
    """Ask for a run that is to start so many hours into the day."""
    scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": at(hours=hours)}}
    run: Json = await api.run(state=scheduled, **fields)
    return run


async def task_of(api: Outside, run: Json, key: str, *states: str) -> Json:
    """Make a task run and have it enter states."""
    body = {"flow_run_id": run["id"], "task_key": key, "dynamic_key": "0"}
    task: Json = made(await api.post("/task_runs/", body))
    for type_ in states:
        entered = {"state": {"type": type_}, "force": True}
        made(await api.post(f"/task_runs/{task['id']}/set_state", entered))
    return task


@pytest.mark.parametrize(
    "path",
    [
        *(f"/{noun}/count" for noun in ("flows", "deployments", "flow_runs", "task_runs", "artifacts")),
        *(f"/{noun}/count" for noun in ("artifacts/latest", "variables", "work_pools", "block_documents")),
        *("/flow_runs/lateness", "/flow_runs/history", "/task_runs/history", "/ui/task_runs/count"),
    ],
)
async def test_figures_have_no_pages_and_ignore_what_is_asked_of_them(api: Outside, path: str) -> None:
    span = {**HISTORY, "history_end": at(hours=1)} if path.endswith("history") else {}
    answer = await api.post(path, {**span, "limit": "x", "offset": -1, "sort": 7})
    assert answer.status_code == 200, answer.text


async def test_what_matches_is_counted(api: Outside) -> None:
    await api.pool()
    await api.deployment(work_pool_name="p", tags=["t"])
    await api.deployment("e")
    run = await api.run(name="a")
    await api.run(name="b", flow="g")
    await task_of(api, run, "t")
    expected: list[tuple[str, Json | None, int]] = [
        ("flows", None, 2),
        ("flows", {"flows": None}, 2),
        ("flows", {"flows": {"name": {"any_": ["g"]}}}, 1),
        ("flows", {"deployments": {}}, 1),
        ("deployments", {}, 2),
        ("deployments", {"work_pools": {}}, 1),
        ("deployments", {"deployments": {"tags": {"all_": ["t"]}}}, 1),
        ("flow_runs", None, 2),
        ("flow_runs", {"flow_runs": {"name": {"any_": []}}}, 0),
        ("flow_runs", {"task_runs": {}, "limit": None}, 1),
        ("flow_runs", {"work_pool_queues": {}}, 0),
        ("task_runs", {}, 1),
        ("task_runs", {"flow_runs": {"name": {"any_": ["b"]}}}, 0),
    ]
    for noun, query, count in expected:
        answer = await api.post(f"/{noun}/count", query)
        assert (answer.status_code, answer.json()) == (200, count), (noun, query)
    assert (await api.post("/flow_runs/count", {"flow_runs": {"nam": {}}})).status_code == 422


async def history(api: Outside, noun: str = "flow_runs", **body: Any) -> Any:
    return made(await api.post(f"/{noun}/history", {**HISTORY, **body}))


async def test_runs_are_counted_by_interval_and_state(api: Outside) -> None:
    for hours in (-0.1, 0, 0.5, 1, 2.4):
        await due(api, hours)
    late = await due(api, 1.5)
    await api.enter(late, "SCHEDULED", force=True, name="Late", state_details={"scheduled_time": at(hours=1)})
    ended = await due(api, 1.2)
    for type_ in ("RUNNING", "COMPLETED"):
        await api.enter(ended, type_, force=True)
    found = await history(api, history_end=at(hours=2.3))
    assert [each["interval_start"] for each in found] == [at(hours=hours) for hours in range(3)]
    assert [each["interval_end"] for each in found] == [at(hours=hours + 1) for hours in range(3)]

    def counts(interval: Json) -> dict[str, int]:
        return {state["state_name"]: state["count_runs"] for state in interval["states"]}

    assert [counts(each) for each in found] == [
        {"Scheduled": 2},
        {"Completed": 1, "Late": 1, "Scheduled": 1},
        {"Scheduled": 1},
    ]
    completed = found[1]["states"][0]
    assert set(completed) == {
        "state_type",
        "state_name",
        "count_runs",
        "sum_estimated_run_time",
        "sum_estimated_lateness",
    }
    assert completed["state_type"] == "COMPLETED"
    assert 0 < completed["sum_estimated_run_time"] < 60
    assert completed["sum_estimated_lateness"] == 0


async def test_task_runs_have_a_history_too(api: Outside) -> None:
    run = await api.run()
    await task_of(api, run, "a")
    await task_of(api, run, "b", "RUNNING", "FAILED")
    now = datetime.now(UTC)
    body = {"history_start": (now - timedelta(minutes=30)).isoformat(), "history_end": now.isoformat()}
    (only,) = await history(api, "task_runs", **body)
    assert {state["state_type"]: state["count_runs"] for state in only["states"]} == {
        "FAILED": 1,
        "PENDING": 1,
    }
    assert await history(api, "task_runs", **body, flow_runs={"name": {"any_": ["x"]}}) == [
        {**only, "states": []}
    ]


async def test_a_history_takes_its_queues_under_their_own_key(api: Outside) -> None:
    await due(api, 0.5)

    async def counted(**filters: Any) -> bool:
        (only,) = await history(api, history_end=at(hours=1), **filters)
        return bool(only["states"])

    assert await counted()
    assert not await counted(work_queues={})
    assert not await counted(work_pools={})
    assert await counted(work_pool_queues={})  # the key of all other routes


async def test_a_history_is_bounded(api: Outside) -> None:
    assert len(await history(api, history_end=at(days=365))) == 500
    assert len(await history(api, history_end=HISTORY["history_start"])) == 1
    assert len(await history(api, history_end=at(days=-1))) == 1
    for seconds in (0, 0.99, -3600):
        body = {**HISTORY, "history_end": at(hours=1), "history_interval_seconds": seconds}
        for noun in ("flow_runs", "task_runs"):
            answer = await api.post(f"/{noun}/history", body)
            assert answer.status_code == 422
            assert answer.json() == {"detail": "History interval must not be less than 1 second."}
    for beyond in ({"history_interval_seconds": 1e300}, {"history_interval_seconds": 1e12}):
        answer = await api.post("/flow_runs/history", {**HISTORY, "history_end": at(hours=1), **beyond})
        assert answer.status_code == 422
        assert "9999" in answer.json()["detail"]
    assert (await api.post("/flow_runs/history", {})).status_code == 422


async def test_lateness_is_an_average(api: Outside) -> None:
    assert (await api.post("/flow_runs/lateness")).content == b"null"
    overdue = (datetime.now(UTC) - timedelta(seconds=100)).isoformat()
    await api.run(state={"type": "SCHEDULED", "state_details": {"scheduled_time": overdue}})
    await due(api, 0)
    assert 50 <= made(await api.post("/flow_runs/lateness", {})) < 80
    nobody: Json = {"flow_runs": {"name": {"any_": []}}}
    assert (await api.post("/flow_runs/lateness", nobody)).content == b"null"


async def test_the_dots_of_the_run_history(api: Outside) -> None:
    first, last = await due(api, 1), await due(api, 2)
    ended = await due(api, 3)
    for type_ in ("RUNNING", "COMPLETED"):
        await api.enter(ended, type_, force=True)
    found = made(await api.post("/ui/flow_runs/history"))
    assert [dot["id"] for dot in found] == [ended["id"], last["id"], first["id"]]
    assert found[1] == {
        "id": last["id"],
        "state_type": "SCHEDULED",
        "timestamp": at(hours=2),
        "duration": 0.0,
        "lateness": 0.0,
    }
    read = made(await api.get(f"/flow_runs/{ended['id']}"))
    assert (found[0]["timestamp"], found[0]["duration"]) == (read["start_time"], read["total_run_time"])

    async def dots(**body: Any) -> list[str]:
        return [dot["id"] for dot in made(await api.post("/ui/flow_runs/history", body))]

    assert await dots(sort="EXPECTED_START_TIME_ASC", limit=1, offset=1) == [last["id"]]
    assert await dots(flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}}) == [ended["id"]]
    assert await dots(limit=None, work_pools={}) == []
    for wrong in ({"limit": 1001}, {"limit": -1}, {"offset": -1}):
        assert (await api.post("/ui/flow_runs/history", wrong)).status_code == 422


async def test_task_runs_by_state(api: Outside) -> None:
    run = await api.run()
    for key, states in (("a", ()), ("b", ("RUNNING",)), ("c", ("RUNNING", "COMPLETED")), ("d", ("CRASHED",))):
        await task_of(api, run, key, *states)
    none = dict.fromkeys(
        [
            "COMPLETED",
            "PENDING",
            "RUNNING",
            "FAILED",
            "CANCELLED",
            "CRASHED",
            "PAUSED",
            "CANCELLING",
            "SCHEDULED",
        ],
        0,
    )
    counted = made(await api.post("/ui/task_runs/count"))
    assert counted == {**none, "PENDING": 1, "RUNNING": 1, "COMPLETED": 1, "CRASHED": 1}
    nobody: Json = {"flow_runs": {"name": {"any_": []}}}
    assert made(await api.post("/ui/task_runs/count", nobody)) == none


async def test_the_dashboard_counts_ended_task_runs_by_their_start(api: Outside) -> None:
    await api.pool()
    run = await api.run_of(await api.deployment(work_pool_name="p"))
    other = await api.run()
    for owner, key, end in (
        (run, "a", "COMPLETED"),
        (run, "b", "FAILED"),
        (run, "c", "CRASHED"),
        (other, "d", "COMPLETED"),
    ):
        await task_of(api, owner, key, "RUNNING", end)
    await task_of(api, run, "e", "RUNNING")
    begun = made(await api.get(f"/flow_runs/{run['id']}"))["created"]
    after = datetime.fromisoformat(begun) - timedelta(hours=1)

    async def buckets(start_time: Json, **body: Any) -> Any:
        query = {"task_runs": {"start_time": start_time}, **body}
        return made(await api.post("/ui/task_runs/dashboard/counts", query))

    def total(found: list[Json]) -> tuple[int, int]:
        return sum(each["completed"] for each in found), sum(each["failed"] for each in found)

    until_now = await buckets({"after_": after.isoformat()})
    assert len(until_now) == 20
    assert total(until_now) == total(until_now[-1:]) == (2, 2)
    longer = await buckets({"after_": after.isoformat(), "before_": (after + timedelta(hours=2)).isoformat()})
    assert total(longer) == total(longer[9:11]) == (2, 2)
    assert total(await buckets({"after_": after.isoformat()}, work_pools={})) == (1, 2)
    queued = {"work_queues": {"name": {"any_": ["default"]}}}
    assert total(await buckets({"after_": after.isoformat()}, **queued)) == (1, 2)
    backwards = await buckets({"after_": begun, "before_": after.isoformat()})
    assert (len(backwards), total(backwards)) == (20, (0, 0))


@pytest.mark.parametrize("task_runs", [{}, {"start_time": {}}, {"start_time": {"before_": at()}}])
async def test_the_dashboard_must_know_its_beginning(sqlite_api: Outside, task_runs: Json) -> None:
    answer = await sqlite_api.post("/ui/task_runs/dashboard/counts", {"task_runs": task_runs})
    assert (answer.status_code, answer.json()) == (422, {"detail": "task_runs.start_time.after_ is required"})
