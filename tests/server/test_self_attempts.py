"""Self attempts: opened, renewed and ended by the process that executes the flow itself (protocol §1)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.server.office import long_up
from tests.server.outside import Json, Outside, bearer, made

from reeve.core.attempts import LeaseTerms
from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


async def opened(api: Outside, **fields: Any) -> Json:
    body = {"flow_name": "f", "host": "h", "pid": 1, "idempotency_key": uuid4().hex, **fields}
    answer: Json = made(await api.post("/attempts/self", body))
    return answer


async def propose(api: Outside, mine: Json, type_: str, **headers: Any) -> Any:
    body = {"state": {"type": type_}}
    path = f"/flow_runs/{mine['run']['id']}/set_state"
    return await api.post(path, body, headers=headers.get("headers", bearer(mine["token"])))


async def only_attempt(api: Outside, mine: Json) -> Json:
    (attempt,) = made(await api.get(f"/flow_runs/{mine['run']['id']}/attempts"))
    shown: Json = attempt
    return shown


async def run(api: Outside, mine: Json) -> Json:
    shown: Json = made(await api.get(f"/flow_runs/{mine['run']['id']}"))
    return shown


async def test_its_final_state_closes_it(api: Outside) -> None:
    mine = await opened(api, parameters={"x": 1}, run_name="mine", tags=["t"])
    assert (mine["run"]["state_type"], mine["run"]["parameters"], mine["lease_seconds"]) == (
        "PENDING",
        {"x": 1},
        LeaseTerms().lease,
    )
    for type_ in ("RUNNING", "COMPLETED"):
        assert (await propose(api, mine, type_)).json()["status"] == "ACCEPT"
    attempt = await only_attempt(api, mine)
    assert (attempt["kind"], attempt["state"], attempt["handle"]) == (
        "self",
        "ENDED",
        {"host": "h", "pid": 1},
    )
    line = {
        "name": "n",
        "level": 20,
        "message": "late",
        "timestamp": "2026-11-22T00:00:00Z",
        "flow_run_id": mine["run"]["id"],
    }
    assert (await api.post("/logs/", [line], headers=bearer(mine["token"]))).status_code == 201


async def test_a_repeated_request_finds_the_same(api: Outside) -> None:
    mine = await opened(api, idempotency_key="k")
    again = await opened(api, idempotency_key="k")
    assert (again["id"], again["token"], again["run"]["id"]) == (mine["id"], mine["token"], mine["run"]["id"])
    for type_ in ("RUNNING", "COMPLETED"):
        await propose(api, mine, type_)
    body = {"flow_name": "f", "host": "h", "pid": 1, "idempotency_key": "k"}
    assert (await api.post("/attempts/self", body)).status_code == 409


async def test_it_fences_its_run(api: Outside) -> None:
    mine, other = await opened(api), await opened(api)
    await propose(api, mine, "RUNNING")
    refused = await propose(api, mine, "COMPLETED", headers={})
    assert (refused.status_code, refused.json()["code"]) == (403, "attempt_superseded")
    assert (await propose(api, mine, "RUNNING", headers=bearer(other["token"]))).status_code == 403
    by_other = await api.post(f"/attempts/{mine['id']}/end", {"cause": "c"}, headers=bearer(other["token"]))
    assert by_other.status_code == 403


@pytest.mark.parametrize(
    ("before", "after"), [("RUNNING", "CRASHED"), ("CANCELLING", "CANCELLED"), (None, "CRASHED")]
)
async def test_its_end_is_that_of_its_run(api: Outside, before: str | None, after: str) -> None:
    mine = await opened(api)
    if before:
        await propose(api, mine, "RUNNING")
    if before == "CANCELLING":
        await api.post(f"/flow_runs/{mine['run']['id']}/cancel")
        body = {"attempts": [{"id": mine["id"], "token": mine["token"]}]}
        assert made(await api.post("/attempts/renew", body))["stop"] == [mine["id"]]
    for _ in range(2):
        ended = await api.post(
            f"/attempts/{mine['id']}/end", {"cause": "Its process is gone."}, headers=bearer(mine["token"])
        )
        assert ended.status_code == 204
    shown = await run(api, mine)
    assert shown["state_type"] == after
    if after == "CRASHED":
        assert shown["state"]["message"] == "Its process is gone."
    assert (await only_attempt(api, mine))["closed"]


async def test_the_reaper_crashes_what_is_silent_for_good(api: Outside) -> None:
    mine = await opened(api)
    await propose(api, mine, "RUNNING")

    def over(seconds: float) -> Any:
        async def age(tx: Transaction) -> None:
            at = rows.micros(await tx.now() - timedelta(seconds=seconds))
            await tx.execute("update attempts set lease_until = $1", at)

        return age

    reaper = long_up(api.ctx)
    await api.ctx.store.write(over(10))
    await reaper.round()
    shown = await run(api, mine)
    assert (shown["state_name"], "No sign from its process" in shown["state"]["message"]) == (
        "Unreachable",
        True,
    )
    await api.ctx.store.write(over(api.ctx.terms.lost_after + 1))
    await reaper.round()
    shown = await run(api, mine)
    assert (shown["state_type"], "Its process was lost" in shown["state"]["message"]) == ("CRASHED", True)


async def test_one_that_never_ran_is_not_given_to_an_agent(api: Outside) -> None:
    mine = await opened(api)

    async def age(tx: Transaction) -> None:
        at = rows.micros(await tx.now() - timedelta(seconds=api.ctx.terms.lost_after + 10))
        await tx.execute("update attempts set lease_until = $1", at)

    await api.ctx.store.write(age)
    await long_up(api.ctx).round()
    assert (await run(api, mine))["state_type"] == "CRASHED"


async def test_an_agents_attempt_is_ended_by_its_agent(api: Outside) -> None:
    await api.pool("p", type="process")
    await api.run_of(await api.deployment(work_pool_name="p"))
    grant = await api.grant(pool="p")
    for headers in ({}, bearer(grant["token"])):
        answer = await api.post(f"/attempts/{grant['attempt_id']}/end", {"cause": "c"}, headers=headers)
        assert answer.status_code == 403
    assert (await api.post(f"/attempts/{uuid4()}/end", {"cause": "c"})).status_code == 404
