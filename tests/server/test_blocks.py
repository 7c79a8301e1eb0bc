"""Blocks, as agents and engines read them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.server.outside import Json, Outside, made

from reeve.server.services.blocks import HIDDEN
from reeve.server.storage import rows
from reeve.server.storage.store import Transaction


class Blocks:
    """Blocks that were made by other means: today's routes only read them."""

    def __init__(self, api: Outside) -> None:
        self.api = api
        self.type_id, self.schema_id = uuid4(), uuid4()

    async def furnish(self) -> Blocks:
        fields = {"title": "Secret", "secret_fields": ["token", "inner.key", "all.*", "missing.deep", "dict"]}

        async def insert(tx: Transaction) -> None:
            await tx.execute(
                "insert into block_types (id, created, updated, name, slug, description, is_protected)"
                " values ($1, 0, 0, 'My Type', 'my-type', 'text', $2)",
                self.type_id,
                False,
            )
            await tx.execute(
                "insert into block_schemas (id, created, updated, checksum, fields, block_type_id,"
                " capabilities, version) values ($1, 0, 0, 'sha256:a', $2, $3, $4, '2.20.26')",
                self.schema_id,
                rows.json(fields),
                self.type_id,
                rows.json(["run"]),
            )

        await self.api.ctx.store.write(insert)
        return self

    async def document(self, name: str, data: Json, id_: UUID | None = None) -> UUID:
        document_id = id_ or uuid4()
        await self.api.ctx.store.write(
            lambda tx: tx.execute(
                "insert into block_documents (id, created, updated, name, data, block_schema_id,"
                " block_type_id, is_anonymous) values ($1, 0, 0, $2, $3, $4, $5, $6)",
                document_id,
                name,
                rows.json(data),
                self.schema_id,
                self.type_id,
                False,
            )
        )
        return document_id

    async def read(self, document_id: UUID, **query: Any) -> Any:
        return made(await self.api.get(f"/block_documents/{document_id}", params=query))


@pytest.fixture
async def blocks(api: Outside) -> Blocks:
    return await Blocks(api).furnish()


def reference(document_id: UUID) -> Json:
    return {"$ref": {"block_document_id": str(document_id)}}


async def test_types_and_schemas(blocks: Blocks) -> None:
    api = blocks.api
    block_type = made(await api.get(f"/block_types/{blocks.type_id}"))
    assert made(await api.get("/block_types/slug/my-type")) == block_type
    assert (block_type["name"], block_type["is_protected"]) == ("My Type", False)
    schema = made(await api.get(f"/block_schemas/{blocks.schema_id}"))
    assert (schema["block_type"], schema["capabilities"], schema["version"]) == (
        block_type,
        ["run"],
        "2.20.26",
    )


async def test_what_is_not_there(blocks: Blocks) -> None:
    for path, missing in (
        ("/block_types/slug/x", "Block type not found"),
        (f"/block_types/{uuid4()}", "Block type not found"),
        (f"/block_schemas/{uuid4()}", "Block schema not found"),
        (f"/block_documents/{uuid4()}", "Block document not found"),
        ("/block_types/slug/my-type/block_documents/name/x", "Block document not found"),
    ):
        answer = await blocks.api.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": missing})


async def test_secrets_are_hidden_unless_asked_for(blocks: Blocks) -> None:
    data = {
        "token": "t",
        "inner": {"key": "k", "open": 1},
        "all": {"a": 1, "b": 2},
        "dict": {"a": 1},
        "plain": "p",
    }
    document_id = await blocks.document("doc", data)
    shown = await blocks.read(document_id)
    assert shown["data"] == {
        "token": HIDDEN,
        "inner": {"key": HIDDEN, "open": 1},
        "all": {"a": HIDDEN, "b": HIDDEN},
        "dict": HIDDEN,
        "plain": "p",
    }
    assert (await blocks.read(document_id, include_secrets="true"))["data"] == data
    assert (await blocks.read(document_id, include_secrets="false"))["data"] == shown["data"]
    by_name = "/block_types/slug/my-type/block_documents/name/doc"
    assert made(await blocks.api.get(by_name)) == shown
    assert made(await blocks.api.get(by_name, params={"include_secrets": "True"}))["data"] == data
    assert (await blocks.api.get(by_name, params={"include_secrets": "perhaps"})).status_code == 422
    assert shown["block_schema"]["block_type"]["slug"] == shown["block_type"]["slug"] == "my-type"
    assert shown["block_type_name"] == "My Type"


async def test_references_are_expanded(blocks: Blocks) -> None:
    inner = await blocks.document("inner", {"token": "t", "plain": 1})
    middle = await blocks.document("middle", {"inner": reference(inner)})
    outer = await blocks.document("outer", {"middle": reference(middle), "gone": reference(uuid4())})
    shown = await blocks.read(outer, include_secrets=True)
    assert shown["data"]["middle"] == {"inner": {"token": "t", "plain": 1}}
    described = shown["block_document_references"]["middle"]["block_document"]
    assert (described["id"], described["name"], described["is_anonymous"]) == (str(middle), "middle", False)
    assert described["block_type"]["slug"] == "my-type"
    deeper = described["block_document_references"]["inner"]["block_document"]
    assert deeper["id"] == str(inner)
    assert (await blocks.read(outer))["data"]["middle"]["inner"] == {"token": HIDDEN, "plain": 1}
    assert "gone" not in shown["block_document_references"]


async def test_circles_end(blocks: Blocks) -> None:
    own = uuid4()
    await blocks.document("own", {"me": reference(own)}, own)
    assert (await blocks.read(own, include_secrets=True))["data"]["me"]["me"]
