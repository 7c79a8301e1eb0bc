"""Flow runs and task runs, seen on the wire: status codes, shapes, defaults (api-contract §2, §5.1)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.server.outside import Json, Outside, made

from reeve.server.services.hub import agent_topic, pool_topic


def fields(names: str) -> set[str]:
    return set(names.split())


FLOW_RUN = fields(
    """id created updated name flow_id state_id deployment_id deployment_version work_queue_id work_queue_name
    flow_version parameters idempotency_key context empirical_policy tags parent_task_run_id state_type
    state_name run_count expected_start_time next_scheduled_start_time start_time end_time total_run_time
    estimated_run_time estimated_start_time_delta auto_scheduled infrastructure_document_id infrastructure_pid
    created_by work_pool_id work_pool_name state job_variables"""
)
TASK_RUN = fields(
    """id created updated name flow_run_id task_key dynamic_key cache_key cache_expiration task_version
    empirical_policy tags state_id task_inputs state_type state_name run_count flow_run_run_count
    expected_start_time next_scheduled_start_time start_time end_time total_run_time estimated_run_time
    estimated_start_time_delta state"""
)
STATE = fields("id type name timestamp message data state_details")
DETAILS = fields(
    """flow_run_id task_run_id child_flow_run_id scheduled_time cache_key cache_expiration untrackable_result
    pause_timeout pause_reschedule pause_key run_input_keyset refresh_cache retriable transition_id
    task_parameters_id"""
)


async def task_of(api: Outside, run: Json | None, **body: Any) -> Any:
    who = {"task_key": "t", "dynamic_key": "0", "flow_run_id": run["id"] if run else None}
    return made(await api.post("/task_runs/", {**who, **body}))


async def test_a_flow_run_has_its_defaults(api: Outside) -> None:
    flow = await api.flow()
    answer = await api.post("/flow_runs/", {"flow_id": flow["id"]})
    run = answer.json()
    assert (answer.status_code, set(run)) == (201, FLOW_RUN)
    assert (run["state_type"], run["state_name"], run["run_count"]) == ("PENDING", "Pending", 0)
    assert run["parameters"] == run["context"] == {}
    assert run["tags"] == []
    assert run["name"].count("-") == 1
    assert run["empirical_policy"] == {
        "max_retries": 0,
        "retry_delay_seconds": 0,
        "retries": None,
        "retry_delay": None,
        "pause_keys": [],
        "resuming": False,
        "retry_type": None,
    }
    assert (set(run["state"]), set(run["state"]["state_details"])) == (STATE, DETAILS)
    assert run["state"]["id"] == run["state_id"]
    assert run["state"]["state_details"]["flow_run_id"] == run["id"]
    read = made(await api.get(f"/flow_runs/{run['id']}"))
    moving = {"estimated_start_time_delta"}
    assert {key: read[key] for key in FLOW_RUN - moving} == {key: run[key] for key in FLOW_RUN - moving}


async def test_what_is_not_there(api: Outside) -> None:
    some = uuid4()
    state = {"state": {"type": "RUNNING"}}
    for noun, word, missing in (("flow_runs", "Flow", "Flow run"), ("task_runs", "Task", "Task")):
        read = await api.get(f"/{noun}/{some}")
        assert (read.status_code, read.json()) == (404, {"detail": f"{missing} not found"})
        changed = await api.patch(f"/{noun}/{some}", {"name": "x"})
        assert (changed.status_code, changed.json()) == (404, {"detail": f"{word} run not found"})
        proposed = await api.post(f"/{noun}/{some}/set_state", state)
        assert proposed.status_code == 404
        assert proposed.json() == {"exception_message": f"{word} run with id {some} not found"}
    assert (await api.get("/flow_run_states/", params={"flow_run_id": str(some)})).json() == []
    assert (await api.get("/task_run_states/", params={"task_run_id": str(some)})).json() == []
    for params in ({}, {"flow_run_id": "x"}):
        assert (await api.get("/flow_run_states/", params=params)).status_code == 422
    assert (await api.post("/flow_runs/", {"flow_id": str(some)})).status_code == 409
    orphan = {"task_key": "t", "dynamic_key": "0", "flow_run_id": str(some)}
    assert (await api.post("/task_runs/", orphan)).status_code == 409
    assert (await api.delete(f"/flow_runs/{some}")).status_code == 404
    for path in ("attempts", "explain"):
        answer = await api.get(f"/flow_runs/{some}/{path}")
        assert answer.status_code == 404 or answer.json() == []


async def test_the_same_key_finds_the_first_run(api: Outside) -> None:
    deployment = await api.deployment(work_queue_name="q")
    for path, body in (
        ("/flow_runs/", {"flow_id": deployment["flow_id"], "idempotency_key": "a"}),
        (f"/deployments/{deployment['id']}/create_flow_run", {"idempotency_key": "b"}),
    ):
        first = await api.post(path, body)
        again = await api.post(path, {**body, "name": "other", "state": {"type": "RUNNING"}})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["id"] == again.json()["id"]
        assert again.json()["name"] == first.json()["name"]
        assert again.json()["state_id"] == first.json()["state_id"]


async def test_a_run_of_a_deployment(api: Outside) -> None:
    await api.pool("p", type="process")
    deployment = await api.deployment(
        work_pool_name="p", parameters={"x": 1, "y": 1}, tags=["a"], version="7"
    )
    empty = await api.http.post(f"/api/deployments/{deployment['id']}/create_flow_run")
    assert (empty.status_code, empty.json()["state_type"]) == (201, "SCHEDULED")
    run = await api.run_of(deployment, parameters={"y": 2}, tags=["b", "a"], job_variables={"env": {}})
    assert run["parameters"] == {"x": 1, "y": 2}
    assert sorted(run["tags"]) == ["a", "b"]
    assert (run["work_pool_name"], run["work_queue_name"]) == ("p", "default")
    assert (run["deployment_version"], run["job_variables"]) == ("7", {"env": {}})
    assert run["next_scheduled_start_time"] == run["expected_start_time"]
    elsewhere = await api.run_of(deployment, work_queue_name="new")
    assert (elsewhere["work_pool_name"], elsewhere["work_queue_name"]) == ("p", "new")
    assert made(await api.get("/work_pools/p/queues/new"))["id"] == elsewhere["work_queue_id"]


async def test_proposals_are_answered(api: Outside) -> None:
    run = await api.run()
    accepted = await api.enter(
        run, "RUNNING", message="go", id=str(uuid4()), timestamp="2020-01-01T00:00:00Z"
    )
    assert accepted.status_code == 201
    body = accepted.json()
    assert set(body) == {"state", "status", "details"}
    assert (body["status"], body["details"]) == ("ACCEPT", {"type": "accept_details"})
    assert (body["state"]["name"], body["state"]["message"]) == ("Running", "go")
    assert body["state"]["timestamp"] > "2026"
    aborted = await api.enter(run, "PENDING")
    assert aborted.status_code == 200
    assert (aborted.json()["status"], aborted.json()["state"]["type"]) == ("ABORT", "RUNNING")
    assert aborted.json()["details"] == {
        "type": "abort_details",
        "reason": "This run is in a RUNNING state and cannot transition to a PENDING state.",
    }
    forced = await api.enter(run, "PENDING", force=True)
    assert (forced.status_code, forced.json()["status"]) == (201, "ACCEPT")
    done = await api.enter(run, "COMPLETED", data={"type": "literal", "value": 1})
    assert done.json()["state"]["data"] == {"type": "literal", "value": 1}
    states = made(await api.get("/flow_run_states/", params={"flow_run_id": run["id"]}))
    assert [state["type"] for state in states] == ["PENDING", "RUNNING", "PENDING", "COMPLETED"]


async def test_a_replacement_is_201_and_a_wait_is_200(api: Outside) -> None:
    scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    run = await api.run(state=scheduled)
    waits = await api.enter(run, "RUNNING")
    assert (waits.status_code, waits.json()["status"]) == (200, "WAIT")
    assert waits.json()["details"]["type"] == "wait_details"
    assert waits.json()["details"]["delay_seconds"] > 10**6
    cancelled = await api.enter(run, "CANCELLING")
    assert (cancelled.status_code, cancelled.json()["status"]) == (201, "REJECT")
    assert cancelled.json()["state"]["type"] == "CANCELLED"
    assert cancelled.json()["details"] == {
        "type": "reject_details",
        "reason": "Scheduled flow run has no infrastructure to terminate.",
    }


async def test_the_clients_version_reaches_the_rules(api: Outside) -> None:
    """Before 0.8.3 a retry of the flow resets its failed tasks (api-contract §8.2 #11)."""
    for version, state_name in (("0.8.2", "AwaitingRetry"), ("0.8.4", "Failed")):
        run = await api.run(empirical_policy={"retries": 1, "retry_delay": 0})
        await api.enter(run, "RUNNING")
        task = await task_of(api, run, state={"type": "FAILED"})
        headers = {"X-PREFECT-API-VERSION": version}
        failed = {"state": {"type": "FAILED"}}
        answer = await api.post(f"/flow_runs/{run['id']}/set_state", failed, headers=headers)
        assert answer.json()["state"]["name"] == "AwaitingRetry"
        assert made(await api.get(f"/task_runs/{task['id']}"))["state_name"] == state_name


async def test_a_run_changes_by_what_was_sent(api: Outside) -> None:
    run = await api.run(parameters={"x": 1}, tags=["a"])
    path = f"/flow_runs/{run['id']}"
    changed = await api.patch(path, {"name": "n", "tags": ["b"], "infrastructure_pid": "host:1"})
    assert (changed.status_code, changed.content) == (204, b"")
    now = made(await api.get(path))
    assert (now["name"], now["tags"], now["infrastructure_pid"]) == ("n", ["b"], "host:1")
    assert now["parameters"] == {"x": 1}
    refused = await api.patch(path, {"job_variables": {"a": 1}})
    assert refused.status_code == 400
    assert "detail" in refused.json()
    assert (await api.patch(path, {"name": 5})).status_code == 422
    scheduled = await api.run_of(await api.deployment())
    allowed = await api.patch(f"/flow_runs/{scheduled['id']}", {"job_variables": {"a": 1}})
    assert allowed.status_code == 204


async def test_pause_and_resume(api: Outside) -> None:
    run = await api.run()
    path = f"/flow_runs/{run['id']}/resume"
    not_paused = await api.post(path)
    assert not_paused.status_code == 200
    assert not_paused.json() == {
        "state": None,
        "status": "ABORT",
        "details": {"type": "abort_details", "reason": "Cannot resume a flow run that is not paused."},
    }
    await api.enter(run, "RUNNING")
    await api.enter(run, "PAUSED", state_details={"pause_key": "1", "pause_timeout": "2100-01-01T00:00:00Z"})
    resumed = await api.post(path, {"run_input": None})
    assert (resumed.status_code, resumed.json()["state"]["type"]) == (201, "RUNNING")


async def test_cancel_and_explain(api: Outside) -> None:
    await api.pool("p", type="process")
    run = await api.run_of(await api.deployment(work_pool_name="p"))
    explained = made(await api.get(f"/flow_runs/{run['id']}/explain"))
    assert (explained["flow_run_id"], explained["state"]) == (run["id"], "Scheduled")
    answer = await api.post(f"/flow_runs/{run['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]["type"]) == (200, "CANCELLED")
    again = await api.post(f"/flow_runs/{run['id']}/cancel", {"force": True, "by": "me"})
    assert again.status_code == 200


async def test_deletion(api: Outside) -> None:
    run = await api.run()
    task = await task_of(api, run)
    assert (await api.delete(f"/flow_runs/{run['id']}")).status_code == 204
    for path in (f"/flow_runs/{run['id']}", f"/task_runs/{task['id']}"):
        assert (await api.get(path)).status_code == 404


async def test_a_task_run_is_made_once(api: Outside) -> None:
    run = await api.run()
    body = {"task_key": "t", "dynamic_key": "0", "flow_run_id": run["id"]}
    inputs = {
        "x": [{"input_type": "task_run", "id": str(uuid4())}],
        "y": [{"input_type": "constant", "type": "int"}],
    }
    first = await api.post("/task_runs/", {**body, "task_inputs": inputs, "tags": ["a"]})
    again = await api.post("/task_runs/", {**body, "name": "other"})
    assert (first.status_code, again.status_code) == (201, 200)
    task = first.json()
    assert (set(task), set(task["state"])) == (TASK_RUN, STATE)
    assert (task["state_type"], task["task_inputs"]) == ("PENDING", inputs)
    assert again.json()["id"] == task["id"]
    assert task["state"]["state_details"]["task_run_id"] == task["id"]
    assert task["state"]["state_details"]["flow_run_id"] == run["id"]
    free = {"task_key": "t", "dynamic_key": "free"}
    assert (await api.post("/task_runs/", free)).status_code == 201
    assert (await api.post("/task_runs/", free)).status_code == 200


async def test_proposals_for_task_runs(api: Outside) -> None:
    run = await api.run()
    task = await task_of(api, run)
    path = f"/task_runs/{task['id']}"
    early = await api.post(f"{path}/set_state", {"state": {"type": "RUNNING"}})
    assert (early.status_code, early.json()["status"]) == (200, "ABORT")
    await api.enter(run, "RUNNING")
    for type_ in ("RUNNING", "COMPLETED"):
        answer = await api.post(f"{path}/set_state", {"state": {"type": type_}})
        assert (answer.status_code, answer.json()["state"]["type"]) == (201, type_)
    states = made(await api.get("/task_run_states/", params={"task_run_id": task["id"]}))
    assert [state["type"] for state in states] == ["PENDING", "RUNNING", "COMPLETED"]
    assert (await api.patch(path, {"name": "n"})).status_code == 204
    assert made(await api.get(path))["name"] == "n"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": None},
        {"state": {}},
        {"state": {"type": "SLEEPING"}},
        {"state": {"type": "RUNNING", "colour": "red"}},
        {"state": {"type": "RUNNING", "state_details": {"scheduled_time": "soon"}}},
        {"state": {"type": "RUNNING"}, "force": "yes"},
    ],
)
async def test_proposals_that_cannot_be_read(sqlite_api: Outside, body: Json) -> None:
    run = await sqlite_api.run()
    answer = await sqlite_api.post(f"/flow_runs/{run['id']}/set_state", body)
    assert answer.status_code == 422
    assert answer.json()["exception_message"] == "Invalid request received."


async def test_a_client_that_is_gone_is_granted_nothing(api: Outside) -> None:
    """A poll ends with its connection: else the next run would be claimed for nobody."""
    pool = await api.pool("p", type="process")
    deployment = await api.deployment(work_pool_name="p")
    agent_id = uuid4()
    who = {"id": str(agent_id), "name": "a", "host": "h", "machine_id": "m", "boot_id": "b", "version": "0"}
    epoch = made(await api.post("/agents/register", {**who, "pool": "p"}))["epoch"]
    poll = {"epoch": epoch, "seq": 1, "free": 1, "held": [], "acked_grant": 0, "hold_seconds": 20}
    topics = {pool_topic(UUID(pool["id"])), agent_topic(agent_id)}
    waiting = api.ctx.hub._waiting
    polling = asyncio.create_task(api.post(f"/agents/{agent_id}/poll", poll))
    async with asyncio.timeout(10):
        while not topics <= waiting.keys():
            await asyncio.sleep(0)
        polling.cancel()
        while topics & waiting.keys():
            await asyncio.sleep(0)
    run = await api.run_of(deployment)
    assert made(await api.get(f"/flow_runs/{run['id']}"))["state_type"] == "SCHEDULED"
