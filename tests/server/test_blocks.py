"""Blocks on the wire: types, schemas, documents with their references, and what becomes of secrets."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.server.outside import KEYRING, Json, Outside, made, serving

from reeve.core.sealing import HIDDEN
from reeve.core.system_blocks import SYSTEM_BLOCKS
from reeve.server.services import rotation
from reeve.server.services.blocks import install_system_types
from reeve.server.services.secrets import Keyring, SecretsKeyError
from reeve.server.storage import rows
from reeve.server.storage.store import open_store

NOBODY = "00000000-0000-0000-0000-0000000000ff"
CONFLICT = "Data integrity conflict. "
UNKNOWN_SLUG = (
    "Cannot create block schema because block type 'gone' was not found."
    "Did you forget to register the block type?"
)
SECRETS = ["token", "inner.key", "all.*", "missing.deep", "dict", "nothing"]
DATA = {
    "token": "t",
    "inner": {"key": "k", "open": 1},
    "all": {"a": 1, "b": {"c": [2]}},
    "dict": {"a": 1},
    "nothing": None,
    "plain": "p",
}


class Blocks:
    """A type with a schema, whose documents have secrets."""

    def __init__(self, api: Outside) -> None:
        self.api = api

    async def furnish(self) -> Blocks:
        self.type_id = (await self.type("My Type"))["id"]
        self.schema_id = (await self.schema(title="Mine", secret_fields=SECRETS))["id"]
        return self

    async def type(self, name: str, **fields: Any) -> Json:
        body = {"name": name, "slug": name.lower().replace(" ", "-"), **fields}
        block_type: Json = made(await self.api.post("/block_types/", body))
        return block_type

    async def schema(self, *, type_id: str | None = None, version: str = "1", **fields: Any) -> Json:
        body = {"block_type_id": type_id or self.type_id, "fields": fields, "version": version}
        schema: Json = made(await self.api.post("/block_schemas/", body))
        return schema

    async def ask(self, **fields: Any) -> httpx2.Response:
        mine = {"block_type_id": self.type_id, "block_schema_id": self.schema_id}
        return await self.api.post("/block_documents/", {**mine, **fields})

    async def document(self, name: str, **data: Any) -> str:
        return str(made(await self.ask(name=name, data=data))["id"])

    async def change(self, document_id: str, **fields: Any) -> httpx2.Response:
        return await self.api.patch(f"/block_documents/{document_id}", fields)

    async def read(self, document_id: str, **query: Any) -> Any:
        return made(await self.api.get(f"/block_documents/{document_id}", params=query))

    async def data(self, document_id: str) -> Any:
        return (await self.read(document_id, include_secrets=True))["data"]

    async def listed(self, **query: Any) -> list[str]:
        found = made(await self.api.post("/block_documents/filter", query))
        assert made(await self.api.post("/block_documents/count", query)) == len(found)
        return [one["name"] for one in found]


@pytest.fixture
async def blocks(api: Outside) -> Blocks:
    return await Blocks(api).furnish()


def reference(document_id: str) -> Json:
    return {"$ref": {"block_document_id": document_id}}


def said(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and message of a refusal, whichever shape it has."""
    body = answer.json()
    return answer.status_code, body.get("detail") or body["exception_detail"][0]["msg"]


# Types


async def test_types(blocks: Blocks) -> None:
    api = blocks.api
    url = "https://example.com/logo.png"
    fields = {"name": "Other", "slug": "other", "logo_url": url, "description": "d"}
    answer = await api.post("/block_types/", fields)
    block_type = answer.json()
    assert answer.status_code == 201
    assert block_type.items() >= {**fields, "is_protected": False, "code_example": None}.items()
    path = f"/block_types/{block_type['id']}"
    assert made(await api.get(path)) == made(await api.get("/block_types/slug/other")) == block_type

    changed = await api.patch(path, {"description": "new", "logo_url": None})
    assert (changed.status_code, changed.content) == (204, b"")
    shown = made(await api.get(path))
    assert (shown["description"], shown["logo_url"], shown["name"]) == ("new", None, "Other")
    assert (await api.patch(path, {"name": "x"})).status_code == 422

    async def listed(**query: Any) -> list[str]:
        return [one["slug"] for one in made(await api.post("/block_types/filter", query))]

    assert await listed() == ["my-type", "other"]
    assert await listed(limit=1, offset=1) == ["other"]
    assert await listed(block_types={"name": {"like_": "MY"}}) == ["my-type"]
    assert await listed(block_types={"slug": {"any_": ["other"]}}) == ["other"]
    assert await listed(block_schemas={"block_capabilities": {"all_": []}}) == ["my-type"]
    assert (await api.post("/block_types/filter", {"block_types": {"operator": "or_"}})).status_code == 422

    assert (await api.delete(path)).status_code == 204
    assert said(await api.delete(path)) == (404, "Block type not found")


@pytest.mark.parametrize(
    ("name", "slug", "status", "message"),
    [
        ("My Type", "other", 409, 'Block type with name "My Type" already exists'),
        ("Other", "my-type", 409, 'Block type with name "Other" already exists'),
        ("prefect mine", "x", 403, "Block type names beginning with 'Prefect' are reserved."),
        ("PrefectX", "x", 403, "Block type names beginning with 'Prefect' are reserved."),
        ("x", "A", 422, "Block type slug must only contain lowercase letters, numbers, and dashes."),
        ("x", "a_b", 422, "Block type slug must only contain lowercase letters, numbers, and dashes."),
    ],
)
async def test_types_that_cannot_be(blocks: Blocks, name: str, slug: str, status: int, message: str) -> None:
    answer = await blocks.api.post("/block_types/", {"name": name, "slug": slug})
    assert said(answer) == (status, message)
    assert (await blocks.api.post("/block_types/", {"name": "a/b", "slug": "a"})).status_code == 422


async def test_system_types_are_there_and_protected(blocks: Blocks) -> None:
    api = blocks.api
    early = await blocks.type("Process")
    assert not early["is_protected"]
    installed = await api.post("/block_types/install_system_block_types")
    assert (installed.status_code, installed.json()) == (200, None)
    await install_system_types(api.ctx.store)
    types = made(await api.post("/block_types/filter", {}))
    assert {one["slug"] for one in types if one["is_protected"]} == {one.slug for one in SYSTEM_BLOCKS}
    process = made(await api.get("/block_types/slug/process"))
    assert process["id"] == early["id"], "what a client made first is kept"
    assert said(await api.delete(f"/block_types/{process['id']}")) == (
        403,
        "protected block types cannot be deleted.",
    )
    assert (await api.patch(f"/block_types/{process['id']}", {"description": "x"})).status_code == 204

    own = {"block_schemas": {"block_type_id": {"any_": [process["id"]]}}}
    (schema,) = made(await api.post("/block_schemas/filter", own))
    assert schema["capabilities"] == ["run-infrastructure"]
    assert said(await api.delete(f"/block_schemas/{schema['id']}")) == (
        403,
        "Block schemas for protected block types cannot be deleted.",
    )
    assert "notify" in made(await api.get("/block_capabilities/"))
    running = {"block_schemas": {"block_capabilities": {"all_": ["run-infrastructure"]}}}
    found = made(await api.post("/block_types/filter", running))
    assert [one["slug"] for one in found] == ["docker-container", "kubernetes-job", "process"]


# Schemas


async def test_schemas(blocks: Blocks) -> None:
    api = blocks.api
    body = {"block_type_id": blocks.type_id, "fields": {"a": 1}, "capabilities": ["run", "eat"]}
    answer = await api.post("/block_schemas/", body)
    schema = answer.json()
    assert answer.status_code == 201
    assert schema["checksum"] == "sha256:686906d736a598fdfa80d6828549a85fa8af192f26b0da5158b8db6042e622bd"
    assert (schema["version"], schema["capabilities"]) == ("non-versioned", ["run", "eat"])
    assert schema["fields"] == {"a": 1, "block_schema_references": {}}
    assert schema["block_type"] == made(await api.get(f"/block_types/{blocks.type_id}"))
    again = await api.post("/block_schemas/", {**body, "capabilities": []})
    assert (again.status_code, again.json()) == (200, schema)
    newer = await blocks.schema(version="2", a=1)
    assert newer["id"] != schema["id"]

    path = f"/block_schemas/checksum/{schema['checksum']}"
    assert made(await api.get(path)) == newer
    assert made(await api.get(path, params={"version": "non-versioned"})) == schema
    assert made(await api.get(f"/block_schemas/{schema['id']}")) == schema
    for missing in (f"{path}?version=3", "/block_schemas/checksum/sha256:0", f"/block_schemas/{uuid4()}"):
        assert said(await api.get(missing)) == (404, "Block schema not found")

    async def listed(**criteria: Any) -> list[str]:
        found = made(await api.post("/block_schemas/filter", {"block_schemas": criteria}))
        return [one["id"] for one in found]

    assert await listed() == [newer["id"], schema["id"], blocks.schema_id], "the newest first"
    assert await listed(block_capabilities={"all_": ["run"]}) == [schema["id"]]
    assert await listed(version={"any_": ["2"]}) == [newer["id"]]
    either = {"operator": "or_", "version": {"any_": ["2"]}, "id": {"any_": [schema["id"]]}}
    assert await listed(**either) == [newer["id"], schema["id"]]
    assert await listed(block_type_id={"any_": []}) == []
    assert made(await api.get("/block_capabilities/")) == ["eat", "run"]

    assert (await api.delete(f"/block_schemas/{schema['id']}")).status_code == 204
    assert said(await api.delete(f"/block_schemas/{schema['id']}")) == (404, "Block schema not found")


async def test_schemas_of_types_that_are_not_there(blocks: Blocks) -> None:
    unknown = await blocks.api.post("/block_schemas/", {"block_type_id": NOBODY})
    assert said(unknown) == (404, f"Block type {NOBODY} not found.")
    inner = {"block_type_slug": "gone", "block_schema_checksum": "sha256:0"}
    for references in ({"i": inner}, {"i": [{**inner, "block_type_slug": "my-type"}, inner]}):
        body = {"block_type_id": blocks.type_id, "fields": {"block_schema_references": references}}
        status, message = said(await blocks.api.post("/block_schemas/", body))
        assert (status, message) == (409, UNKNOWN_SLUG)


# Documents


async def test_what_is_not_there(blocks: Blocks) -> None:
    for path, missing in (
        ("/block_types/slug/x", "Block type not found"),
        (f"/block_types/{uuid4()}", "Block type not found"),
        (f"/block_schemas/{uuid4()}", "Block schema not found"),
        (f"/block_documents/{uuid4()}", "Block document not found"),
        ("/block_types/slug/my-type/block_documents/name/x", "Block document not found"),
        ("/block_types/slug/x/block_documents", "Block type not found"),
        ("/collections/views/x", "View x not found in registry"),
    ):
        answer = await blocks.api.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": missing})
    assert said(await blocks.api.delete(f"/block_documents/{NOBODY}")) == (404, "Block document not found")
    assert said(await blocks.change(NOBODY, data={})) == (404, "Block document not found")


async def test_secrets_are_hidden_unless_asked_for(blocks: Blocks) -> None:
    answer = await blocks.ask(name="doc", data=DATA)
    document_id = answer.json()["id"]
    shown = await blocks.read(document_id)
    assert (answer.status_code, answer.json()) == (201, shown)
    assert shown["data"] == {
        "token": HIDDEN,
        "inner": {"key": HIDDEN, "open": 1},
        "all": {"a": HIDDEN, "b": {"c": HIDDEN}},
        "dict": HIDDEN,
        "nothing": None,
        "plain": "p",
    }
    assert (await blocks.read(document_id, include_secrets="true"))["data"] == DATA
    assert (await blocks.read(document_id, include_secrets="false"))["data"] == shown["data"]
    by_name = "/block_types/slug/my-type/block_documents/name/doc"
    assert made(await blocks.api.get(by_name)) == shown
    assert made(await blocks.api.get(by_name, params={"include_secrets": "True"}))["data"] == DATA
    assert (await blocks.api.get(by_name, params={"include_secrets": "perhaps"})).status_code == 422
    of_type = "/block_types/slug/my-type/block_documents"
    assert made(await blocks.api.get(of_type)) == [shown]
    assert made(await blocks.api.get(of_type, params={"include_secrets": "1"}))[0]["data"] == DATA
    assert made(await blocks.api.post("/block_documents/filter"))[0]["data"] == shown["data"]
    in_clear = await blocks.api.post("/block_documents/filter", {"include_secrets": True})
    assert made(in_clear)[0]["data"] == DATA
    assert shown["block_schema"]["block_type"]["slug"] == shown["block_type"]["slug"] == "my-type"
    assert shown["block_type_name"] == "My Type"


async def test_every_fault_of_a_name_is_told(blocks: Blocks) -> None:
    """To 2.20 a name that cannot be used is missing too, unless the document needs none."""

    def places(answer: httpx2.Response) -> list[list[str]]:
        assert answer.status_code == 422, answer.text
        return [fault["loc"] for fault in answer.json()["exception_detail"]]

    wrong, missing = ["body", "name"], ["body", "__root__"]
    assert places(await blocks.ask(name="UPPER")) == [wrong, missing]
    assert places(await blocks.ask(name="UPPER", is_anonymous=True)) == [wrong]
    assert places(await blocks.ask(name="")) == [missing]
    both = await blocks.api.post("/block_types/", {"name": "a/b", "slug": "A"})
    assert places(both) == [wrong, ["body", "slug"]]


async def test_what_cannot_be_a_document(blocks: Blocks) -> None:
    await blocks.document("taken")
    other = await blocks.type("Other")
    unnamed = "Names must be provided for block documents."
    wrong = "Block document name must only contain lowercase letters, numbers, and dashes."
    for fields, refusal in (
        ({"name": "taken"}, (409, "Block already exists")),
        ({}, (422, unnamed)),
        ({"name": ""}, (422, unnamed)),
        ({"name": "Bad Name"}, (422, wrong)),
        ({"name": "a_b", "is_anonymous": True}, (422, wrong)),
        ({"name": "é"}, (422, wrong)),
        (
            {"name": "b", "block_type_id": other["id"]},
            (409, "The block schema belongs to another block type."),
        ),
        (
            {"name": "b", "data": {"r": reference("x")}},
            (422, 'A reference reads {"$ref": {"block_document_id": "<id>"}}.'),
        ),
    ):
        assert said(await blocks.ask(**fields)) == refusal
    for fields in (
        {"block_schema_id": NOBODY},
        {"block_type_id": NOBODY},
        {"data": {"r": reference(NOBODY)}},
    ):
        status, message = said(await blocks.ask(name="b", **fields))
        assert (status, message.startswith(CONFLICT)) == (409, True)
    assert await blocks.listed() == ["taken"]


async def test_anonymous_documents(blocks: Blocks) -> None:
    unnamed = made(await blocks.ask(is_anonymous=True))
    assert unnamed["name"].startswith("anonymous-")
    assert unnamed["is_anonymous"]
    assert UUID(unnamed["name"].removeprefix("anonymous-"))
    assert made(await blocks.ask(name="hash-1", is_anonymous=True))["name"] == "hash-1"
    await blocks.document("named")
    everything = sorted(["hash-1", "named", unnamed["name"]])
    assert await blocks.listed() == await blocks.listed(block_documents={}) == ["named"]
    assert await blocks.listed(block_documents={"is_anonymous": None}) == everything
    assert await blocks.listed(block_documents={"is_anonymous": {"eq_": None}}) == everything
    assert "named" not in await blocks.listed(block_documents={"is_anonymous": {"eq_": True}})
    of_type = made(await blocks.api.get("/block_types/slug/my-type/block_documents"))
    assert [one["name"] for one in of_type] == ["named"]


async def test_listing(blocks: Blocks) -> None:
    other = await blocks.type("Another")
    schema = await blocks.schema(type_id=other["id"], version="2", b=1)
    first = await blocks.document("a")
    await blocks.document("b")
    made(await blocks.ask(name="a", block_type_id=other["id"], block_schema_id=schema["id"]))
    assert await blocks.listed(sort="NAME_DESC") == ["b", "a", "a"]
    assert await blocks.listed(sort="BLOCK_TYPE_AND_NAME_ASC") == ["a", "a", "b"]
    found = made(await blocks.api.post("/block_documents/filter", {"sort": "BLOCK_TYPE_AND_NAME_ASC"}))
    assert [one["block_type_name"] for one in found] == ["Another", "My Type", "My Type"]
    assert await blocks.listed(block_types={"slug": {"any_": ["another"]}}) == ["a"]
    assert await blocks.listed(block_schemas={"version": {"any_": ["1"]}}) == ["a", "b"]
    assert await blocks.listed(block_documents={"block_type_id": {"any_": [blocks.type_id]}}) == ["a", "b"]
    assert await blocks.listed(block_documents={"name": {"like_": "B"}}) == ["b"]
    either = {"operator": "or_", "name": {"any_": ["b"]}, "id": {"any_": [first]}, "is_anonymous": None}
    assert await blocks.listed(block_documents=either) == ["a", "b"]
    page = made(await blocks.api.post("/block_documents/filter", {"limit": 1, "offset": 2}))
    assert [one["name"] for one in page] == ["b"]
    assert made(await blocks.api.post("/block_documents/count", {"limit": 1})) == 3
    too_many = await blocks.api.post("/block_documents/filter", {"limit": 201})
    assert said(too_many) == (422, "Invalid limit: must be less than or equal to 200.")


async def test_changes_merge_key_by_key(blocks: Blocks) -> None:
    document_id = await blocks.document("doc", **DATA)
    changed = await blocks.change(document_id, data={"inner": {"key": "new"}, "more": 1})
    assert (changed.status_code, changed.content) == (204, b"")
    assert await blocks.data(document_id) == {**DATA, "inner": {"key": "new"}, "more": 1}
    made_anew = await blocks.change(document_id, data={"plain": "q"}, merge_existing_data=False)
    assert made_anew.status_code == 204
    assert await blocks.data(document_id) == {"plain": "q"}
    assert (await blocks.change(document_id)).status_code == 204
    assert (await blocks.change(document_id, data=None)).status_code == 422
    assert await blocks.data(document_id) == {"plain": "q"}


@pytest.mark.parametrize("merge", [True, False])
async def test_secrets_that_come_back_hidden_stay(blocks: Blocks, merge: bool) -> None:
    document_id = await blocks.document("doc", **DATA)
    shown = (await blocks.read(document_id))["data"]
    await blocks.change(document_id, data={**shown, "plain": HIDDEN}, merge_existing_data=merge)
    assert await blocks.data(document_id) == {**DATA, "plain": HIDDEN}, "no secret, so meant as it reads"
    shown["all"]["a"] = "new"
    await blocks.change(document_id, data=shown, merge_existing_data=merge)
    assert await blocks.data(document_id) == {**DATA, "all": {"a": "new", "b": {"c": [2]}}}


async def test_a_document_moves_to_another_schema_of_its_type(blocks: Blocks) -> None:
    document_id = await blocks.document("doc", token="t")
    newer = await blocks.schema(version="2", title="newer")
    assert (await blocks.change(document_id, block_schema_id=newer["id"])).status_code == 204
    shown = await blocks.read(document_id)
    assert (shown["block_schema"], shown["data"]) == (newer, {"token": "t"})
    other = await blocks.type("Other")
    foreign = await blocks.schema(type_id=other["id"], b=1)
    assert said(await blocks.change(document_id, block_schema_id=foreign["id"])) == (
        400,
        "Must migrate block document to a block schema of the same block type.",
    )
    assert said(await blocks.change(document_id, block_schema_id=NOBODY)) == (404, "Block schema not found")
    status, message = said(await blocks.change(document_id, data={"r": reference(NOBODY)}))
    assert (status, message.startswith(CONFLICT)) == (409, True)


async def test_references_are_expanded(blocks: Blocks) -> None:
    inner = await blocks.document("inner", token="t", plain=1)
    middle = await blocks.document("middle", inner=reference(inner))
    outer = await blocks.document("outer", middle=reference(middle), text={"$ref": "#/other"})
    shown = await blocks.read(outer, include_secrets=True)
    assert shown["data"] == {"middle": {"inner": {"token": "t", "plain": 1}}, "text": {"$ref": "#/other"}}
    described = shown["block_document_references"]["middle"]["block_document"]
    assert (described["id"], described["name"], described["is_anonymous"]) == (middle, "middle", False)
    assert described["block_type"]["slug"] == "my-type"
    deeper = described["block_document_references"]["inner"]["block_document"]
    assert deeper["id"] == inner
    assert (await blocks.read(outer))["data"]["middle"]["inner"] == {"token": HIDDEN, "plain": 1}

    assert (await blocks.api.delete(f"/block_documents/{inner}")).status_code == 204
    assert await blocks.data(outer) == {"middle": {}, "text": {"$ref": "#/other"}}


async def test_the_outer_schema_hides_in_documents_of_other_types_too(blocks: Blocks) -> None:
    open_type = (await blocks.type("Open"))["id"]
    plain = (await blocks.schema(type_id=open_type, b=1))["id"]
    fields = {"block_type_id": open_type, "block_schema_id": plain, "data": {"key": "k", "plain": 1}}
    inner = made(await blocks.ask(name="plain", **fields))
    assert inner["data"] == {"key": "k", "plain": 1}
    outer = await blocks.document("outer", inner=reference(inner["id"]), again=reference(inner["id"]))
    shown = (await blocks.read(outer))["data"]
    assert shown == {"inner": {"key": HIDDEN, "plain": 1}, "again": {"key": "k", "plain": 1}}
    await blocks.change(outer, data={"again": "text"})
    assert await blocks.data(outer) == {"inner": {"key": "k", "plain": 1}, "again": "text"}


async def test_circles_end(blocks: Blocks) -> None:
    own = await blocks.document("own")
    assert (await blocks.change(own, data={"me": reference(own)})).status_code == 204
    assert (await blocks.data(own))["me"]["me"]


async def test_types_and_schemas_take_their_documents_along(blocks: Blocks) -> None:
    document_id = await blocks.document("doc")
    await blocks.api.delete(f"/block_schemas/{blocks.schema_id}")
    assert (await blocks.api.get(f"/block_documents/{document_id}")).status_code == 404
    blocks.schema_id = (await blocks.schema(b=1))["id"]
    document_id = await blocks.document("doc")
    await blocks.api.delete(f"/block_types/{blocks.type_id}")
    assert (await blocks.api.get(f"/block_documents/{document_id}")).status_code == 404


# Secrets at rest


def keyring(*letters: str) -> Keyring:
    return Keyring.read(",".join(base64.b64encode(letter.encode() * 32).decode() for letter in letters))


async def test_the_database_never_has_data_in_clear(tmp_path: Path) -> None:
    async with serving(f"sqlite:///{tmp_path / 'reeve.db'}") as api:
        blocks = await Blocks(api).furnish()
        document_id = await blocks.document("doc", token="canary-secret", plain="canary-plain")
        await blocks.change(document_id, data={"token": "canary-changed"})
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"secret_fields" in written, "what was written is there to be searched"
        assert b"canary" not in written
        assert base64.b64encode(b"canary-changed")[:12] not in written


async def test_what_is_stored_is_sealed(blocks: Blocks) -> None:
    document_id = await blocks.document("doc", token="canary")
    select = "select data from block_documents where id = $1"
    stored = await blocks.api.ctx.store.read(lambda tx: tx.fetchval(select, UUID(document_id)))
    sealed = base64.b64decode(rows.loaded(stored), validate=True)
    assert b"canary" not in sealed
    assert sealed != base64.b64decode(KEYRING.seal(UUID(document_id), {"token": "canary"}).text), (
        "a new nonce"
    )


async def test_keys_rotate(blocks: Blocks, database_url: str) -> None:
    ctx = blocks.api.ctx
    ids = [await blocks.document(f"doc-{place}", token=str(place)) for place in range(3)]
    both = Keyring({**KEYRING.keys, **keyring("n").keys}, keyring("n").newest)
    await rotation.check_keys(ctx.store, both)
    with pytest.raises(SecretsKeyError, match=KEYRING.newest):
        await rotation.check_keys(ctx.store, keyring("n"))
    assert await rotation.rotate(ctx.store, both) == 3
    assert await rotation.rotate(ctx.store, both) == 0
    await rotation.check_keys(ctx.store, keyring("n"))
    with pytest.raises(SecretsKeyError):
        await rotation.check_keys(ctx.store, KEYRING)
    object.__setattr__(ctx, "keyring", keyring("n"))
    assert [(await blocks.data(one))["token"] for one in ids] == ["0", "1", "2"]


async def test_a_sealed_text_opens_in_its_own_document_alone(blocks: Blocks) -> None:
    mine, yours = [await blocks.document(name, token=name) for name in ("mine", "yours")]
    await blocks.api.ctx.store.write(
        lambda tx: tx.execute(
            "update block_documents set data = (select data from block_documents where id = $1)"
            " where id = $2",
            UUID(mine),
            UUID(yours),
        )
    )
    assert (await blocks.api.get(f"/block_documents/{yours}")).status_code == 500
    assert await blocks.data(mine) == {"token": "mine"}


async def test_a_database_opens_again_with_its_keys(database_url: str) -> None:
    async with serving(database_url) as api:
        document_id = await (await Blocks(api).furnish()).document("doc", token="t")
    async with serving(database_url) as api:
        assert await Blocks(api).data(document_id) == {"token": "t"}
    store = await open_store(database_url)
    try:
        with pytest.raises(SecretsKeyError, match="sealed with a key that this server lacks"):
            await rotation.check_keys(store, keyring("x"))
    finally:
        await store.close()


def test_keys_that_cannot_be() -> None:
    for text in ("", "short", "k" * 43 + ",é", "k" * 44):
        with pytest.raises(SecretsKeyError, match=r"secrets\.key") as refusal:
            Keyring.read(text)
        assert text not in str(refusal.value) or not text, "the text may be a key"
    ring = keyring("a", "b")
    assert ring.newest == keyring("b").newest
    assert ring.keys.keys() == keyring("b", "a").keys.keys()
    sealed = keyring("a").seal(uuid4(), {})
    assert sealed.key_id == keyring("a").newest


# Collections


async def test_worker_types(sqlite_api: Outside) -> None:
    view = made(await sqlite_api.get("/collections/views/aggregate-worker-metadata"))
    types = {name: one for collection in view.values() for name, one in collection.items()}
    assert types.keys() == {"prefect-agent", "process", "docker", "kubernetes"}
    for name, one in types.items():
        assert one["type"] == name
        template = one["default_base_job_configuration"]
        if name == "prefect-agent":
            continue
        assert template["job_configuration"]["command"] == "{{ command }}"
        pool = await sqlite_api.pool(f"of-{name}", type=name, base_job_template=template)
        assert pool["base_job_template"] == template
