"""Inputs of flow runs, seen on the wire."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Outside, bearer, made

from reeve.core.sealing import HIDDEN
from reeve.server.services import rotation
from reeve.server.services.secrets import Keyring, SecretsKeyError


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


async def paused_for_a_password(api: Outside) -> tuple[dict[str, str], Any]:
    """Pause a run of an agent for a password and a user; return its headers and the path of its answer."""
    await api.pool("p")
    await api.run_of(await api.deployment(work_pool_name="p"))
    grant = await api.grant(pool="p")
    own, run = bearer(grant["token"]), grant["run"]
    schema = {"properties": {"user": {"type": "string"}, "password": {"type": "string", "writeOnly": True}}}
    path = f"/flow_runs/{run['id']}"
    made(await api.post(f"{path}/input", {"key": "s", "value": json.dumps(schema)}, headers=own))
    keyset = {"run_input_keyset": {"response": "r", "schema": "s"}, "pause_timeout": "2100-01-01T00:00:00Z"}
    for type_, details in (("RUNNING", {}), ("PAUSED", keyset)):
        state = {"state": {"type": type_, "state_details": details}}
        assert made(await api.post(f"{path}/set_state", state, headers=own))["status"] == "ACCEPT"
    return own, path


async def test_a_secret_answer_is_sealed_and_read_by_its_run_alone(api: Outside) -> None:
    own, path = await paused_for_a_password(api)
    given = {"user": "me", "password": "open sesame"}
    assert (await api.post(f"{path}/resume", {"run_input": {"$sealed": {}}})).status_code == 422
    assert made(await api.post(f"{path}/resume", {"run_input": given}))["status"] == "ACCEPT"
    stored = await api.ctx.store.read(
        lambda tx: tx.fetchval("select value from flow_run_inputs where key = 'r'")
    )
    assert "open sesame" not in stored
    for headers, value in (({}, HIDDEN), (own, given)):
        assert (await api.get(f"{path}/input/r", headers=headers)).json() == value
        (listed,) = made(await api.post(f"{path}/input/filter", {"prefix": "r"}, headers=headers))
        assert json.loads(listed["value"]) == value
    looks_sealed = {"key": "other", "value": stored}
    assert (await api.post(f"{path}/input", looks_sealed)).status_code == 422


async def test_keys_of_answers_are_needed_and_rotated(api: Outside) -> None:
    own, path = await paused_for_a_password(api)
    made(await api.post(f"{path}/resume", {"run_input": {"password": "open sesame"}}))
    # What anybody may leave is not taken for it.
    made(await api.post(f"{path}/input", {"key": "odd", "value": '{"$SEALED": no json'}))
    old = api.ctx.keyring
    newer = Keyring.read(b64encode(os.urandom(32)).decode())
    with pytest.raises(SecretsKeyError, match="lacks"):
        await rotation.check_keys(api.ctx.store, newer)
    both = Keyring({**old.keys, **newer.keys}, newer.newest)
    assert await rotation.rotate(api.ctx.store, both) == 1
    assert await rotation.rotate(api.ctx.store, both) == 0
    await rotation.check_keys(api.ctx.store, newer)
    object.__setattr__(api.ctx, "keyring", newer)
    assert (await api.get(f"{path}/input/r", headers=own)).json() == {"password": "open sesame"}
