"""Blocks: types, schemas and documents; references expanded, secrets sealed, and hidden unless asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from msgspec import UnsetType
from msgspec.structs import asdict, replace

from reeve.core.blocks import (
    check_document_name,
    check_type,
    checksum,
    hidden,
    references,
    restored,
    secret_fields,
    slugs_referred_to,
)
from reeve.core.system_blocks import SYSTEM_BLOCKS, VERSION, SystemBlock
from reeve.errors import ConflictError, InvalidInputError, NotFoundError, ReeveError, ReservedError
from reeve.ids import new_id
from reeve.server.services.context import Context
from reeve.server.storage import blocks
from reeve.server.storage.dialects.base import IntegrityError
from reeve.wire import filters, queries
from reeve.wire.codec import iso
from reeve.wire.responses import BlockDocument, BlockSchema, BlockType, Infrastructure

if TYPE_CHECKING:
    from reeve.server.services.secrets import Keyring
    from reeve.server.storage.blocks import StoredDocument
    from reeve.server.storage.store import Store, Transaction
    from reeve.wire.requests import (
        BlockDocumentCreate,
        BlockDocumentUpdate,
        BlockSchemaCreate,
        BlockTypeCreate,
        BlockTypeUpdate,
    )

DEPTH = 8  # references within references; deeper ones, and circles, stay references
PROTECTED = "prefect"  # the beginning of names that 2.20 keeps for itself (api-contract §3)

NO_TYPE = "Block type not found"
NO_SCHEMA = "Block schema not found"
NO_DOCUMENT = "Block document not found"

T = TypeVar("T")


# Types


async def create_type(ctx: Context, body: BlockTypeCreate) -> BlockType:
    """Make a type.

    Raises InvalidInputError for its name or slug, ReservedError for a name that 2.20 keeps for itself,
    ConflictError for a name or slug that is taken.
    """
    check_type(body.name, body.slug)
    if body.name.lower().startswith(PROTECTED):
        raise ReservedError("Block type names beginning with 'Prefect' are reserved.")

    async def insert(tx: Transaction) -> BlockType:
        now = iso(await tx.now())
        block_type = BlockType(id=new_id(), created=now, updated=now, **asdict(body))
        if not await blocks.insert_type(tx, block_type):
            raise ConflictError(f'Block type with name "{body.name}" already exists')
        return block_type

    return await ctx.store.write(insert)


async def type_(ctx: Context, type_id: UUID) -> BlockType:
    """Return a type; raises NotFoundError."""
    return await ctx.store.read(lambda tx: _type(tx, type_id))


async def type_by_slug(ctx: Context, slug: str) -> BlockType:
    """Return the type of a slug; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: blocks.type_by_slug(tx, slug)), NO_TYPE)


async def types(ctx: Context, query: queries.BlockTypeQuery, limit: int, offset: int) -> list[BlockType]:
    """Return the types that match, by name."""
    return await ctx.store.read(lambda tx: blocks.types(tx, query, limit, offset))


async def update_type(ctx: Context, type_id: UUID, body: BlockTypeUpdate) -> None:
    """Change what was sent of a type, protected ones too (api-contract §3); raises NotFoundError."""
    sent = {name: value for name, value in asdict(body).items() if not isinstance(value, UnsetType)}

    async def change(tx: Transaction) -> None:
        await blocks.update_type(tx, replace(await _type(tx, type_id), **sent), await tx.now())

    await ctx.store.write(change)


async def delete_type(ctx: Context, type_id: UUID) -> None:
    """Delete a type with its schemas and documents; raises NotFoundError, ReservedError for a system one."""

    async def delete(tx: Transaction) -> None:
        if (await _type(tx, type_id)).is_protected:
            raise ReservedError("protected block types cannot be deleted.")
        await blocks.delete_type(tx, type_id)

    await ctx.store.write(delete)


async def install_system_types(store: Store) -> None:
    """Make the types that every server has, and our schemas of them, where they are missing."""

    async def install(tx: Transaction) -> None:
        now = await tx.now()
        for one in SYSTEM_BLOCKS:
            await _install(tx, one, now)

    await store.write(install)


async def _install(tx: Transaction, one: SystemBlock, now: datetime) -> None:
    at = iso(now)
    block_type = BlockType(
        id=new_id(),
        created=at,
        updated=at,
        name=one.name,
        slug=one.slug,
        description=one.description,
        is_protected=True,
    )
    if not await blocks.insert_type(tx, block_type):
        there = await blocks.type_by_slug(tx, one.slug)
        if there is None:
            return  # a type of another slug has taken the name: it stays
        if not there.is_protected:  # a client was here first
            await blocks.update_type(tx, replace(there, is_protected=True), now)
        block_type = there
    await blocks.insert_schema(
        tx, _new_schema(block_type, one.fields, capabilities=list(one.capabilities), version=VERSION, at=at)
    )


# Schemas


async def create_schema(ctx: Context, body: BlockSchemaCreate) -> tuple[BlockSchema, bool]:
    """Make a schema, or return that of the same checksum and version; and whether it is new.

    Raises NotFoundError for an unknown type, ConflictError for a reference to one.
    """

    async def insert(tx: Transaction) -> tuple[BlockSchema, bool]:
        block_type = _found(
            await blocks.type_(tx, body.block_type_id), f"Block type {body.block_type_id} not found."
        )
        await _check_slugs(tx, slugs_referred_to(body.fields))
        schema = _new_schema(
            block_type,
            body.fields,
            capabilities=body.capabilities,
            version=body.version,
            at=iso(await tx.now()),
        )
        if await blocks.insert_schema(tx, schema):
            return schema, True
        return _found(await blocks.schema_by_checksum(tx, schema.checksum, schema.version), NO_SCHEMA), False

    return await ctx.store.write(insert)


async def schema(ctx: Context, schema_id: UUID) -> BlockSchema:
    """Return a schema; raises NotFoundError."""
    return await ctx.store.read(lambda tx: _schema(tx, schema_id))


async def schema_by_checksum(ctx: Context, sum_: str, version: str | None) -> BlockSchema:
    """Return the schema of a checksum, of a version or else the newest; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: blocks.schema_by_checksum(tx, sum_, version)), NO_SCHEMA)


async def schemas(
    ctx: Context, query: queries.BlockSchemaQuery, limit: int, offset: int
) -> list[BlockSchema]:
    """Return the schemas that match, the newest first."""
    return await ctx.store.read(lambda tx: blocks.schemas(tx, query, limit, offset))


async def delete_schema(ctx: Context, schema_id: UUID) -> None:
    """Delete a schema with its documents; raises NotFoundError, ReservedError for one of a system type."""

    async def delete(tx: Transaction) -> None:
        doomed = await _schema(tx, schema_id)
        if doomed.block_type is not None and doomed.block_type.is_protected:
            raise ReservedError("Block schemas for protected block types cannot be deleted.")
        await blocks.delete_schema(tx, schema_id)

    await ctx.store.write(delete)


async def capabilities(ctx: Context) -> list[str]:
    """Return all that blocks of any schema can do."""
    return await ctx.store.read(blocks.capabilities)


def _new_schema(
    block_type: BlockType, fields: dict[str, Any], *, capabilities: list[str], version: str, at: str
) -> BlockSchema:
    return BlockSchema(
        id=new_id(),
        created=at,
        updated=at,
        checksum=checksum(fields),
        fields={"block_schema_references": {}, **fields},
        block_type_id=block_type.id,
        block_type=block_type,
        capabilities=capabilities,
        version=version,
    )


async def _check_slugs(tx: Transaction, slugs: Iterable[str]) -> None:
    wanted = list(slugs)
    known = await blocks.known_slugs(tx, wanted) if wanted else set()
    for slug in wanted:
        if slug not in known:
            raise ConflictError(  # without a blank between the sentences, as in 2.20
                f"Cannot create block schema because block type '{slug}' was not found."
                "Did you forget to register the block type?"
            )


# Documents


async def create_document(ctx: Context, body: BlockDocumentCreate) -> BlockDocument:
    """Make a document; an anonymous one may do without a name. Its secrets are hidden in the answer.

    Raises InvalidInputError for the name or a reference, ConflictError for a name that is taken or a schema
    of another type, IntegrityError for what it refers to and is not there.
    """
    check_document_name(body.name, anonymous=body.is_anonymous)
    referred = references(body.data).values()

    async def insert(tx: Transaction) -> BlockDocument:
        await _check_schema(tx, body.block_schema_id, body.block_type_id)
        await _check_references(tx, referred)
        now = iso(await tx.now())
        document_id = new_id()
        document = BlockDocument(
            id=document_id,
            created=now,
            updated=now,
            name=body.name or f"anonymous-{document_id}",
            data={},
            block_schema_id=body.block_schema_id,
            block_type_id=body.block_type_id,
            block_document_references={},
            is_anonymous=body.is_anonymous,
        )
        if not await blocks.insert_document(tx, document, ctx.keyring.seal(document_id, body.data)):
            raise ConflictError("Block already exists")
        made = _found(await blocks.document(tx, document_id), NO_DOCUMENT)
        return await _shown(tx, ctx.keyring, made, secrets=False)

    return await ctx.store.write(insert)


async def document(ctx: Context, document_id: UUID, *, secrets: bool) -> BlockDocument:
    """Return a document; raises NotFoundError."""

    async def look(tx: Transaction) -> BlockDocument:
        found = _found(await blocks.document(tx, document_id), NO_DOCUMENT)
        return await _shown(tx, ctx.keyring, found, secrets=secrets)

    return await ctx.store.read(look)


async def infrastructure(tx: Transaction, keyring: Keyring, document_id: UUID) -> Infrastructure:
    """Return the block that a run is to be launched by; what is wrong with it is for the agent to tell."""
    stored = await blocks.document(tx, document_id)
    if stored is None:
        return Infrastructure(type="deleted", data={})
    try:
        shown = await _shown(tx, keyring, stored, secrets=True)
    except ReeveError:  # a key that this server does not have: other grants must not wait for it
        return Infrastructure(type="unreadable", data={})
    return Infrastructure(type=shown.block_type.slug if shown.block_type else "deleted", data=shown.data)


async def document_by_name(ctx: Context, slug: str, name: str, *, secrets: bool) -> BlockDocument:
    """Return the document of a type with this name; raises NotFoundError."""

    async def look(tx: Transaction) -> BlockDocument:
        found = _found(await blocks.document_by_name(tx, slug, name), NO_DOCUMENT)
        return await _shown(tx, ctx.keyring, found, secrets=secrets)

    return await ctx.store.read(look)


async def documents(
    ctx: Context, query: queries.BlockDocumentQuery, limit: int, offset: int
) -> list[BlockDocument]:
    """Return the documents that match; anonymous ones only when asked for."""

    async def look(tx: Transaction) -> list[BlockDocument]:
        found = await blocks.documents(tx, query, limit, offset)
        return [await _shown(tx, ctx.keyring, one, secrets=query.include_secrets) for one in found]

    return await ctx.store.read(look)


async def documents_of_type(ctx: Context, slug: str, limit: int, *, secrets: bool) -> list[BlockDocument]:
    """Return the named documents of a type; raises NotFoundError."""
    await type_by_slug(ctx, slug)
    own = filters.BlockTypeFilter(slug=filters.AnyText(any_=[slug]))
    query = queries.BlockDocumentQuery(block_types=own, include_secrets=secrets)
    return await documents(ctx, query, limit, 0)


async def count_documents(ctx: Context, query: queries.BlockDocumentFilters) -> int:
    """Return how many documents match; anonymous ones only when asked for."""
    return await ctx.store.read(lambda tx: blocks.count_documents(tx, query))


async def update_document(ctx: Context, document_id: UUID, body: BlockDocumentUpdate) -> None:
    """Change a document's data, key by key or all of it, and its schema.

    A secret that comes back hidden stays what it was. Raises NotFoundError, InvalidInputError for a
    reference or a schema of another type, IntegrityError for what it refers to and is not there.
    """
    referred = references(body.data).values()

    async def change(tx: Transaction) -> None:
        stored = _found(await blocks.lock_document(tx, document_id), NO_DOCUMENT)
        schema_id = body.block_schema_id or stored.document.block_schema_id
        if (await _schema(tx, schema_id)).block_type_id != stored.document.block_type_id:
            raise InvalidInputError("Must migrate block document to a block schema of the same block type.")
        await _check_references(tx, referred)
        old = ctx.keyring.unseal(document_id, stored.sealed)
        data = restored(body.data, old, _secret_fields(stored.document))
        if body.merge_existing_data:
            data = {**old, **data}
        sealed = ctx.keyring.seal(document_id, data)
        await blocks.update_document(tx, document_id, schema_id, sealed, await tx.now())

    await ctx.store.write(change)


async def delete_document(ctx: Context, document_id: UUID) -> None:
    """Delete a document; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: blocks.delete_document(tx, document_id)):
        raise NotFoundError(NO_DOCUMENT)


async def _check_schema(tx: Transaction, schema_id: UUID, type_id: UUID) -> None:
    schema_ = await blocks.schema(tx, schema_id)
    if schema_ is None or await blocks.type_(tx, type_id) is None:
        raise IntegrityError
    if schema_.block_type_id != type_id:
        raise ConflictError("The block schema belongs to another block type.")


async def _check_references(tx: Transaction, document_ids: Iterable[UUID]) -> None:
    for document_id in document_ids:
        if not await blocks.exists(tx, document_id):
            raise IntegrityError


async def _shown(
    tx: Transaction, keyring: Keyring, stored: StoredDocument, *, secrets: bool, depth: int = DEPTH
) -> BlockDocument:
    """Put the documents that a document refers to in their places, and hide what is secret in each.

    A key whose document was deleted is left out, as in 2.20.
    """
    data = keyring.unseal(stored.document.id, stored.sealed)
    described: dict[str, Any] = {}
    for key, target in references(data).items() if depth else ():
        inner = await blocks.document(tx, target)
        if inner is None:
            del data[key]
            continue
        shown = await _shown(tx, keyring, inner, secrets=secrets, depth=depth - 1)
        data[key] = shown.data
        described[key] = {"block_document": _described(shown)}
    if not secrets:
        data = hidden(data, _secret_fields(stored.document))
    return replace(stored.document, data=data, block_document_references=described)


def _secret_fields(document: BlockDocument) -> list[str]:
    return secret_fields(document.block_schema.fields) if document.block_schema else []


def _described(document: BlockDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "name": document.name,
        "block_type": document.block_type,
        "is_anonymous": document.is_anonymous,
        "block_document_references": document.block_document_references,
    }


async def _type(tx: Transaction, type_id: UUID) -> BlockType:
    return _found(await blocks.type_(tx, type_id), NO_TYPE)


async def _schema(tx: Transaction, schema_id: UUID) -> BlockSchema:
    return _found(await blocks.schema(tx, schema_id), NO_SCHEMA)


def _found(value: T | None, missing: str) -> T:
    if value is None:
        raise NotFoundError(missing)
    return value
