"""Where the keys of blocks come from when a server starts, and what it says without them."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from uuid import UUID

import pytest

from reeve.core.system_blocks import SYSTEM_BLOCKS
from reeve.errors import ConflictError, ReeveError
from reeve.server.app import rotate_key, running
from reeve.server.services import blocks
from reeve.server.services.secrets import SecretsKeyError
from reeve.settings import SECRETS_FILE, add_secrets_key, load, make_secrets_key
from reeve.wire import queries, requests

OTHER = "o" * 43


def environ(home: Path, database_url: str, **variables: str) -> dict[str, str]:
    return {"REEVE_HOME": str(home), "REEVE_DATABASE_URL": database_url, **variables}


async def keep(env: dict[str, str], name: str) -> None:
    """Start a server, and have it keep a string under a name."""
    async with running(load(env), key=None, services=False, allow_reset=False) as (_, ctx):
        string = await blocks.type_by_slug(ctx, "string")
        made, _ = await blocks.create_schema(ctx, requests.BlockSchemaCreate(block_type_id=string.id))
        body = requests.BlockDocumentCreate(
            name=name, data={"value": name}, block_schema_id=made.id, block_type_id=string.id
        )
        await blocks.create_document(ctx, body)


async def kept(env: dict[str, str], name: str) -> object:
    async with running(load(env), key=None, services=False, allow_reset=False) as (_, ctx):
        return (await blocks.document_by_name(ctx, "string", name, secrets=True)).data["value"]


async def test_a_server_makes_its_key_and_finds_it_again(database_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path / "home", database_url)
    await keep(env, "first")
    file = tmp_path / "home" / SECRETS_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = file.read_text()
    assert await kept(env, "first") == "first"
    assert file.read_text() == key


async def test_system_types_are_installed_once(sqlite_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path, sqlite_url)
    first, second = [await schemas_of(env) for _ in range(2)]
    assert len(first) == len(SYSTEM_BLOCKS)
    assert first == second


async def schemas_of(env: dict[str, str]) -> set[UUID]:
    async with running(load(env), key=None, services=False, allow_reset=False) as (_, ctx):
        return {schema.id for schema in await blocks.schemas(ctx, queries.BlockSchemaQuery(), 200, 0)}


async def test_a_server_without_the_key_says_so_and_does_not_start(database_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path / "home", database_url)
    await keep(env, "first")
    with pytest.raises(SecretsKeyError, match=r"REEVE_SECRETS_KEY") as refusal:
        await kept({**env, "REEVE_SECRETS_KEY": OTHER}, "first")
    assert OTHER not in str(refusal.value)
    key = (tmp_path / "home" / SECRETS_FILE).read_text().strip()
    both = {**environ(tmp_path / "elsewhere", database_url), "REEVE_SECRETS_KEY": f"{key},{OTHER}"}
    assert await kept(both, "first") == "first"
    assert not (tmp_path / "elsewhere" / SECRETS_FILE).exists(), "the environment has the keys"
    with pytest.raises(SecretsKeyError):
        await kept({**env, "REEVE_SECRETS_KEY": "short"}, "first")


async def test_a_new_last_line_seals_and_the_old_ones_open(sqlite_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path, sqlite_url)
    await keep(env, "first")
    with (tmp_path / SECRETS_FILE).open("a") as file:
        file.write(f"{OTHER}\n")
    await keep(env, "second")
    assert [await kept(env, name) for name in ("first", "second")] == ["first", "second"]
    with pytest.raises(SecretsKeyError):
        await kept({**env, "REEVE_SECRETS_KEY": OTHER}, "second")


async def test_a_new_key_takes_the_place_of_the_old(database_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path, database_url)
    await keep(env, "first")
    file = tmp_path / SECRETS_FILE
    old = file.read_text().strip()
    assert await asyncio.to_thread(rotate_key, load(env)) == 1
    new = file.read_text().strip()
    assert (new != old, len(new.split()), stat.S_IMODE(file.stat().st_mode)) == (True, 1, 0o600)
    with pytest.raises(SecretsKeyError, match="lacks"):
        await kept({**env, "REEVE_SECRETS_KEY": old}, "first")
    assert await kept(env, "first") == "first"


async def test_keys_of_the_environment_are_rotated_to_their_last(database_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path, database_url, REEVE_SECRETS_KEY=OTHER)
    await keep(env, "first")
    with pytest.raises(SecretsKeyError, match="Add a new one"):
        await asyncio.to_thread(rotate_key, load(env))
    both = {**env, "REEVE_SECRETS_KEY": f"{OTHER},{'n' * 43}"}
    assert await asyncio.to_thread(rotate_key, load(both)) == 1
    with pytest.raises(SecretsKeyError, match="lacks"):
        await kept(env, "first")
    assert await kept({**env, "REEVE_SECRETS_KEY": "n" * 43}, "first") == "first"
    assert not (tmp_path / SECRETS_FILE).exists(), "the environment has the keys"


async def test_no_key_is_rotated_while_a_server_runs(database_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path, database_url)
    async with running(load(env), key=None, services=False, allow_reset=False):
        key = (tmp_path / SECRETS_FILE).read_text()
        with pytest.raises(ConflictError, match="Stop"):
            await asyncio.to_thread(rotate_key, load(env))
    assert (tmp_path / SECRETS_FILE).read_text() == key
    assert await asyncio.to_thread(rotate_key, load(env)) == 0, "the server is gone"


async def test_a_rotation_that_was_broken_off_is_repeated(database_url: str, tmp_path: Path) -> None:
    env = environ(tmp_path, database_url)
    await keep(env, "first")
    add_secrets_key(tmp_path)  # as far as it came
    await keep(env, "second")
    assert await asyncio.to_thread(rotate_key, load(env)) == 2
    assert len((tmp_path / SECRETS_FILE).read_text().split()) == 1
    assert [await kept(env, name) for name in ("first", "second")] == ["first", "second"]


def test_a_key_file_that_cannot_be_used(tmp_path: Path) -> None:
    make_secrets_key(tmp_path)
    file = tmp_path / SECRETS_FILE
    file.chmod(0o640)
    with pytest.raises(ReeveError, match="chmod 600"):
        make_secrets_key(tmp_path)
    file.chmod(0o600)
    file.write_text("")
    with pytest.raises(ReeveError, match="Put the keys back"):
        make_secrets_key(tmp_path)
