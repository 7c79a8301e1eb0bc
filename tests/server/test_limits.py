"""Limits of 2.20's second kind, seen on the wire; their slots are rows with holders (protocol §1)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.server.outside import Json, Outside, bearer, made

LIMITS = "/v2/concurrency_limits"
MISSING = (404, {"detail": "Concurrency Limit not found"})


async def limit(api: Outside, name: str, size: int, **fields: Any) -> Json:
    shown: Json = made(await api.post(f"{LIMITS}/", {"name": name, "limit": size, **fields}))
    return shown


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
    await limit(api, "l", 2)
    assert (await take(api, "l", slots=2)).status_code == 200
    full = await take(api, "l")
    # One of two slots, each held for two seconds.
    assert (full.status_code, full.headers["retry-after"]) == (423, "1.0")
    assert "'l'" in full.json()["detail"]
    assert (await give(api, "l", occupancy_seconds=1.5)).status_code == 200
    assert (await take(api, "l")).status_code == 200
    assert (await take(api, "l")).status_code == 423


async def test_all_of_the_limits_or_none(api: Outside) -> None:
    await limit(api, "wide", 5)
    await limit(api, "narrow", 1)
    assert (await take(api, "narrow", "wide", "wide")).status_code == 200
    assert (await take(api, "wide", "narrow")).status_code == 423
    assert (await take(api, "wide", slots=4)).status_code == 200


async def test_what_a_limit_cannot_give(api: Outside) -> None:
    await limit(api, "l", 2)
    for how in ({"slots": 3}, {"mode": "rate_limit"}):
        answer = await take(api, "l", **how)
        assert answer.status_code == 422
        assert "'l'" in answer.json()["detail"]
    assert (await take(api, "l", slots=0)).status_code == 422
    assert (await take(api, "l", mode="other")).status_code == 422


async def test_requests_at_once_get_no_more_than_there_is(api: Outside) -> None:
    await limit(api, "l", 5)
    answers = await asyncio.gather(*(take(api, "l") for _ in range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [423] * 11


async def test_slots_of_a_rate_leave_one_after_the_other(api: Outside) -> None:
    await limit(api, "rate", 2, slot_decay_per_second=0.001)
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
    await limit(api, "l", 2)
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
    made(await api.report(grant, report))
    assert (await take(api, "l", slots=2)).status_code == 200
    late = await take(api, "l", headers=own)
    assert (late.status_code, late.json()["code"]) == (403, "attempt_superseded")


async def test_a_limit_as_it_is_made_and_as_it_is_shown(api: Outside) -> None:
    answer = await api.post(f"{LIMITS}/", {"name": "l", "limit": 3, "active_slots": 2, "denied_slots": 5})
    first = answer.json()
    shown = {
        "id": first["id"],
        "created": first["created"],
        "updated": first["created"],
        "active": True,
        "name": "l",
        "limit": 3,
        "active_slots": 2,
        "slot_decay_per_second": 0.0,
    }
    assert answer.status_code == 201
    # What was denied is not counted: docs/guides/compatibility.md.
    assert first == {**shown, "denied_slots": 0, "avg_slot_occupancy_seconds": 2.0}
    for key in ("l", shown["id"]):
        assert made(await api.get(f"{LIMITS}/{key}")) == shown
    assert (await take(api, "l")).status_code == 200
    assert (await take(api, "l")).status_code == 423
    holders = await api.ctx.store.read(lambda tx: tx.fetch("select holder, attempt_id from slots"))
    assert [(row["holder"], row["attempt_id"]) for row in holders] == [("unknown", None)] * 3
    again = await api.post(f"{LIMITS}/", {"name": "l", "limit": 1})
    assert again.status_code == 409
    assert again.json()["detail"].startswith("Data integrity conflict.")
    await limit(api, "a", 0, active=False)
    found = made(await api.post(f"{LIMITS}/filter"))
    assert [(each["name"], each["active"], each["active_slots"]) for each in found] == [
        ("a", False, 0),
        ("l", True, 3),
    ]
    assert [each["name"] for each in made(await api.post(f"{LIMITS}/filter", {"limit": 1, "offset": 1}))] == [
        "l"
    ]
    assert (await api.post(f"{LIMITS}/filter", {"limit": 201})).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"name": "l"},
        {"limit": 1},
        {"name": "l", "limit": -1},
        {"name": "l", "limit": 1, "active_slots": -1},
        {"name": "l", "limit": 1, "slot_decay_per_second": -0.5},
        {"name": "l", "limit": 1, "avg_slot_occupancy_seconds": 1},
    ],
)
async def test_limits_that_cannot_be_made(sqlite_api: Outside, body: Json) -> None:
    answer = await sqlite_api.post(f"{LIMITS}/", body)
    assert (answer.status_code, answer.json()["request_body"]) == (422, body)


async def test_a_limit_changes_by_what_was_sent(api: Outside) -> None:
    made_ = await limit(api, "l", 2)
    await limit(api, "other", 2)
    path = f"{LIMITS}/{made_['id']}"

    async def changed(**fields: Any) -> Json:
        answer = await api.patch(path, fields)
        assert (answer.status_code, answer.content) == (204, b"")
        shown: Json = made(await api.get(path))
        return shown

    assert (await changed(limit=5, active_slots=4))["active_slots"] == 4
    assert (await take(api, "l", slots=2)).status_code == 423
    assert (await changed(active_slots=0))["active_slots"] == 0
    assert (await take(api, "l", slots=2)).status_code == 200
    after = await changed(name="new", active=False, slot_decay_per_second=0.5, denied_slots=1, limit=None)
    assert after == {
        "id": made_["id"],
        "created": made_["created"],
        "updated": after["updated"],
        "active": False,
        "name": "new",
        "limit": 5,
        "active_slots": 2,
        "slot_decay_per_second": 0.5,
    }
    taken = await api.patch(f"{LIMITS}/new", {"name": "other"})
    assert (taken.status_code, taken.json()["detail"][:14]) == (409, "Data integrity")
    assert (await api.patch(path, {"limit": -1})).status_code == 422
    assert (await api.patch(path, {"size": 1})).status_code == 422
    assert (await api.delete(f"{LIMITS}/new")).status_code == 204
    assert made(await api.post(f"{LIMITS}/filter"))[0]["name"] == "other"
    slots = await api.ctx.store.read(lambda tx: tx.fetchval("select count(*) from slots"))
    assert slots == 0


async def test_an_operator_frees_slots_of_unknown_holders_first(api: Outside) -> None:
    await limit(api, "l", 3)
    await api.pool("p", type="process")
    await api.run_of(await api.deployment(work_pool_name="p"))
    grant = await api.grant(pool="p")
    await take(api, "l", headers=bearer(grant["token"]))
    await take(api, "l", slots=2)

    async def holders() -> list[str]:
        found = await api.ctx.store.read(lambda tx: tx.fetch("select holder from slots order by holder"))
        return [row["holder"] for row in found]

    assert await holders() == sorted([grant["attempt_id"], "unknown", "unknown"])
    await api.patch(f"{LIMITS}/l", {"active_slots": 1})
    assert await holders() == [grant["attempt_id"]]
    await api.patch(f"{LIMITS}/l", {"active_slots": 0})
    assert await holders() == []


async def test_slots_that_have_left_are_not_shown(api: Outside) -> None:
    await limit(api, "rate", 5, slot_decay_per_second=0.001, active_slots=3)
    await api.ctx.store.write(lambda tx: tx.execute("update slots set until = until - 1500000000"))
    assert made(await api.get(f"{LIMITS}/rate"))["active_slots"] == 2
    await api.patch(f"{LIMITS}/rate", {"slot_decay_per_second": 0.0})
    assert (await take(api, "rate", slots=3)).status_code == 200
    assert (await take(api, "rate")).status_code == 423


async def test_unknown_limits(api: Outside) -> None:
    for key in ("l", str(uuid4())):
        path = f"{LIMITS}/{key}"
        for answer in (await api.get(path), await api.patch(path, {"limit": 1}), await api.delete(path)):
            assert (answer.status_code, answer.json()) == MISSING


async def test_no_request_asks_for_millions_of_slots(api: Outside) -> None:
    """Found by fuzzing: each slot is a row, and one PATCH kept the database busy for minutes."""
    path = "/v2/concurrency_limits"
    for body in ({"name": "a", "limit": 2**31, "active_slots": 2_471_788}, {"name": "a", "limit": 10**9}):
        answer = await api.post(f"{path}/", body)
        assert answer.status_code == (422 if "active_slots" in body else 201), answer.text
    assert (await api.patch(f"{path}/a", {"active_slots": 10_001})).status_code == 422
    assert (await api.post(f"{path}/increment", {"names": ["a"], "slots": 10_001})).status_code == 422
    assert made(await api.get(f"{path}/a"))["active_slots"] == 0


async def test_a_decay_as_slow_as_it_likes(api: Outside) -> None:
    """Slots that leave after the end of the calendar were answered with 500."""
    path = "/v2/concurrency_limits"
    made(await api.post(f"{path}/", {"name": "a", "limit": 3, "slot_decay_per_second": 1e-300}))
    for _ in range(2):
        made(await api.post(f"{path}/increment", {"names": ["a"], "slots": 1}))
    assert made(await api.get(f"{path}/a"))["active_slots"] == 2
