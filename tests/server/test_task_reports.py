"""What the process of an attempt tells of its tasks, many at once and after the fact."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.server.outside import Json, Outside, bearer, made
from tests.server.test_self_attempts import opened, propose


async def running(api: Outside) -> Json:
    mine = await opened(api)
    assert (await propose(api, mine, "RUNNING")).json()["status"] == "ACCEPT"
    return mine


def new(mine: Json, position: int = 0) -> Json:
    return {
        "id": str(uuid4()),
        "flow_run_id": mine["run"]["id"],
        "task_key": "k",
        "dynamic_key": str(position),
        "name": f"t-{position}",
        "empirical_policy": {"retries": 1},
    }


def state(task: Json, type_: str, age: float, **more: Any) -> Json:
    named = {"type": type_, "name": type_.capitalize(), "age": age}
    return {"id": str(uuid4()), "task_run_id": task["id"], **named, **more}


async def tell(api: Outside, mine: Json, **body: Any) -> Any:
    headers = body.pop("headers", bearer(mine["token"]))
    return await api.post(f"/attempts/{mine['id']}/task_runs", body, headers=headers)


async def task_run(api: Outside, task: Json) -> Json:
    shown: Json = made(await api.get(f"/task_runs/{task['id']}"))
    return shown


async def names(api: Outside, task: Json) -> list[str]:
    return [one["name"] for one in made(await api.get(f"/task_run_states/?task_run_id={task['id']}"))]


async def test_a_whole_life_is_told_at_once_and_again(api: Outside) -> None:
    mine = await running(api)
    first, second = new(mine), new(mine, 1) | {"task_inputs": {"x": [str(uuid4())]}}
    waits = {"state_details": {"scheduled_time": "2026-11-22T00:00:00Z"}}
    body = {
        "made": [first, second],
        "entered": [
            state(first, "PENDING", 9),
            state(first, "RUNNING", 8),
            state(first, "SCHEDULED", 5, **waits) | {"name": "AwaitingRetry"},
            state(first, "RUNNING", 4) | {"name": "Retrying"},
            state(second, "PENDING", 3),
            state(first, "COMPLETED", 2, data={"type": "unpersisted"}),
        ],
    }
    for _ in range(2):
        assert made(await tell(api, mine, **body)) == {"halted": []}
    shown = await task_run(api, first)
    assert (shown["state_type"], shown["run_count"], shown["flow_run_run_count"]) == ("COMPLETED", 2, 1)
    assert (shown["name"], shown["empirical_policy"]["retries"]) == ("t-0", 1)
    assert 4.9 < shown["total_run_time"] < 5.1
    assert await names(api, first) == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]
    assert (await task_run(api, second))["task_inputs"]["x"][0]["input_type"] == "task_run"
    later = [state(second, "RUNNING", 1), state(second, "FAILED", 5)]  # a clock that was set back
    made(await tell(api, mine, entered=later))
    assert await names(api, second) == ["Pending", "Running", "Failed"]
    assert (await task_run(api, second))["total_run_time"] == 0


async def test_who_waits_for_a_flow_run_that_is_halted_is_told(api: Outside) -> None:
    mine = await running(api)
    made(await api.post(f"/flow_runs/{mine['run']['id']}/cancel"))
    task = new(mine)
    told = made(await tell(api, mine, made=[task], entered=[state(task, "PENDING", 0)]))
    assert told == {"halted": [mine["run"]["id"]]}
    assert await names(api, task) == ["Pending"]


async def test_the_holder_alone_tells(api: Outside) -> None:
    mine, other = await running(api), await running(api)
    task = new(mine)
    body = {"made": [task], "entered": [state(task, "PENDING", 0)]}
    for refused in (
        await tell(api, mine, **body, headers=bearer(other["token"])),
        await tell(api, other, **body),
        await tell(api, other, **body, headers={}),
    ):
        assert refused.status_code == 403
    await api.post(f"/attempts/{mine['id']}/end", {"cause": "gone"}, headers=bearer(mine["token"]))
    late = await tell(api, mine, **body)
    assert (late.status_code, late.json()["code"]) == (403, "attempt_superseded")
    assert (await api.get(f"/task_runs/{task['id']}")).status_code == 404


async def test_what_cannot_be_is_refused_as_a_whole(api: Outside) -> None:
    mine = await running(api)
    task, same_call = new(mine), new(mine)
    both = [state(task, "PENDING", 0), state(same_call, "PENDING", 0)]
    assert (await tell(api, mine, made=[task, same_call], entered=both)).status_code == 409
    assert (await tell(api, mine, entered=[state(task, "PENDING", 0)])).status_code == 404
    assert (await tell(api, mine, made=[task], entered=[state(task, "PENDING", -1)])).status_code == 422
    assert (await api.get(f"/task_runs/{task['id']}")).status_code == 404


async def test_a_task_run_can_be_handed_over(api: Outside) -> None:
    """What was told of can be asked for singly from then on: the rules see what they would have seen."""
    mine = await running(api)
    task = new(mine)
    told = [state(task, "PENDING", 2), state(task, "RUNNING", 1)]
    made(await tell(api, mine, made=[task], entered=told))
    path = f"/task_runs/{task['id']}/set_state"
    headers = bearer(mine["token"])
    for type_, name in (("FAILED", "AwaitingRetry"), ("RUNNING", "Retrying"), ("FAILED", "Failed")):
        answer = made(await api.post(path, {"state": {"type": type_}}, headers=headers))
        assert answer["state"]["name"] == name
