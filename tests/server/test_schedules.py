"""Schedules of deployments one by one, seen on the wire (api-contract §3, §10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Json, Outside, made

HOURLY: Json = {"schedule": {"interval": 3600, "anchor_date": "2026-01-01T00:00:00+00:00"}}
NIGHTLY: Json = {"schedule": {"cron": "0 3 * * *", "timezone": "Europe/Zurich"}}


async def schedules(api: Outside, deployment: Json) -> Any:
    return made(await api.get(f"/deployments/{deployment['id']}/schedules"))


async def count(api: Outside, deployment: Json) -> Any:
    query = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    return made(await api.post("/flow_runs/count", query))


async def test_schedules_are_added(api: Outside) -> None:
    deployment = await api.deployment(schedules=[HOURLY])
    path = f"/deployments/{deployment['id']}/schedules"
    answer = await api.post(path, [{**NIGHTLY, "active": False, "max_scheduled_runs": 50}])
    assert answer.status_code == 201
    (added,) = answer.json()
    assert added == {
        "id": added["id"],
        "created": added["created"],
        "updated": added["created"],
        "deployment_id": deployment["id"],
        "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Zurich", "day_or": True},
        "active": False,
        "max_active_runs": None,
        "max_scheduled_runs": 50,
        "catchup": False,
    }
    assert await schedules(api, deployment) == [added, *deployment["schedules"]]
    assert (await api.post(path, [])).json() == []
    for wrong in ({"max_scheduled_runs": 51}, {"max_active_runs": 0}, {"schedule": {"cron": "x"}}, {"q": 1}):
        assert (await api.post(path, [{**HOURLY, **wrong}])).status_code == 422, wrong
    assert len(await schedules(api, deployment)) == 2


async def test_a_schedule_changes_by_what_is_not_null(api: Outside) -> None:
    deployment = await api.deployment(schedules=[{**HOURLY, "max_scheduled_runs": 5}, NIGHTLY])
    (hourly, nightly) = deployment["schedules"]
    path = f"/deployments/{deployment['id']}/schedules/{hourly['id']}"
    nothing = {"active": None, "schedule": None, "max_scheduled_runs": None, "catchup": None}
    for body, fields in (
        ({}, {}),
        (nothing, {}),
        ({"active": False, "catchup": True}, {"active": False, "catchup": True}),
        ({"schedule": {"rrule": "FREQ=DAILY"}}, {"schedule": {"rrule": "FREQ=DAILY", "timezone": None}}),
    ):
        await api.post(f"/deployments/{deployment['id']}/schedule", {})
        assert await count(api, deployment) > 0
        assert (await api.patch(path, body)).status_code == 204
        changed = next(each for each in await schedules(api, deployment) if each["id"] == hourly["id"])
        assert changed["updated"] > hourly["updated"]
        hourly = {**hourly, **fields, "updated": changed["updated"]}
        assert changed == hourly
        assert await count(api, deployment) == 0  # runs of what the schedule was (api-contract §10)
    assert nightly in await schedules(api, deployment)
    for wrong in ({"q": 1}, {"max_scheduled_runs": 51}, {"schedule": {"interval": 0}}):
        assert (await api.patch(path, wrong)).status_code == 422


async def test_a_schedule_is_deleted(api: Outside) -> None:
    deployment = await api.deployment(schedules=[HOURLY, NIGHTLY])
    (hourly, nightly) = deployment["schedules"]
    await api.post(f"/deployments/{deployment['id']}/schedule", {})
    path = f"/deployments/{deployment['id']}/schedules/{nightly['id']}"
    assert (await api.delete(path)).status_code == 204
    assert await schedules(api, deployment) == [hourly]
    assert await count(api, deployment) == 0
    again = await api.delete(path)
    assert (again.status_code, again.json()) == (404, {"detail": "Schedule not found."})


async def test_schedules_of_nothing(sqlite_api: Outside) -> None:
    path = f"/deployments/{uuid4()}/schedules"
    for answer in (
        await sqlite_api.get(path),
        await sqlite_api.post(path, [HOURLY]),
        await sqlite_api.patch(f"{path}/{uuid4()}", {}),
        await sqlite_api.delete(f"{path}/{uuid4()}"),
    ):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Deployment not found."})
    deployment = await sqlite_api.deployment(schedules=[HOURLY])
    unknown = await sqlite_api.patch(f"/deployments/{deployment['id']}/schedules/{uuid4()}", {})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Schedule not found."})


async def test_the_only_schedule_is_switched(api: Outside) -> None:
    deployment = await api.deployment(schedules=[HOURLY])
    path = f"/deployments/{deployment['id']}"
    await api.post(f"{path}/schedule", {})
    for word, active in (("inactive", False), ("active", True)):
        assert (await api.post(f"{path}/set_schedule_{word}")).content == b"null"
        read = made(await api.get(path))
        assert (read["paused"], read["is_schedule_active"]) == (not active, active)
        assert [each["active"] for each in read["schedules"]] == [active]
        assert await count(api, deployment) == 0
    made(await api.post(f"{path}/schedules", [NIGHTLY]))
    for word in ("active", "inactive"):
        answer = await api.post(f"{path}/set_schedule_{word}")
        assert answer.status_code == 422
        assert "2 schedules" in answer.json()["detail"]
        unknown = await api.post(f"/deployments/{uuid4()}/set_schedule_{word}")
        assert (unknown.status_code, unknown.json()) == (404, {"detail": "Deployment not found"})
    assert made(await api.get(path))["paused"] is False


async def test_runs_are_made_on_request(api: Outside) -> None:
    deployment = await api.deployment(paused=True, schedules=[HOURLY, {**NIGHTLY, "active": False}])
    path = f"/deployments/{deployment['id']}/schedule"
    start = datetime(2030, 1, 1, tzinfo=UTC)
    for body, expected in (
        ({"max_runs": 0}, 0),
        (None, 3),
        ({}, 3),
        ({"min_runs": 5}, 5),
        ({"min_runs": 50, "max_runs": 7}, 7),
        ({"min_time": 8 * 3600}, 9),
        ({"start_time": start.isoformat(), "end_time": start.isoformat()}, 10),
        ({"start_time": start.isoformat(), "end_time": (start - timedelta(days=1)).isoformat()}, 10),
        ({"start_time": start.isoformat(), "min_runs": 4, "end_time": "2030-01-01T02:30:00Z"}, 12),
        ({"min_time": 1e300, "max_runs": 12}, 12 + 3),
        ({"min_time": -1e300}, 12 + 3),
    ):
        answer = await api.post(path, body)
        assert (answer.status_code, answer.content) == (200, b"null"), body
        assert await count(api, deployment) == expected, body
    assert (await api.post(f"/deployments/{uuid4()}/schedule", {})).content == b"null"


async def test_the_queues_of_a_deployment(api: Outside) -> None:
    await api.queue("other")
    await api.queue("tagged", filter={"tags": ["t"]})
    await api.queue("by id", filter={"tags": ["t"], "deployment_ids": [str(uuid4())]})
    deployment = await api.deployment(work_queue_name="own", tags=["t", "u"])
    path = f"/deployments/{deployment['id']}/work_queue_check"
    own, tagged = [made(await api.get(f"/work_queues/name/{name}")) for name in ("own", "tagged")]
    left_out = {"work_pool_name", "status"}
    assert made(await api.get(path)) == [
        {name: value for name, value in queue.items() if name not in left_out} for queue in (own, tagged)
    ]
    unknown = await api.get(f"/deployments/{uuid4()}/work_queue_check")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Deployment not found"})


@pytest.mark.parametrize(
    "body",
    [{"min_runs": -1}, {"max_runs": -1}, {"start_time": "soon"}, {"start_time": "9999-12-31T00:00:00Z"}],
)
async def test_nonsense_about_runs_to_make(sqlite_api: Outside, body: Json) -> None:
    deployment = await sqlite_api.deployment(schedules=[HOURLY])
    assert (await sqlite_api.post(f"/deployments/{deployment['id']}/schedule", body)).status_code == 422


async def test_schedules_made_together_are_read_the_youngest_first(api: Outside) -> None:
    deployment = await api.deployment(paused=True)
    path = f"/deployments/{deployment['id']}/schedules"
    crons = [f"{minute} 0 * * *" for minute in range(5)]
    await api.post(path, [{"schedule": {"cron": cron}} for cron in crons])
    assert [each["schedule"]["cron"] for each in (await api.get(path)).json()] == crons[::-1]
