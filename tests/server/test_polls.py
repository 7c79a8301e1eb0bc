"""Which runs the polls of 2.20 clients show (api-contract §9, mended by protocol §5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Json, Outside, bearer, made

NOW = datetime.now(UTC)


def at(minutes: float) -> Json:
    """Return the state of a run that is due so many minutes from now."""
    when = (NOW + timedelta(minutes=minutes)).isoformat()
    return {"type": "SCHEDULED", "state_details": {"scheduled_time": when}}


async def due(api: Outside, deployment: Json, minutes: float = -1, **fields: Any) -> str:
    run_id: str = (await api.run_of(deployment, state=at(minutes), **fields))["id"]
    return run_id


async def of_queue(api: Outside, name: str, *, pool: str | None = None, **body: Any) -> list[str]:
    where = f"/work_queues/name/{name}" if pool is None else f"/work_pools/{pool}/queues/{name}"
    queue = made(await api.get(where))
    answer = await api.post(f"/work_queues/{queue['id']}/get_runs", body)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()]


async def of_pool(api: Outside, **body: Any) -> list[str]:
    answer = await api.post("/work_pools/p/get_scheduled_flow_runs", body)
    assert answer.status_code == 200, answer.text
    return [item["flow_run"]["id"] for item in answer.json()]


@pytest.fixture
async def deployment(api: Outside) -> Any:
    """A deployment that runs in queue "q" of pool "p"."""
    await api.pool("p", type="process")
    return await api.deployment(work_pool_name="p", work_queue_name="q")


async def both(api: Outside, **body: Any) -> list[list[str]]:
    return [await of_queue(api, "q", pool="p", **body), await of_pool(api, **body)]


async def test_runs_come_by_their_time(api: Outside, deployment: Json) -> None:
    later, sooner, future = [await due(api, deployment, minutes) for minutes in (-1, -5, 60)]
    assert await both(api) == [[sooner, later, future]] * 2
    assert await both(api, limit=1) == [[sooner]] * 2
    assert await both(api, limit=0) == [[]] * 2
    assert await both(api, scheduled_before=NOW.isoformat()) == [[sooner, later]] * 2
    exact = (NOW + timedelta(minutes=-5)).isoformat()
    assert await both(api, scheduled_before=exact) == [[sooner]] * 2
    assert await of_pool(api, scheduled_after=NOW.isoformat()) == [future]
    assert await of_pool(api, scheduled_after=exact, scheduled_before=exact) == [sooner]


async def test_what_a_poll_carries(api: Outside, deployment: Json) -> None:
    run = await due(api, deployment)
    queue = made(await api.get("/work_pools/p/queues/q"))
    (item,) = (await api.post("/work_pools/p/get_scheduled_flow_runs", {})).json()
    assert (item["work_pool_id"], item["work_queue_id"]) == (queue["work_pool_id"], queue["id"])
    assert item["flow_run"]["state"] is None
    assert item["flow_run"]["state_type"] == "SCHEDULED"
    assert not {"work_pool_id", "work_pool_name"} & set(item["flow_run"])
    (shown,) = (await api.post(f"/work_queues/{queue['id']}/get_runs", {})).json()
    assert (shown["id"], shown["state"]["type"], shown["work_pool_name"]) == (run, "SCHEDULED", "p")


async def test_only_waiting_runs_are_shown(api: Outside, deployment: Json) -> None:
    waiting, pending, done, paused = [await due(api, deployment) for _ in range(4)]
    await api.enter({"id": pending}, "PENDING")
    await api.enter({"id": done}, "CANCELLED")
    for state in ("PENDING", "RUNNING", "PAUSED"):
        await api.enter({"id": paused}, state)
    assert made(await api.get(f"/flow_runs/{paused}"))["state_type"] == "PAUSED"
    assert await both(api) == [[waiting]] * 2


async def test_a_run_that_retries_in_its_process_is_nobody_elses(api: Outside, deployment: Json) -> None:
    policy = {"retries": 3, "retry_delay": 0}
    run = {"id": await due(api, deployment, empirical_policy=policy)}
    for state in ("PENDING", "RUNNING", "FAILED"):
        await api.enter(run, state)
    shown = made(await api.get(f"/flow_runs/{run['id']}"))
    assert (shown["state_name"], shown["empirical_policy"]["retry_type"]) == ("AwaitingRetry", "in_process")
    assert await both(api) == [[]] * 2
    assert (
        await api.post("/deployments/get_scheduled_flow_runs", {"deployment_ids": [deployment["id"]]})
    ).json() == []


async def test_a_retry_in_process_is_nobody_elses_whoever_holds_it(api: Outside, deployment: Json) -> None:
    run_id = await due(api, deployment)
    await api.patch(f"/flow_runs/{run_id}", {"empirical_policy": {"retry_type": "in_process"}})
    assert await both(api) == [[]] * 2
    await api.patch(f"/flow_runs/{run_id}", {"empirical_policy": {"retry_type": "reschedule"}})
    assert await both(api) == [[run_id]] * 2


async def test_a_run_that_an_agent_holds_is_nobody_elses(api: Outside, deployment: Json) -> None:
    held, free = await due(api, deployment, -2), await due(api, deployment, -1)
    grant = await api.grant(pool="p")
    assert grant["run"]["id"] == held
    assert await both(api) == [[free]] * 2
    # It may be scheduled again while its process is still at work: until that is gone it is not shown.
    for state in ("RUNNING", "SCHEDULED"):
        proposal = {"state": {"type": state}, "force": True}
        answer = await api.post(f"/flow_runs/{held}/set_state", proposal, headers=bearer(grant["token"]))
        assert answer.json()["state"]["type"] == state
    assert made(await api.get(f"/flow_runs/{held}/attempts"))[0]["closed"] is None
    assert await both(api) == [[free]] * 2


async def test_a_queue_shows_no_runs_of_its_namesake(api: Outside, deployment: Json) -> None:
    """W13: 2.20 joins by name."""
    run = await due(api, deployment)
    await api.queue("q")
    assert await of_queue(api, "q") == []
    assert await of_queue(api, "q", pool="p") == [run]


@pytest.mark.parametrize("path", ["/work_pools/p", "/work_pools/p/queues/q"])
async def test_paused_shows_nothing(api: Outside, deployment: Json, path: str) -> None:
    """W14: 2.20's queue route ignores the pool's pause."""
    run = await due(api, deployment)
    await api.patch(path, {"is_paused": True})
    assert await both(api) == [[]] * 2
    await api.patch(path, {"is_paused": False})
    assert await both(api) == [[run]] * 2


@pytest.mark.parametrize("path", ["/work_pools/p", "/work_pools/p/queues/q"])
async def test_no_more_than_there_is_room_for(api: Outside, deployment: Json, path: str) -> None:
    runs = [await due(api, deployment, minutes) for minutes in (-5, -4, -3)]
    await api.patch(path, {"concurrency_limit": 2})
    assert await both(api) == [runs[:2]] * 2
    await api.enter({"id": runs[0]}, "PENDING")
    assert await both(api) == [runs[1:2]] * 2
    await api.enter({"id": runs[1]}, "PENDING")
    assert await both(api) == [[]] * 2
    full = made(await api.enter({"id": runs[2]}, "PENDING"))
    assert full["status"] == "ABORT"
    await api.enter({"id": runs[0]}, "RUNNING")
    await api.enter({"id": runs[0]}, "COMPLETED")
    assert await both(api) == [runs[2:]] * 2
    await api.patch(path, {"concurrency_limit": 0})
    assert await both(api) == [[]] * 2


async def test_of_a_deployment_no_more_than_it_has_room_for(api: Outside, deployment: Json) -> None:
    runs = [await due(api, deployment, minutes) for minutes in (-5, -4, -3)]
    other = await api.deployment("other", flow="other", work_pool_name="p", work_queue_name="q")
    behind = await due(api, other, -2)
    options = f"/deployments/{deployment['id']}/options"

    async def served() -> list[str]:
        ids = [deployment["id"], other["id"]]
        answer = await api.post("/deployments/get_scheduled_flow_runs", {"deployment_ids": ids})
        return [run["id"] for run in answer.json()]

    async def shown() -> list[list[str]]:
        return [*await both(api), await served()]

    await api.put(options, {"concurrency_limit": 2})
    assert await shown() == [[*runs[:2], behind]] * 3
    await api.enter({"id": runs[1]}, "PENDING")
    assert await shown() == [[runs[0], behind]] * 3
    await api.enter({"id": runs[0]}, "PENDING")
    assert await shown() == [[behind]] * 3
    await api.enter({"id": runs[0]}, "COMPLETED")
    assert await shown() == [[runs[2], behind]] * 3
    await api.put(options, {"concurrency_limit": None})
    assert await shown() == [[runs[2], behind]] * 3


async def test_queues_come_by_priority_each_within_its_limit(api: Outside, deployment: Json) -> None:
    first = await api.deployment("first", work_pool_name="p", work_queue_name="first")
    await api.patch("/work_pools/p/queues/first", {"priority": 1, "concurrency_limit": 1})
    late = await due(api, deployment, -9)
    urgent = [await due(api, first, minutes) for minutes in (-2, -1)]
    assert await of_pool(api) == [urgent[0], late]
    assert await of_pool(api, limit=1) == [urgent[0]]
    await api.patch("/work_pools/p", {"concurrency_limit": 1})
    assert await of_pool(api) == [urgent[0]]


async def test_queues_of_one_priority_share_by_time(api: Outside, deployment: Json) -> None:
    twin = await api.deployment("twin", work_pool_name="p", work_queue_name="twin")
    rank = made(await api.get("/work_pools/p/queues/q"))["priority"]
    queue = made(await api.get("/work_pools/p/queues/twin"))
    await api.patch(f"/work_queues/{queue['id']}", {"priority": rank})
    runs = [
        await due(api, each, minutes) for each, minutes in ((deployment, -4), (twin, -3), (deployment, -2))
    ]
    assert await of_pool(api) == runs
    assert await of_pool(api, limit=2) == runs[:2]


async def test_queues_by_name(api: Outside, deployment: Json) -> None:
    run = await due(api, deployment)
    assert await of_pool(api, work_queue_names=["q"]) == [run]
    assert await of_pool(api, work_queue_names=["default"]) == []
    assert await of_pool(api, work_queue_names=[]) == [run]
    unknown = await api.post("/work_pools/p/get_scheduled_flow_runs", {"work_queue_names": ["q", "x"]})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Work pool queue 'p/x' not found."})
    missing = uuid4()
    answer = await api.post(f"/work_queues/{missing}/get_runs", {})
    assert answer.status_code == 404
    assert answer.json() == {"exception_message": f"Work queue with id {missing} not found."}


async def test_a_queue_with_a_tag_filter(api: Outside, deployment: Json) -> None:
    run = await due(api, deployment, -3, tags=["a", "b"])
    other = await due(api, deployment, -2, tags=["b"])
    assert await of_queue(api, "q", pool="p") == [run, other]
    await api.queue("tagged", filter={"tags": ["a"], "deployment_ids": None})
    await api.queue(
        "named", filter={"tags": ["b"], "deployment_ids": [deployment["id"]]}, concurrency_limit=1
    )
    await api.queue("none", filter={"tags": [], "deployment_ids": []})
    assert await of_queue(api, "tagged") == [run]
    assert await of_queue(api, "named") == [run]
    assert await of_queue(api, "none") == []
    await api.enter({"id": run}, "PENDING")
    assert await of_queue(api, "tagged") == []
    assert await of_queue(api, "named") == []
    odd = await api.post("/work_queues/", {"name": "odd", "filter": {"tags": "a"}})
    assert odd.status_code == 422


async def test_a_poll_is_noted(api: Outside, deployment: Json) -> None:
    async def shown() -> tuple[str, str | None, str, str | None]:
        queue = made(await api.get("/work_pools/p/queues/q"))
        whose = made(await api.get(f"/deployments/{deployment['id']}"))
        return queue["status"], queue["last_polled"], whose["status"], whose["last_polled"]

    queue = made(await api.get("/work_pools/p/queues/q"))
    path = f"/work_queues/{queue['id']}"
    await api.post(f"{path}/get_runs", {}, headers={"x-prefect-ui": "true"})
    assert await shown() == ("NOT_READY", None, "NOT_READY", None)
    await api.post(f"{path}/get_runs", {})
    status, polled, deployment_status, deployment_polled = await shown()
    assert (status, deployment_status) == ("READY", "READY")
    assert polled == deployment_polled is not None
    # No work, no write: the next note is for later.
    await both(api)
    assert (await shown())[1] == polled
    await api.patch(path, {"last_polled": (NOW - timedelta(seconds=11)).isoformat()})
    await both(api)
    assert (await shown())[1] > polled  # type: ignore[operator]
    await api.patch(path, {"is_paused": True, "last_polled": None})
    await both(api)
    status, polled, _, _ = await shown()
    assert status == "PAUSED"
    assert polled is not None


async def test_runs_of_deployments(api: Outside, deployment: Json) -> None:
    other = await api.deployment("other")
    later, sooner, future = [
        await due(api, each, minutes) for each, minutes in ((deployment, -1), (other, -2), (other, 60))
    ]

    async def shown(**body: Any) -> list[str]:
        answer = await api.post("/deployments/get_scheduled_flow_runs", body)
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()]

    ids = [deployment["id"], other["id"]]
    assert await shown(deployment_ids=ids) == [sooner, later, future]
    assert await shown(deployment_ids=ids, scheduled_before=NOW.isoformat()) == [sooner, later]
    assert await shown(deployment_ids=ids[:1], limit=5) == [later]
    assert await shown(deployment_ids=ids, limit=1) == [sooner]
    assert await shown(deployment_ids=[]) == []
    assert made(await api.get(f"/deployments/{other['id']}"))["status"] == "READY"
    assert (await api.post("/deployments/get_scheduled_flow_runs", {})).status_code == 422
