"""Secret parameters: nowhere in the database, hidden in answers, in clear for the agent that executes."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from tests.server.outside import KEYRING, Json, Outside, bearer, made, serving
from tests.server.test_blocks_keys import environ

from reeve import clock
from reeve.core.sealing import HIDDEN, is_sealed
from reeve.server.app import rotate_key, running
from reeve.server.services import runs, sealing
from reeve.server.services.scheduling import schedule_all
from reeve.server.services.secrets import Keyring, SecretsKeyError
from reeve.server.storage import notifications
from reeve.settings import load

CLEAR = "correct horse battery staple"
OTHER = "tr0ub4dor and three"
SCHEMA = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "password": {"type": "string", "writeOnly": True, "format": "password"},
        "login": {"allOf": [{"$ref": "#/definitions/Login"}]},
    },
    "required": ["url", "password"],
    "definitions": {
        "Login": {
            "type": "object",
            "properties": {"key": {"anyOf": [{"type": "string", "writeOnly": True}, {"type": "null"}]}},
        }
    },
}
CRON = {"schedule": {"cron": "0 3 * * *"}, "active": True}
GIVEN = {"url": "u", "password": CLEAR, "login": {"key": OTHER}}
SHOWN = {"url": "u", "password": HIDDEN, "login": HIDDEN}


async def everything(database_url: str) -> bytes:
    """Return all that a database has stored: the files of SQLite, the rows of PostgreSQL."""
    if database_url.startswith("sqlite"):
        path = Path(urlsplit(database_url).path)
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        dumped = [
            await connection.fetchval(f"select coalesce(string_agg(t::text, ' '), '') from {name} t")
            for (name,) in tables
        ]
    finally:
        await connection.close()
    return "".join(dumped).encode()


async def is_nowhere(database_url: str) -> None:
    kept = await everything(database_url)
    assert b"$sealed" in kept, "the search finds what is there"
    for text in (CLEAR, OTHER):
        assert text.encode() not in kept


async def deployment(api: Outside, **fields: Any) -> Json:
    if "work_pool_name" in fields:
        await api.pool("p", type="process")
    made_of: Json = await api.deployment(
        parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True, **fields
    )
    return made_of


async def test_a_runs_secrets_are_sealed_and_granted_in_clear(api: Outside, database_url: str) -> None:
    made_of = await deployment(api, work_pool_name="p")
    made(await api.put(f"/deployments/{made_of['id']}/options", {"engine": "reeve"}))
    run = await api.run_of(made_of, parameters=GIVEN)
    assert run["parameters"] == SHOWN
    grant = await api.grant(pool="p")
    assert grant["run"]["parameters"] == GIVEN
    path = f"/flow_runs/{run['id']}"
    shown = [
        await api.get(path),
        await api.post("/flow_runs/filter", {}),
        await api.get(f"{path}/explain"),
        await api.get(f"{path}/graph"),
        await api.get(f"{path}/attempts"),
        await api.get(path, headers=bearer(grant["token"])),
    ]
    for answer in shown:
        made(answer)
        assert CLEAR not in answer.text
        assert OTHER not in answer.text
    assert made(shown[0])["parameters"] == made(shown[1])[0]["parameters"] == SHOWN
    await is_nowhere(database_url)


async def test_the_stars_that_come_back_change_nothing(api: Outside, database_url: str) -> None:
    one = await deployment(api, parameters={"url": "u", "password": CLEAR})
    assert one["parameters"] == {"url": "u", "password": HIDDEN}
    assert (
        await api.patch(f"/deployments/{one['id']}", {"parameters": {**one["parameters"], "url": "v"}})
    ).is_success
    run = await api.run_of(one, parameters={"password": HIDDEN, "login": {"key": OTHER}})
    assert (
        await api.patch(f"/flow_runs/{run['id']}", {"parameters": {**run["parameters"], "url": "w"}})
    ).is_success
    assert await opened(api, run) == {"url": "w", "password": CLEAR, "login": {"key": OTHER}}
    assert (
        await api.patch(f"/flow_runs/{run['id']}", {"parameters": {"url": "w", "password": OTHER}})
    ).is_success
    assert await opened(api, run) == {"url": "w", "password": OTHER}
    copied = await api.run(deployment_id=one["id"], parameters={"password": "*" * 10, "url": "x"})
    assert await opened(api, copied) == {"password": CLEAR, "url": "x"}
    await is_nowhere(database_url)


async def opened(api: Outside, run: Json) -> Json:
    """Return the parameters of a run as its grant would have them."""
    found = await runs.read(api.ctx, UUID(run["id"]))
    assert is_sealed(found.parameters["password"])
    return sealing.for_grant(KEYRING, found).parameters


async def test_stars_that_stand_for_nothing_and_forged_seals_are_refused(sqlite_api: Outside) -> None:
    one = await deployment(sqlite_api)
    path = f"/deployments/{one['id']}/create_flow_run"
    for given in (HIDDEN, {"$sealed": {"id": "1", "key_id": "k", "text": "t"}}):
        answer = await sqlite_api.post(path, {"parameters": {"url": "u", "password": given}})
        assert answer.status_code == 409
        assert "give its value" in answer.text or "give the value" in answer.text


async def test_a_refusal_does_not_say_what_was_given(sqlite_api: Outside) -> None:
    one = await deployment(sqlite_api)
    path = f"/deployments/{one['id']}/create_flow_run"
    for wrong in ({"password": [CLEAR]}, {"password": "p", "login": {"key": [CLEAR]}}):
        answer = await sqlite_api.post(path, {"parameters": {"url": "u", **wrong}})
        assert answer.status_code == 409
        assert CLEAR not in answer.text
        assert "not shown" in answer.text
    body = {"name": "e", "flow_id": one["flow_id"], "enforce_parameter_schema": True}
    body |= {"parameter_openapi_schema": SCHEMA, "parameters": {"password": [CLEAR]}}
    answer = await sqlite_api.post("/deployments/", body)
    assert answer.status_code == 422
    assert CLEAR not in answer.text


async def test_schedules_give_secrets_of_their_own(api: Outside, database_url: str) -> None:
    one = await deployment(api, parameters={"url": "u", "password": CLEAR}, schedules=[CRON])
    (schedule,) = one["schedules"]
    policy = {"schedule_id": schedule["id"], "parameters": {"password": OTHER}}
    path = f"/deployments/{one['id']}/schedule_policies"
    (kept,) = made(await api.put(path, [policy]))
    assert kept["parameters"] == {"password": HIDDEN}
    (again,) = made(await api.put(path, [{**policy, "parameters": kept["parameters"]}]))
    assert again == kept == made(await api.get(path))[0]
    await api.ctx.store.write(lambda tx: schedule_all(tx, [UUID(one["id"])]))
    scheduled = made(await api.post("/flow_runs/filter", {}))
    assert len(scheduled) == 3
    for run in scheduled:
        assert run["parameters"] == {"url": "u", "password": HIDDEN}
        assert await opened(api, run) == {"url": "u", "password": OTHER}
    await is_nowhere(database_url)


async def test_what_becomes_secret_is_sealed_with_the_next_change(api: Outside) -> None:
    one = await api.deployment(parameters={"url": "u", "password": CLEAR})
    assert one["parameters"]["password"] == CLEAR
    assert (await api.patch(f"/deployments/{one['id']}", {"tags": ["t"]})).is_success
    changed = await api.deployment(parameter_openapi_schema=SCHEMA)
    assert changed["parameters"] == {"url": "u", "password": HIDDEN}
    assert await opened(api, await api.run_of(changed)) == {"url": "u", "password": CLEAR}


async def test_the_engine_of_2_20_reads_its_own_run_in_clear(sqlite_api: Outside) -> None:
    one = await deployment(sqlite_api, work_pool_name="p")
    made(await sqlite_api.put(f"/deployments/{one['id']}/options", {"engine": "prefect"}))
    run = await sqlite_api.run_of(one, parameters=GIVEN)
    other = await sqlite_api.run_of(one, parameters=GIVEN)
    first = await sqlite_api.grant(pool="p")
    mine, not_mine = (run, other) if first["run"]["id"] == run["id"] else (other, run)
    how = {"headers": bearer(first["token"])}
    assert made(await sqlite_api.get(f"/flow_runs/{mine['id']}", **how))["parameters"] == GIVEN
    assert made(await sqlite_api.get(f"/flow_runs/{not_mine['id']}", **how))["parameters"] == SHOWN
    assert made(await sqlite_api.get(f"/flow_runs/{mine['id']}"))["parameters"] == SHOWN


async def test_a_message_hides_them(sqlite_api: Outside) -> None:
    kind = made(await sqlite_api.post("/block_types/", {"name": "hook", "slug": "hook"}))
    schema = made(await sqlite_api.post("/block_schemas/", {"block_type_id": kind["id"], "fields": {}}))
    body = {"name": "h", "data": {}, "block_schema_id": schema["id"], "block_type_id": kind["id"]}
    block = made(await sqlite_api.post("/block_documents/", body))
    policy = {"state_names": [], "tags": [], "block_document_id": block["id"]}
    made(await sqlite_api.post("/flow_run_notification_policies/", policy))
    await sqlite_api.run_of(await deployment(sqlite_api), parameters=GIVEN)
    claim = partial(notifications.claim, now=clock.now(), limit=5, lease=timedelta(seconds=1))
    (due,) = await sqlite_api.ctx.store.write(claim)
    assert json.loads(due.values["flow_run_parameters"]) == SHOWN


@pytest.fixture
async def sealed_home(database_url: str, tmp_path: Path) -> tuple[dict[str, str], Json]:
    """A database with a sealed run, made with the key of a home."""
    env = environ(tmp_path / "home", database_url)
    async with running(load(env), key=None, services=False, allow_reset=False) as (_, ctx):
        keyring = ctx.keyring
    async with serving(database_url) as api:
        object.__setattr__(api.ctx, "keyring", keyring)
        one = await deployment(api, parameters={"url": "u", "password": CLEAR})
        run = await api.run_of(one)
    return env, run


async def test_a_new_key_seals_parameters_too(
    sealed_home: tuple[dict[str, str], Json], tmp_path: Path
) -> None:
    env, run = sealed_home
    old = (tmp_path / "home" / "secrets.key").read_text()
    assert await asyncio.to_thread(rotate_key, load(env)) == 2, "the deployment's and the run's"
    async with running(load(env), key=None, services=False, allow_reset=False) as (_, ctx):
        found = await runs.read(ctx, UUID(run["id"]))
        assert sealing.for_grant(ctx.keyring, found).parameters["password"] == CLEAR
        assert "password" not in sealing.for_grant(Keyring.read(old), found).parameters
    with pytest.raises(SecretsKeyError, match="lacks"):
        async with running(
            load({**env, "REEVE_SECRETS_KEY": old}), key=None, services=False, allow_reset=False
        ):
            pass
