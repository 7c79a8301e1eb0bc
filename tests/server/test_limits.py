"""Limits of 2.20's second kind, seen on the wire; their slots are rows with holders (protocol §1)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from tests.server.outside import Outside, bearer, made

from reeve.errors import ConflictError
from reeve.server.services import limits


async def take(api: Outside, *names: str, slots: int = 1, **how: Any) -> httpx2.Response:
    headers = how.pop("headers", {})
    return await api.post(
        "/v2/concurrency_limits/increment", {"slots": slots, "names": names, **how}, headers=headers
    )


async def give(api: Outside, *names: str, slots: int = 1, **how: Any) -> httpx2.Response:
    headers = how.pop("headers", {})
    return await api.post(
        "/v2/concurrency_limits/decrement", {"slots": slots, "names": names, **how}, headers=headers
    )


async def test_a_limit_that_is_not_known_is_made_and_never_full(api: Outside) -> None:
    for _ in range(3):
        answer = await take(api, "new")
        assert answer.status_code == 200
        (shown,) = answer.json()
        assert (shown["name"], shown["limit"], set(shown)) == ("new", 1, {"id", "name", "limit"})
    assert (await take(api)).json() == []
    assert (await give(api, "unknown")).json() == []


async def test_a_full_limit_says_when_to_come_back(api: Outside) -> None:
    await limits.create(api.ctx, "l", 2)
    assert (await take(api, "l", slots=2)).status_code == 200
    full = await take(api, "l")
    assert (full.status_code, full.headers["retry-after"]) == (423, "2.0")
    assert "'l'" in full.json()["detail"]
    assert (await give(api, "l", occupancy_seconds=1.5)).status_code == 200
    assert (await take(api, "l")).status_code == 200
    assert (await take(api, "l")).status_code == 423


async def test_all_of_the_limits_or_none(api: Outside) -> None:
    await limits.create(api.ctx, "wide", 5)
    await limits.create(api.ctx, "narrow", 1)
    assert (await take(api, "narrow", "wide", "wide")).status_code == 200
    assert (await take(api, "wide", "narrow")).status_code == 423
    assert (await take(api, "wide", slots=4)).status_code == 200


async def test_what_a_limit_cannot_give(api: Outside) -> None:
    await limits.create(api.ctx, "l", 2)
    for how in ({"slots": 3}, {"mode": "rate_limit"}):
        answer = await take(api, "l", **how)
        assert answer.status_code == 422
        assert "'l'" in answer.json()["detail"]
    assert (await take(api, "l", slots=0)).status_code == 422
    with pytest.raises(ConflictError, match="'l'"):
        await limits.create(api.ctx, "l", 1)


async def test_requests_at_once_get_no_more_than_there_is(api: Outside) -> None:
    await limits.create(api.ctx, "l", 5)
    answers = await asyncio.gather(*(take(api, "l") for _ in range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [423] * 11


async def test_slots_of_a_rate_leave_one_after_the_other(api: Outside) -> None:
    await limits.create(api.ctx, "rate", 2, decay=0.001)
    assert (await take(api, "rate", slots=2, mode="rate_limit")).status_code == 200
    full = await take(api, "rate", mode="rate_limit")
    assert (full.status_code, full.headers["retry-after"]) == (423, "1000.0")

    async def age(seconds: int) -> None:
        await api.ctx.store.write(
            lambda tx: tx.execute("update slots set until = until - $1", seconds * 1_000_000)
        )

    await age(1001)
    assert (await take(api, "rate", mode="rate_limit")).status_code == 200
    assert (await take(api, "rate", mode="rate_limit")).status_code == 423
    await age(2001)
    assert (await take(api, "rate", slots=2, mode="rate_limit")).status_code == 200


async def test_slots_belong_to_their_attempt_and_end_with_it(api: Outside) -> None:
    await limits.create(api.ctx, "l", 2)
    await api.pool("p", type="process")
    await api.run_of(await api.deployment(work_pool_name="p"))
    grant = await api.grant(pool="p")
    own = bearer(grant["token"])
    assert (await take(api, "l", headers=own)).status_code == 200
    assert (await take(api, "l")).status_code == 200
    # Nobody gives back what another holds.
    await give(api, "l", slots=2)
    assert (await take(api, "l", slots=2)).status_code == 423
    holders = await api.ctx.store.read(lambda tx: tx.fetch("select holder, attempt_id from slots"))
    assert [row["holder"] for row in holders] == [grant["attempt_id"]]
    report = {"seq": 1, "kind": "not_launched", "reason": "no room"}
    path = f"/attempts/{grant['attempt_id']}/reports"
    made(await api.post(path, {"epoch": grant["epoch"], "reports": [report]}))
    assert (await take(api, "l", slots=2)).status_code == 200
    late = await take(api, "l", headers=own)
    assert (late.status_code, late.json()["code"]) == (403, "attempt_superseded")
