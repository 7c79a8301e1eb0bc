"""Inputs of flow runs, seen on the wire."""

from __future__ import annotations

from uuid import uuid4

from tests.server.outside import Outside, bearer, made


async def test_an_input_is_left_once(api: Outside) -> None:
    path = f"/flow_runs/{(await api.run())['id']}/input"
    first = await api.post(path, {"key": "k/1", "value": '{"a": 1}', "sender": "s"})
    assert (first.status_code, first.content) == (201, b"null")
    assert (await api.post(path, {"key": "k/1", "value": "2"})).status_code == 409
    value = await api.get(f"{path}/k%2F1")
    assert (value.status_code, value.text) == (200, '{"a": 1}')
    assert value.headers["content-type"].startswith("text/plain")


async def test_inputs_of_unknown_runs(api: Outside) -> None:
    path = f"/flow_runs/{uuid4()}/input"
    assert (await api.post(path, {"key": "k", "value": "v"})).status_code == 404
    assert (await api.post(f"{path}/filter", {"prefix": "k"})).json() == []
    for answer in (await api.get(f"{path}/k"), await api.delete(f"{path}/k")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Flow run input not found"})


async def test_inputs_are_found_by_the_beginning_of_their_keys(api: Outside) -> None:
    run = await api.run()
    path = f"/flow_runs/{run['id']}/input"
    for key in ("a%-1", "a_-2", "A%-3", "a%-4"):
        await api.post(path, {"key": key, "value": key.lower()})

    async def keys(**body: object) -> list[str]:
        return [each["key"] for each in (await api.post(f"{path}/filter", body)).json()]

    assert await keys(prefix="a%") == ["a%-1"]
    assert await keys(prefix="a%", limit=5) == ["a%-1", "a%-4"]
    assert await keys(prefix="a%", limit=5, exclude_keys=["a%-1"]) == ["a%-4"]
    assert await keys(prefix="", limit=10**9) == ["a%-1", "a_-2", "A%-3", "a%-4"]
    assert await keys(prefix="", limit=-1) == []
    (shown,) = (await api.post(f"{path}/filter", {"prefix": "a_"})).json()
    assert (shown["flow_run_id"], shown["value"], shown["sender"]) == (run["id"], "a_-2", None)
    gone = await api.delete(f"{path}/a_-2")
    assert (gone.status_code, gone.content) == (204, b"")
    assert await keys(prefix="a_") == []


async def test_a_run_leaves_inputs_for_others_while_its_attempt_lives(api: Outside) -> None:
    await api.pool("p")
    await api.run_of(await api.deployment(work_pool_name="p"))
    receiver = await api.run(flow="receiver")
    grant = await api.grant(pool="p")
    own = bearer(grant["token"])
    path = f"/flow_runs/{receiver['id']}/input"
    made(await api.post(path, {"key": "k", "value": "v"}, headers=own))
    assert (await api.delete(f"{path}/k", headers=own)).status_code == 403
    assert (await api.get(f"{path}/k", headers=own)).text == "v"

    report = {"seq": 1, "kind": "not_launched", "reason": "no room"}
    made(await api.report(grant, report))
    late = await api.post(path, {"key": "late", "value": "v"}, headers=own)
    assert (late.status_code, late.json()["code"]) == (403, "attempt_superseded")
