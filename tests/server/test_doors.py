"""Who may come in, and what the key of an attempt may do (protocol §4, §11)."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.server.outside import SECRET, Json, Outside, bearer, made, serving

from reeve.server.services.tokens import token_of
from reeve.wire.endpoints import ENDPOINTS, Door, Endpoint

KEY = "the key of the home"
AT_THE_DOOR = frozenset({401, 403})


async def knock(api: Outside, endpoint: Endpoint[Any, Any], headers: dict[str, str]) -> httpx2.Response:
    """Call an endpoint so that whoever is let in gets no further than the reading of the request."""
    path = re.sub(r"\{(\w*_)?id\}", "no-uuid", endpoint.path)
    path = re.sub(r"\{\w+\}", "nothing", path)
    body = b"{" if endpoint.request else None
    return await api.http.request(endpoint.method, f"/api{path}", content=body, headers=headers)


async def test_every_endpoint_has_its_door(sqlite_url: str) -> None:
    keys = {
        "none": {"Authorization": ""},
        "wrong": bearer("another key"),
        "forged": bearer(token_of(b"another secret", uuid4())),
        "attempt": bearer(token_of(SECRET, uuid4())),
        "operator": bearer(KEY),
    }
    admitted = {
        Door.ANYONE: set(keys),
        Door.ATTEMPT: {"attempt", "operator"},
        Door.OPERATOR: {"operator"},
    }
    async with serving(sqlite_url, key=KEY) as api:
        for endpoint in ENDPOINTS:
            let_in = set()
            for name, headers in keys.items():
                answer = await knock(api, endpoint, headers)
                if answer.status_code not in AT_THE_DOOR:
                    let_in.add(name)
                    continue
                assert answer.status_code == (403 if name == "attempt" else 401), endpoint.name
                assert answer.json()["code"] == ("forbidden" if name == "attempt" else "unauthorized")
            assert let_in == admitted[endpoint.door], endpoint.name


async def test_who_has_no_key_is_told_what_to_do(sqlite_url: str) -> None:
    async with serving(sqlite_url, key=KEY) as api:
        answer = await api.get("/agents", headers={"Authorization": ""})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "REEVE_API_KEY" in answer.json()["detail"]


async def test_an_open_door_asks_for_no_key_but_knows_attempts(sqlite_api: Outside) -> None:
    for headers in ({}, bearer("any")):
        assert (await sqlite_api.post("/work_pools/filter", headers=headers)).status_code == 200
    attempt = bearer(token_of(SECRET, uuid4()))
    assert (await sqlite_api.post("/work_pools/filter", headers=attempt)).status_code == 403
    forged = bearer(token_of(b"another secret", uuid4()))
    assert (await sqlite_api.post("/work_pools/filter", headers=forged)).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:4200", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:4200", 200),
        ("10.1.2.3", 200),
        ("reeve.example", 200),
        ("reeve.example:443", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("reeve.example.evil.example:4200", 403),
        ("[", 403),
    ],
)
async def test_names_the_server_answers_to(sqlite_url: str, host: str, status: int) -> None:
    async with serving(sqlite_url, hosts=["Reeve.Example"]) as api:
        answer = await api.get("/health", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert "REEVE_ALLOWED_HOSTS" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:4200", "http://localhost:4200", 200),
        ("localhost:4200", "http://localhost:3000", 403),
        ("localhost:4200", "http://evil.example", 403),
        ("localhost:4200", "null", 403),
        ("10.1.2.3:4200", "http://10.1.2.3:4200", 200),
        ("10.1.2.3:4200", "http://10.9.9.9:4200", 403),
        ("127.0.0.1:4200", "https://reeve.example", 200),
    ],
)
async def test_pages_that_may_call(sqlite_url: str, host: str, origin: str, status: int) -> None:
    async with serving(sqlite_url, hosts=["reeve.example"]) as api:
        answer = await api.get("/health", headers={"Host": host, "Origin": origin})
    assert answer.status_code == status


class Insider:
    """A run that an agent was granted, and its key."""

    def __init__(self, api: Outside, grant: Json) -> None:
        self.api = api
        self.run = grant["run"]
        self.key = bearer(grant["token"])

    async def statuses(self, run: Json) -> dict[str, int]:
        """Try to write everything that belongs to a run."""
        at = "2026-11-22T00:00:00Z"
        line = {"name": "n", "level": 20, "message": "m", "timestamp": at, "flow_run_id": run["id"]}
        task = {"task_key": uuid4().hex, "dynamic_key": "0", "flow_run_id": run["id"]}
        tries = {
            "log": ("/logs/", [line]),
            "artifact": ("/artifacts/", {"key": "k", "flow_run_id": run["id"]}),
            "input": (f"/flow_runs/{run['id']}/input", {"key": uuid4().hex, "value": "1"}),
            "task": ("/task_runs/", task),
            "state": (f"/flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}}),
        }
        return {
            name: (await self.api.post(path, body, headers=self.key)).status_code
            for name, (path, body) in tries.items()
        }


@pytest.fixture
async def insider(api: Outside) -> Insider:
    await api.pool("p", type="process")
    await api.run_of(await api.deployment(work_pool_name="p"))
    return Insider(api, await api.grant(pool="p"))


async def test_an_attempt_writes_what_is_its_runs(insider: Insider) -> None:
    assert set((await insider.statuses(insider.run)).values()) == {201}


async def test_an_attempt_writes_nothing_of_other_runs(insider: Insider) -> None:
    other = await insider.api.run(flow="another")
    written = await insider.statuses(other)
    assert written.pop("input") == 201  # a message, which changes nothing (docs/decisions/0010-inputs.md)
    assert set(written.values()) == {403}
    task = made(
        await insider.api.post(
            "/task_runs/", {"task_key": "t", "dynamic_key": "0", "flow_run_id": other["id"]}
        )
    )
    artifact = await insider.api.post("/artifacts/", {"task_run_id": task["id"]}, headers=insider.key)
    assert (artifact.status_code, artifact.json()["code"]) == (403, "forbidden")
    state = {"state": {"type": "RUNNING"}}
    refused = await insider.api.post(f"/task_runs/{task['id']}/set_state", state, headers=insider.key)
    assert refused.status_code == 403


async def test_an_attempt_writes_what_is_its_subflows(insider: Insider) -> None:
    api, run = insider.api, insider.run
    await insider.statuses(run)  # it runs now
    for level in ("child", "grandchild"):
        task = {"task_key": level, "dynamic_key": "0", "flow_run_id": run["id"]}
        parent = made(await api.post("/task_runs/", task, headers=insider.key))
        flow = made(await api.post("/flows/", {"name": level}, headers=insider.key))
        body = {"flow_id": flow["id"], "parent_task_run_id": parent["id"]}
        run = made(await api.post("/flow_runs/", body, headers=insider.key))
        assert set((await insider.statuses(run)).values()) == {201}


async def test_logs_are_kept_under_the_attempt_that_said_them(insider: Insider) -> None:
    await insider.statuses(insider.run)
    attempts = (await insider.api.get(f"/flow_runs/{insider.run['id']}/attempts")).json()
    stored = await insider.api.ctx.store.read(lambda tx: tx.fetchval("select attempt_id from logs"))
    assert [attempt["id"] for attempt in attempts] == [str(stored)]
