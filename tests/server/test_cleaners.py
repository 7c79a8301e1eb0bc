"""Pause expirer and cancellation cleaner (api-contract §10)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.server.outside import Json, Outside, made

from reeve.server.loops import cancellations, pauses
from reeve.server.loops.cancellations import CancellationCleaner
from reeve.server.loops.pauses import PauseExpirer


def paused(seconds: float | None) -> Json:
    """Return a pause that ended so many seconds ago, or never ends."""
    over = None if seconds is None else (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    return {"type": "PAUSED", "state_details": {"pause_timeout": over}}


async def state(api: Outside, path: str) -> tuple[str, str | None]:
    found = made(await api.get(path))["state"]
    return found["type"], found["message"]


async def states_of(api: Outside, runs: list[Json]) -> list[str]:
    return [(await state(api, f"/flow_runs/{run['id']}"))[0] for run in runs]


async def test_pauses_end_in_time(api: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "PAGE", 2)
    endless = [await api.run(state=paused(None)) for _ in range(3)]
    overdue = [await api.run(state=paused(1)) for _ in range(3)]
    young = await api.run(state=paused(-3600))
    expirer = PauseExpirer(api.ctx, 5)
    for _ in range(2):
        await asyncio.wait_for(expirer.round(), 60)
        assert await states_of(api, overdue) == ["FAILED"] * 3
        assert await states_of(api, [*endless, young]) == ["PAUSED"] * 4
    failed = await state(api, f"/flow_runs/{overdue[0]['id']}")
    assert failed == ("FAILED", "The flow was paused and never resumed.")


async def test_a_pause_that_was_ended_is_left_alone(api: Outside) -> None:
    run = await api.run(state=paused(1))
    await api.enter(run, "RUNNING", force=True)
    await PauseExpirer(api.ctx, 5).round()
    assert await states_of(api, [run]) == ["RUNNING"]


async def task_of(api: Outside, run: Json, key: str, **fields: Any) -> Any:
    who = {"flow_run_id": run["id"], "task_key": key, "dynamic_key": "0", **fields}
    return made(await api.post("/task_runs/", {"state": {"type": "RUNNING"}, **who}))


async def test_what_a_cancelled_run_left_is_cancelled(api: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellations, "PAGE", 1)
    monkeypatch.setattr(cancellations, "TASKS", 2)
    made(await api.post("/concurrency_limits/", {"tag": "t", "concurrency_limit": 9}))
    runs = [await api.run(state={"type": "RUNNING"}) for _ in range(3)]
    tasks = [await task_of(api, run, key) for run in runs for key in "abcde"]
    done = await task_of(api, runs[0], "done")
    ended = {"state": {"type": "COMPLETED"}}
    made(await api.post(f"/task_runs/{done['id']}/set_state", ended))
    bystander = await api.run(state={"type": "RUNNING"})
    other = await task_of(api, bystander, "a")
    for run in runs:
        made(await api.enter(run, "CANCELLED", force=True))
    cleaner = CancellationCleaner(api.ctx, 20)
    for _ in range(2):
        await asyncio.wait_for(cleaner.round(), 60)
        for task in tasks:
            assert await state(api, f"/task_runs/{task['id']}") == (
                "CANCELLED",
                "The parent flow run was cancelled.",
            )
        assert (await state(api, f"/task_runs/{done['id']}"))[0] == "COMPLETED"
        assert (await state(api, f"/task_runs/{other['id']}"))[0] == "RUNNING"


async def test_subflows_of_a_cancelled_run(api: Outside) -> None:
    deployment = await api.deployment()
    run = await api.run(state={"type": "RUNNING"})
    inside, outside, waiting = [await task_of(api, run, key) for key in "abc"]
    child = await api.run(parent_task_run_id=inside["id"], state={"type": "RUNNING"})
    below = await task_of(api, child, "below")
    own = await api.run_of(deployment, parent_task_run_id=outside["id"], state={"type": "RUNNING"})
    unstarted = await api.run_of(deployment, parent_task_run_id=waiting["id"])
    made(await api.enter(run, "CANCELLED", force=True))
    cleaner = CancellationCleaner(api.ctx, 20)
    for _ in range(3):
        await asyncio.wait_for(cleaner.round(), 60)
    said = "The parent flow run was cancelled."
    assert await state(api, f"/flow_runs/{child['id']}") == ("CANCELLED", said)
    assert await state(api, f"/task_runs/{below['id']}") == ("CANCELLED", said)
    assert await state(api, f"/flow_runs/{own['id']}") == ("CANCELLING", said)
    assert (await state(api, f"/flow_runs/{unstarted['id']}"))[0] == "CANCELLED"
    made(await api.enter(own, "CANCELLED", force=True))
    await cleaner.round()
    assert (await state(api, f"/task_runs/{outside['id']}"))[0] == "CANCELLED"


async def test_cancellations_of_long_ago_are_left_alone(api: Outside) -> None:
    run = await api.run(state={"type": "RUNNING"})
    task = await task_of(api, run, "a")
    made(await api.enter(run, "CANCELLED", force=True))
    day = timedelta(days=1, minutes=1) // timedelta(microseconds=1)
    await api.ctx.store.write(lambda tx: tx.execute("update flow_runs set end_time = end_time - $1", day))
    await CancellationCleaner(api.ctx, 20).round()
    assert (await state(api, f"/task_runs/{task['id']}"))[0] == "RUNNING"
