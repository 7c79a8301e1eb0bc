"""Deployments, seen on the wire (api-contract §2, §3)."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.server.outside import Json, Outside, made

from reeve.server.services.hub import SCHEDULES_TOPIC
from reeve.server.services.scheduling import schedule_all

MINUTELY: Json = {"schedule": {"interval": 60, "anchor_date": "2026-01-01T00:00:00+00:00"}}

# Field by field what DeploymentResponse of 2.20 has (api-contract §5.1); job_variables never come.
FIELDS = set(
    """id created updated infra_overrides name version description flow_id schedule is_schedule_active paused
    schedules parameters tags work_queue_name last_polled parameter_openapi_schema path pull_steps entrypoint
    manifest_path storage_document_id infrastructure_document_id created_by updated_by work_pool_name status
    enforce_parameter_schema""".split()  # noqa: SIM905  # as the contract writes them
)


async def schedule(api: Outside, deployment: Json) -> None:
    """Make the coming runs, as the scheduler would."""
    await api.ctx.store.write(lambda tx: schedule_all(tx, [UUID(deployment["id"])]))


async def runs(api: Outside, deployment: Json) -> list[Json]:
    query = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    found: list[Json] = (await api.post("/flow_runs/filter", query)).json()
    return found


async def read(api: Outside, deployment: Json) -> Any:
    return made(await api.get(f"/deployments/{deployment['id']}"))


async def change(api: Outside, deployment: Json, **fields: Any) -> Any:
    answer = await api.patch(f"/deployments/{deployment['id']}", fields)
    assert (answer.status_code, answer.content) == (204, b""), answer.text
    return await read(api, deployment)


async def test_a_deployment_has_its_defaults(api: Outside) -> None:
    deployment = await api.deployment()
    assert set(deployment) == FIELDS
    assert deployment["infra_overrides"] == deployment["parameters"] == {}
    assert deployment["tags"] == deployment["schedules"] == []
    assert (deployment["paused"], deployment["is_schedule_active"]) == (False, True)
    assert deployment["status"] == "NOT_READY"
    assert deployment["work_queue_name"] is deployment["work_pool_name"] is deployment["schedule"] is None
    assert await read(api, deployment) == deployment
    assert made(await api.get("/deployments/name/f/d")) == deployment


async def test_unknown_deployments_are_not_found(api: Outside) -> None:
    path = f"/deployments/{uuid4()}"
    answers = [
        await api.get(path),
        await api.get("/deployments/name/f/d"),
        await api.delete(path),
        await api.post(f"{path}/pause_deployment"),
        await api.post(f"{path}/resume_deployment"),
        await api.post(f"{path}/create_flow_run", {}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()) == (404, {"detail": "Deployment not found"})
    answer = await api.patch(path, {})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Deployment not found."})


async def test_an_unknown_flow_is_a_conflict(api: Outside) -> None:
    answer = await api.post("/deployments/", {"name": "d", "flow_id": str(uuid4())})
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("Data integrity conflict.")


async def test_the_same_name_changes_what_was_sent(api: Outside) -> None:
    flow = await api.flow()
    await api.pool("p")
    first = await api.deployment(
        version="1",
        description="text",
        tags=["a"],
        parameters={"x": 1},
        infra_overrides={"env": {"A": "1"}},
        work_pool_name="p",
        pull_steps=[{"step": {}}],
        schedules=[MINUTELY],
    )
    answer = await api.post("/deployments/", {"name": "d", "flow_id": flow["id"], "version": "2"})
    assert answer.status_code == 200
    second = answer.json()
    assert second["version"] == "2"
    kept = ("id", "created", "description", "tags", "parameters", "infra_overrides", "pull_steps")
    assert {name: second[name] for name in kept} == {name: first[name] for name in kept}
    assert second["work_pool_name"] == "p"
    assert second["schedules"] == []
    assert second["updated"] > first["updated"]


async def test_null_empties_what_was_sent(api: Outside) -> None:
    await api.pool("p")
    await api.deployment(description="text", tags=["a"], work_pool_name="p")
    nulls: Json = dict.fromkeys(("description", "work_pool_name", "work_queue_name"))
    changed = await api.deployment(**nulls)
    assert (changed["description"], changed["work_pool_name"], changed["work_queue_name"]) == (
        None,
        None,
        None,
    )


async def test_a_deployment_made_at_once_is_made_once(api: Outside) -> None:
    flow = await api.flow()
    body = {"name": "d", "flow_id": flow["id"], "schedules": [MINUTELY]}
    answers = await asyncio.gather(*(api.post("/deployments/", body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len((await api.post("/deployments/filter")).json()[0]["schedules"]) == 1


async def test_where_a_deployment_runs(api: Outside) -> None:
    await api.pool("p")
    for fields, place in (
        ({"work_pool_name": "p"}, ("p", "default")),
        ({"work_pool_name": "p", "work_queue_name": "new"}, ("p", "new")),
        ({"work_queue_name": "mine"}, ("default-agent-pool", "mine")),
    ):
        deployment = await api.deployment(**fields)
        assert (deployment["work_pool_name"], deployment["work_queue_name"]) == place
        assert await read(api, deployment) == deployment
    mine = made(await api.get("/work_pools/default-agent-pool/queues/mine"))
    shifted = made(await api.get("/work_pools/default-agent-pool/queues/default"))
    assert (mine["priority"], shifted["priority"]) == (1, 2)
    unknown = await api.post(
        "/deployments/", {"name": "d", "flow_id": deployment["flow_id"], "work_pool_name": "x"}
    )
    assert (unknown.status_code, unknown.json()) == (404, {"detail": 'Work pool "x" not found.'})


async def test_job_variables_have_two_names(api: Outside) -> None:
    by_new = await api.deployment(job_variables={"a": 1})
    assert by_new["infra_overrides"] == {"a": 1}
    both = await api.deployment(job_variables={"a": 2}, infra_overrides={"a": 2})
    assert both["infra_overrides"] == {"a": 2}
    body = {"name": "d", "flow_id": both["flow_id"], "job_variables": {"a": 1}, "infra_overrides": {"a": 2}}
    answer = await api.post("/deployments/", body)
    assert answer.status_code == 422
    assert "job_variables" in answer.json()["detail"]


async def test_missing_blocks_are_a_conflict(api: Outside) -> None:
    flow = await api.flow()
    for field, kind in (("infrastructure_document_id", "infrastructure"), ("storage_document_id", "storage")):
        body = {"name": "d", "flow_id": flow["id"], field: str(uuid4())}
        answer = await api.post("/deployments/", body)
        assert answer.status_code == 409
        assert kind in answer.json()["detail"]
    assert (await api.post("/deployments/filter")).json() == []


async def test_paused_wins_over_its_old_opposite(api: Outside) -> None:
    for fields, paused in (
        ({}, False),
        ({"is_schedule_active": False}, True),
        ({"paused": True}, True),
        ({"paused": False, "is_schedule_active": False}, False),
        ({"paused": None, "is_schedule_active": None}, False),
    ):
        deployment = await api.deployment(**fields)
        assert (deployment["paused"], deployment["is_schedule_active"]) == (paused, not paused)


async def test_schedules_of_every_kind(api: Outside) -> None:
    cron = {"cron": "0 8 * * *", "timezone": "Europe/Berlin", "day_or": True}
    rrule = {"rrule": "FREQ=DAILY", "timezone": "UTC"}
    deployment = await api.deployment(
        schedules=[
            {"schedule": {"interval": 90}},
            {"schedule": cron, "active": False, "max_active_runs": 2},
            {"schedule": rrule, "catchup": True},
        ]
    )
    interval, second, third = deployment["schedules"]
    anchor = datetime.fromisoformat(interval["schedule"].pop("anchor_date"))
    assert abs((datetime.now(UTC) - anchor).total_seconds()) < 60
    assert interval["schedule"] == {"interval": 90, "timezone": "UTC"}
    assert (second["schedule"], second["active"], second["max_active_runs"]) == (cron, False, 2)
    assert (third["schedule"], third["catchup"]) == (rrule, True)
    assert {each["deployment_id"] for each in deployment["schedules"]} == {deployment["id"]}
    assert await read(api, deployment) == made(await api.get("/deployments/name/f/d"))


@pytest.mark.parametrize(
    ("schedule_", "words"),
    [
        ({}, "exactly one"),
        ({"interval": 0}, "interval"),
        ({"interval": "often"}, "interval"),
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "* * * * *", "timezone": "Mars/Base"}, "Mars/Base"),
        ({"rrule": "FREQ=NEVER"}, "rrule"),
        ({"cron": "* * * * *", "colour": "red"}, "colour"),
    ],
)
async def test_schedules_that_cannot_be_followed(sqlite_api: Outside, schedule_: Json, words: str) -> None:
    flow = await sqlite_api.flow()
    deployment = await sqlite_api.deployment("other")
    for answer in (
        await sqlite_api.post(
            "/deployments/", {"name": "d", "flow_id": flow["id"], "schedules": [{"schedule": schedule_}]}
        ),
        await sqlite_api.patch(f"/deployments/{deployment['id']}", {"schedules": [{"schedule": schedule_}]}),
    ):
        assert answer.status_code == 422, answer.text
        assert words in answer.text


async def test_the_old_single_schedule(api: Outside) -> None:
    cron = {"cron": "0 8 * * *", "timezone": "UTC", "day_or": True}
    deployment = await api.deployment(schedule=cron, is_schedule_active=True)
    assert deployment["schedule"] == cron
    assert [each["schedule"] for each in deployment["schedules"]] == [cron]
    weekly = {**cron, "cron": "0 8 * * 1"}
    changed = await change(api, deployment, schedule=weekly)
    assert [each["schedule"] for each in changed["schedules"]] == [weekly]
    rests = await change(api, deployment, is_schedule_active=False)
    assert (rests["paused"], rests["schedules"][0]["active"]) == (True, False)
    none = await change(api, deployment, schedule=None)
    assert none["schedules"] == []
    await change(api, deployment, schedules=[MINUTELY, {"schedule": cron}])
    for fields in ({"schedule": cron}, {"is_schedule_active": True}):
        answer = await api.patch(f"/deployments/{deployment['id']}", fields)
        assert answer.status_code == 422
        assert "schedules" in answer.json()["detail"]


async def test_a_change_writes_only_what_was_sent(api: Outside) -> None:
    deployment = await api.deployment(
        version="1", tags=["a"], parameters={"x": 1}, work_queue_name="q", schedules=[MINUTELY]
    )
    changed = await change(api, deployment, tags=["b"], parameters={"y": 2})
    differs = {name for name in FIELDS if changed[name] != deployment[name]}
    assert differs == {"tags", "parameters", "updated"}
    moved = await change(api, deployment, work_queue_name="r")
    assert moved["work_queue_name"] == "r"
    assert (await api.patch(f"/deployments/{deployment['id']}", {"name": "other"})).status_code == 422


async def test_a_change_deletes_the_runs_made_for_what_was(api: Outside) -> None:
    deployment = await api.deployment(work_queue_name="q", schedules=[MINUTELY])
    path = f"/deployments/{deployment['id']}"
    by_hand = await api.run_of(deployment)
    for forget in (
        api.patch(path, {"tags": ["x"]}),
        api.post(f"{path}/pause_deployment"),
        api.deployment(work_queue_name="q", schedules=[MINUTELY]),
    ):
        await schedule(api, deployment)
        assert len(await runs(api, deployment)) > 1
        await forget
        assert [run["id"] for run in await runs(api, deployment)] == [by_hand["id"]]
        await api.post(f"{path}/resume_deployment")


async def test_a_change_spares_runs_that_were_begun(api: Outside) -> None:
    """A run that waits for its retry is SCHEDULED too, and is not lost with a change."""
    await api.pool("p", type="process")
    deployment = await api.deployment(work_pool_name="p", schedules=[MINUTELY])
    await schedule(api, deployment)
    first = (await runs(api, deployment))[0]
    for state in ("RUNNING", "SCHEDULED"):
        assert (await api.enter(first, state, force=True)).status_code == 201
    await change(api, deployment, tags=["x"])
    assert [run["id"] for run in await runs(api, deployment)] == [first["id"]]


async def test_pause_and_resume(api: Outside) -> None:
    deployment = await api.deployment(schedules=[MINUTELY])
    paused = await api.post(f"/deployments/{deployment['id']}/pause_deployment")
    assert (paused.status_code, paused.content) == (200, b"null")
    assert (await read(api, deployment))["paused"] is True
    resumed = await api.post(f"/deployments/{deployment['id']}/resume_deployment")
    assert (resumed.status_code, resumed.content) == (200, b"null")
    assert (await read(api, deployment))["is_schedule_active"] is True


async def test_a_deployment_of_many_schedules_is_paused_too(api: Outside) -> None:
    deployment = await api.deployment(schedules=[MINUTELY, {**MINUTELY, "active": False}])
    for word, paused in (("pause", True), ("resume", False)):
        assert (await api.post(f"/deployments/{deployment['id']}/{word}_deployment")).status_code == 200
        found = await read(api, deployment)
        assert found["paused"] is paused
        assert sorted(each["active"] for each in found["schedules"]) == [False, True]


async def test_changes_wake_the_scheduler(api: Outside) -> None:
    deployment = await api.deployment()
    path = f"/deployments/{deployment['id']}"
    for act in (
        lambda: api.patch(path, {"schedules": [MINUTELY]}),
        lambda: api.post(f"{path}/resume_deployment"),
        lambda: api.deployment(schedules=[MINUTELY]),
    ):
        with api.ctx.hub.waiting(SCHEDULES_TOPIC) as woken:
            await act()
            await asyncio.wait_for(woken.wait(), 10)


async def test_deletion_takes_the_runs_that_wait(api: Outside) -> None:
    deployment = await api.deployment(work_queue_name="q")
    await api.run_of(deployment)
    done = await api.run_of(deployment)
    await api.enter(done, "COMPLETED", force=True)
    answer = await api.delete(f"/deployments/{deployment['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    left = (await api.post("/flow_runs/filter")).json()
    assert [(run["id"], run["deployment_id"]) for run in left] == [(done["id"], None)]
    assert (await api.delete(f"/deployments/{deployment['id']}")).status_code == 404


async def test_parameters_are_checked_where_the_deployment_wants_it(api: Outside) -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "string"}},
        "required": ["x", "y"],
    }
    deployment = await api.deployment(
        parameter_openapi_schema=schema, enforce_parameter_schema=True, parameters={"x": 1}
    )
    flow_id = deployment["flow_id"]
    wrong = {"name": "d", "flow_id": flow_id, "parameters": {"x": "one"}}
    for answer in (
        await api.post("/deployments/", wrong),
        await api.patch(f"/deployments/{deployment['id']}", {"parameters": {"z": 1}}),
        await api.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"y": 5}}),
        await api.post(f"/deployments/{deployment['id']}/create_flow_run", {}),
    ):
        assert answer.status_code == 409, answer.text
        assert "parameter" in answer.json()["detail"]
    run = await api.run_of(deployment, parameters={"y": "why"})
    assert run["parameters"] == {"x": 1, "y": "why"}
    loose = await api.run_of(deployment, enforce_parameter_schema=False)
    assert loose["parameters"] == {"x": 1}


async def test_who_made_it(api: Outside) -> None:
    automation = str(uuid4())
    headers = {
        "prefect-automation-id": automation,
        "prefect-automation-name": base64.b64encode("naïve".encode()).decode(),
    }
    flow = await api.flow()
    body = {"name": "d", "flow_id": flow["id"]}
    deployment = made(await api.post("/deployments/", body, headers=headers))
    by = {"id": automation, "type": "AUTOMATION", "display_value": "naïve"}
    assert (deployment["created_by"], deployment["updated_by"]) == (by, by)
    run = made(await api.post(f"/deployments/{deployment['id']}/create_flow_run", {}, headers=headers))
    assert run["created_by"] == by
    odd = await api.post("/deployments/", body, headers={"prefect-automation-id": "x"})
    assert odd.json()["created_by"] == by


async def test_options_are_reeves_own(api: Outside) -> None:
    deployment = await api.deployment()
    path = f"/deployments/{deployment['id']}/options"
    plain = {
        "crash_retry_delay": 0.0,
        "crash_retry_on": ["agent_lost", "agent_stopped", "exit_code", "out_of_memory", "signal"],
        "max_pending": None,
        "max_run": None,
        "must_start_by": None,
        "concurrency_limit": None,
    }
    none = {"engine": "prefect", "crash_retries": 0, "code_version": None, **plain}
    assert made(await api.get(path)) == none
    wanted = {
        "engine": "reeve",
        "crash_retries": 3,
        "code_version": "abc",
        "crash_retry_delay": 30.0,
        "crash_retry_on": ["out_of_memory"],
        "max_pending": {"seconds": 60.0, "then": "fail"},
        "max_run": {"seconds": 3600.0, "then": "retry"},
        "must_start_by": {"seconds": 600.0, "then": "cancel"},
        "concurrency_limit": 4,
    }
    assert made(await api.put(path, wanted)) == wanted
    assert made(await api.get(path)) == wanted
    assert made(await api.put(path, {"crash_retries": 1})) == {
        **none,
        "engine": "reeve",
        "crash_retries": 1,
    }
    await change(api, deployment, version="9")
    await api.deployment(version="10")
    assert made(await api.get(path))["crash_retries"] == 1
    assert (await api.put(f"/deployments/{uuid4()}/options", wanted)).status_code == 404
    for field in ("must_start_by", "max_run", "max_pending"):
        refused = await api.put(path, {field: {"seconds": 1, "then": "retry"}})
        assert (refused.status_code, refused.json()["field"]) == (422, field)
