"""Where the keys of blocks come from when a server starts, and what it says without them."""

from __future__ import annotations

import stat
from pathlib import Path
from uuid import UUID

import pytest

from reeve.core.system_blocks import SYSTEM_BLOCKS
from reeve.errors import ReeveError
from reeve.server.app import running
from reeve.server.services import blocks
from reeve.server.services.secrets import SecretsKeyError
from reeve.settings import SECRETS_FILE, load, make_secrets_key
from reeve.wire import filters, requests

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
        return {schema.id for schema in await blocks.schemas(ctx, filters.BlockSchemaQuery(), 200, 0)}


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
