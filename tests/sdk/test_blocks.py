"""Blocks in reeve's own form: classes here, types, schemas and documents of 2.20 on the server."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.sdk.real import Real, real, shared

from reeve import Block, Secret, flow
from reeve.core.blocks import checksum
from reeve.core.sealing import HIDDEN
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.sdk.blocks import block_schema
from reeve.wire import endpoints

__all__ = ["real", "shared"]  # fixtures


class Warehouse(Block):
    """Where the numbers are."""

    url: str
    password: Secret
    token: Secret | None = None
    since: date = date(2026, 1, 31)
    folder: Path = Path("/data")


@dataclass
class Login:
    user: str
    word: Secret


class Site(Block):
    block_type_name = "My Site"

    warehouse: Warehouse
    login: Login
    headers: dict[str, Secret] = {}  # noqa: RUF012  # msgspec copies it


@pytest.fixture
def name() -> str:
    return f"b-{uuid4().hex}"


def kept(real: Real, slug: str, name: str, *, secrets: bool = False) -> Any:
    query = {"include_secrets": "true"} if secrets else None
    ask = endpoints.read_block_document_by_name
    return real.client.call(ask, query=query, slug=slug, block_document_name=name)


def test_a_run_saves_and_loads_a_block(real: Real, name: str) -> None:
    @flow(name="blocks")
    def keeps() -> list[Warehouse]:
        Warehouse(url="u", password="open sesame", token=None).save(name)  # type: ignore[arg-type]  # becomes one
        return [Warehouse.load(name)]

    (loaded,) = real.execute(keeps)[1].result()
    assert loaded == Warehouse(url="u", password=Secret("open sesame"))
    assert loaded.password.get_secret_value() == "open sesame"
    document = kept(real, "warehouse", name)
    assert document.id == loaded.document_id
    assert (document.data["password"], document.data["since"]) == (HIDDEN, "2026-01-31")
    assert document.block_schema.checksum == checksum(block_schema(Warehouse))
    assert document.block_type.description == "Where the numbers are."


async def test_in_an_event_loop_it_is_awaited_by_either_name(real: Real, name: str) -> None:
    id_ = await Warehouse(url="u", password=Secret("p")).asave(name)
    again: Any = Warehouse(url="v", password=Secret("p")).save(name, overwrite=True)
    assert isinstance(id_, UUID)
    assert await again == id_
    assert (await Warehouse.aload(name)).url == "v"


def test_a_name_is_overwritten_only_when_asked(real: Real, name: str) -> None:
    first = Warehouse(url="u", password=Secret("p"), token=Secret("t"))
    assert first.save(name) == first.save(name)  # the same again is no other
    second = Warehouse(url="v", password=Secret("q"))
    with pytest.raises(ConflictError, match="overwrite=True replaces it"):
        second.save(name)
    second.save(name, overwrite=True)
    assert Warehouse.load(name) == second


def test_inner_blocks_are_documents_of_their_own(real: Real, name: str) -> None:
    inner = Warehouse(url="u", password=Secret("p"))
    inner.save(name)
    site = Site(warehouse=inner, login=Login("me", Secret("w")), headers={"key": Secret("h")})
    site.save(name)
    shown = kept(real, "my-site", name).data
    assert (shown["warehouse"]["password"], shown["login"]["word"], shown["headers"]) == (
        HIDDEN,
        HIDDEN,
        {"key": HIDDEN},
    )
    Warehouse(url="moved", password=Secret("p")).save(name, overwrite=True)
    loaded = Site.load(name)
    assert (loaded.warehouse.url, loaded.warehouse.document_id) == ("moved", inner.document_id)
    assert loaded.login.word == Secret("w")
    nameless = Site(warehouse=Warehouse(url="n", password=Secret("p")), login=Login("me", Secret("w")))
    nameless.save(f"{name}-2")
    assert Site.load(f"{name}-2").warehouse.url == "n"


def test_a_secret_shows_itself_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("open sesame")
    block = Warehouse(url="u", password=secret)
    logging.getLogger().warning("%s %r %s", secret, secret, block)
    assert "sesame" not in f"{secret} {secret!r} {[secret]} {block} {caplog.text}"
    assert pickle.loads(pickle.dumps(secret)) == secret


def test_what_does_not_fit_names_the_field(real: Real, name: str) -> None:
    with pytest.raises(InvalidInputError, match="'url' does not fit") as refused:
        Warehouse(url=3, password=Secret("p")).save(name)  # type: ignore[arg-type]  # the fault
    assert refused.value.field == "url"
    with pytest.raises(NotFoundError, match=r"Warehouse\(…\)\.save"):
        Warehouse.load(name)
    Warehouse(url="u", password=Secret("p")).save(name)

    class Changed(Block):
        block_type_name = "Warehouse"
        rows: int

    with pytest.raises(InvalidInputError, match="does not fit the class Changed"):
        Changed.load(name)
