"""Log lines and artifacts, seen on the wire."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from tests.server.outside import Json, Outside, made

from reeve.server.services.hub import run_topic


def line(message: str, second: int = 0, **fields: object) -> Json:
    at = f"2026-11-22T00:00:{second:02}+00:00"
    return {"name": "prefect.flow_runs", "level": 20, "message": message, "timestamp": at, **fields}


async def test_lines_come_as_a_bare_list(api: Outside) -> None:
    run, task = str(uuid4()), str(uuid4())
    answer = await api.post("/logs/", [line("m", flow_run_id=run, task_run_id=task), line("n", 1)])
    assert (answer.status_code, answer.content) == (201, b"null")
    first, second = (await api.post("/logs/filter")).json()
    assert first == {
        "id": first["id"],
        "created": first["created"],
        "updated": first["created"],
        "name": "prefect.flow_runs",
        "level": 20,
        "message": "m",
        "timestamp": "2026-11-22T00:00:00+00:00",
        "flow_run_id": run,
        "task_run_id": task,
    }
    assert second["flow_run_id"] is None
    assert (await api.post("/logs/", [])).status_code == 201


async def test_lines_are_found(api: Outside) -> None:
    run = str(uuid4())
    await api.post(
        "/logs/",
        [
            line("late", 30),
            line("debug", 1, level=10),
            line("mine", 2, flow_run_id=run),
            line("error", 3, level=40, flow_run_id=run),
        ],
    )

    async def messages(**query: object) -> list[str]:
        return [each["message"] for each in (await api.post("/logs/filter", query)).json()]

    assert await messages() == ["debug", "mine", "error", "late"]
    assert await messages(sort="TIMESTAMP_DESC") == ["late", "error", "mine", "debug"]
    assert await messages(limit=2, offset=1) == ["mine", "error"]
    assert await messages(logs={"flow_run_id": {"any_": [run]}}) == ["mine", "error"]
    assert await messages(logs={"level": {"ge_": 20, "le_": 30}}) == ["mine", "late"]
    exact = {"before_": "2026-11-22T00:00:02Z", "after_": "2026-11-22T00:00:02Z"}
    assert await messages(logs={"timestamp": exact}) == ["mine"]
    either = {"operator": "or_", "level": {"ge_": 40}, "timestamp": exact}
    assert await messages(logs=either) == ["mine", "error"]


async def test_lines_of_one_instant_keep_their_order(api: Outside) -> None:
    await api.post("/logs/", [line(str(number)) for number in range(300)])
    pages = [(await api.post("/logs/filter", {"offset": offset})).json() for offset in (0, 200)]
    assert [int(each["message"]) for page in pages for each in page] == list(range(300))


async def test_lines_wake_who_follows_their_run(api: Outside) -> None:
    run = await api.run()
    path = f"/flow_runs/{run['id']}/follow"
    seen = made(await api.post(path, {}))
    news = {"state_cursor": seen["state_cursor"], "log_cursor": seen["log_cursor"]}
    with api.ctx.hub.waiting(run_topic(UUID(run["id"]))) as woken:
        following = asyncio.create_task(api.post(path, {**news, "hold_seconds": 20}))
        await api.post("/logs/", [line("m", flow_run_id=run["id"])])
        await asyncio.wait_for(woken.wait(), 10)
        assert [each["message"] for each in made(await following)["logs"]] == ["m"]


async def test_artifacts(api: Outside) -> None:
    run, task = str(uuid4()), str(uuid4())
    body = {
        "key": "report",
        "type": "markdown",
        "description": "text",
        "data": {"rows": [1, None, "ü"]},
        "metadata_": {"a": "b"},
        "flow_run_id": run,
        "task_run_id": task,
    }
    answer = await api.post("/artifacts/", body)
    assert answer.status_code == 201
    made_ = answer.json()
    assert {key: made_[key] for key in body} == body
    assert set(made_) - set(body) == {"id", "created", "updated"}
    empty = made(await api.post("/artifacts/", {}))
    assert (empty["key"], empty["data"]) == (None, None)
