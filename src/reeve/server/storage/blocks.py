"""Blocks: types, their schemas, and documents, whose data lies here sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from reeve.server.storage import rows
from reeve.server.storage.filters import Where
from reeve.server.storage.store import Row, Transaction
from reeve.wire import filters, queries
from reeve.wire.codec import iso, parse
from reeve.wire.queries import BlockDocumentSort
from reeve.wire.responses import BlockDocument, BlockSchema, BlockType

TYPE_COLUMNS = (
    "id",
    "created",
    "updated",
    "name",
    "slug",
    "logo_url",
    "documentation_url",
    "description",
    "code_example",
    "is_protected",
)
SCHEMA_COLUMNS = (
    "id",
    "created",
    "updated",
    "checksum",
    "fields",
    "block_type_id",
    "capabilities",
    "version",
)

TYPE = f"select {rows.columns(TYPE_COLUMNS, 't')} from block_types t"
SCHEMA = f"""
select {rows.columns(SCHEMA_COLUMNS, "s")}, {rows.columns(TYPE_COLUMNS, "t")}
from block_schemas s join block_types t on t.id = s.block_type_id
"""
DOCUMENT_SOURCE = """
from block_documents d
join block_schemas s on s.id = d.block_schema_id
join block_types t on t.id = d.block_type_id
"""
DOCUMENT = f"""
select d.*, {rows.columns(SCHEMA_COLUMNS, "s")}, {rows.columns(TYPE_COLUMNS, "t")}
{DOCUMENT_SOURCE}
"""
DOCUMENT_ORDERS = {
    BlockDocumentSort.NAME_ASC: "d.name, d.id",
    BlockDocumentSort.NAME_DESC: "d.name desc, d.id desc",
    BlockDocumentSort.BLOCK_TYPE_AND_NAME_ASC: "t.name, d.name, d.id",
}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A document's data as only the holder of a key reads it."""

    key_id: str
    text: str


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document without its data, and the data as it is stored: sealed, its references not followed."""

    document: BlockDocument
    sealed: Sealed


# Types


async def insert_type(tx: Transaction, block_type: BlockType) -> bool:
    """Store a new type; False when its name or its slug is taken."""
    values = (
        block_type.id,
        rows.micros(parse(block_type.created)),
        block_type.name,
        block_type.slug,
        block_type.logo_url,
        block_type.documentation_url,
        block_type.description,
        block_type.code_example,
        block_type.is_protected,
    )
    touched = await tx.execute(
        f"insert into block_types ({', '.join(TYPE_COLUMNS)}) values ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)"
        " on conflict do nothing",
        *values,
    )
    return bool(touched)


async def type_(tx: Transaction, type_id: UUID) -> BlockType | None:
    """Return a type."""
    row = await tx.fetchrow(f"{TYPE} where t.id = $1", type_id)
    return None if row is None else _type(row)


async def type_by_slug(tx: Transaction, slug: str) -> BlockType | None:
    """Return the type of a slug."""
    row = await tx.fetchrow(f"{TYPE} where t.slug = $1", slug)
    return None if row is None else _type(row)


async def types(tx: Transaction, query: queries.BlockTypeQuery, limit: int, offset: int) -> list[BlockType]:
    """Return the types that match, by name."""
    where = Where()
    condition = where.of_block_types(query, "t")
    found = await _page(tx, TYPE, where, condition, "t.name", limit, offset)
    return [_type(row) for row in found]


async def known_slugs(tx: Transaction, slugs: list[str]) -> set[str]:
    """Return those of the slugs that types have."""
    found = await tx.fetch("select slug from block_types where slug = any($1::text[])", slugs)
    return {row["slug"] for row in found}


async def update_type(tx: Transaction, block_type: BlockType, now: datetime) -> None:
    """Store what may change of a type."""
    await tx.execute(
        "update block_types set updated = $2, logo_url = $3, documentation_url = $4, description = $5,"
        " code_example = $6, is_protected = $7 where id = $1",
        block_type.id,
        rows.micros(now),
        block_type.logo_url,
        block_type.documentation_url,
        block_type.description,
        block_type.code_example,
        block_type.is_protected,
    )


async def delete_type(tx: Transaction, type_id: UUID) -> None:
    """Delete a type with its schemas and documents."""
    await tx.execute("delete from block_types where id = $1", type_id)


# Schemas


async def insert_schema(tx: Transaction, schema: BlockSchema) -> bool:
    """Store a new schema; False when its checksum and version are known."""
    touched = await tx.execute(
        f"insert into block_schemas ({', '.join(SCHEMA_COLUMNS)}) values ($1, $2, $2, $3, $4, $5, $6, $7)"
        " on conflict (checksum, version) do nothing",
        schema.id,
        rows.micros(parse(schema.created)),
        schema.checksum,
        rows.json(schema.fields),
        schema.block_type_id,
        rows.json(schema.capabilities),
        schema.version,
    )
    return bool(touched)


async def schema(tx: Transaction, schema_id: UUID) -> BlockSchema | None:
    """Return a schema with its type."""
    row = await tx.fetchrow(f"{SCHEMA} where s.id = $1", schema_id)
    return None if row is None else _schema(row)


async def schema_by_checksum(tx: Transaction, checksum: str, version: str | None) -> BlockSchema | None:
    """Return the schema of a checksum: of this version, or the newest."""
    if version is None:
        row = await tx.fetchrow(
            f"{SCHEMA} where s.checksum = $1 order by s.created desc, s.id limit 1", checksum
        )
    else:
        row = await tx.fetchrow(f"{SCHEMA} where s.checksum = $1 and s.version = $2", checksum, version)
    return None if row is None else _schema(row)


async def schemas(
    tx: Transaction, query: queries.BlockSchemaQuery, limit: int, offset: int
) -> list[BlockSchema]:
    """Return the schemas that match, the newest first."""
    where = Where()
    condition = where.block_schema(query.block_schemas or filters.BlockSchemaFilter(), "s")
    found = await _page(tx, SCHEMA, where, condition, "s.created desc, s.id desc", limit, offset)
    return [_schema(row) for row in found]


async def capabilities(tx: Transaction) -> list[str]:
    """Return what the blocks of all schemas can do, each once."""
    found = await tx.fetch("select distinct capabilities from block_schemas")
    listed: set[str] = {able for row in found for able in rows.loaded(row["capabilities"])}
    return sorted(listed)


async def delete_schema(tx: Transaction, schema_id: UUID) -> None:
    """Delete a schema with its documents."""
    await tx.execute("delete from block_schemas where id = $1", schema_id)


# Documents


async def insert_document(tx: Transaction, document: BlockDocument, sealed: Sealed) -> bool:
    """Store a new document; False when its type has one of this name."""
    touched = await tx.execute(
        "insert into block_documents (id, created, updated, name, data, key_id, block_schema_id,"
        " block_type_id, is_anonymous) values ($1, $2, $2, $3, $4, $5, $6, $7, $8)"
        " on conflict (block_type_id, name) do nothing",
        document.id,
        rows.micros(parse(document.created)),
        document.name,
        rows.json(sealed.text),
        sealed.key_id,
        document.block_schema_id,
        document.block_type_id,
        document.is_anonymous,
    )
    return bool(touched)


async def exists(tx: Transaction, document_id: UUID) -> bool:
    """Say whether there is a document with this id."""
    return await tx.fetchval("select 1 from block_documents where id = $1", document_id) is not None


async def document(tx: Transaction, document_id: UUID) -> StoredDocument | None:
    """Return a document."""
    row = await tx.fetchrow(f"{DOCUMENT} where d.id = $1", document_id)
    return None if row is None else _document(row)


async def lock_document(tx: Transaction, document_id: UUID) -> StoredDocument | None:
    """Return a document, which nobody else changes until this transaction ends."""
    row = await tx.fetchrow(f"{DOCUMENT} where d.id = $1 for no key update of d", document_id)
    return None if row is None else _document(row)


async def document_by_name(tx: Transaction, slug: str, name: str) -> StoredDocument | None:
    """Return the document of a type with this name."""
    row = await tx.fetchrow(f"{DOCUMENT} where t.slug = $1 and d.name = $2", slug, name)
    return None if row is None else _document(row)


async def documents(
    tx: Transaction, query: queries.BlockDocumentQuery, limit: int, offset: int
) -> list[StoredDocument]:
    """Return the documents that match, by name unless told otherwise."""
    where = Where()
    condition = where.of_block_documents(query, "d", "t", "s")
    order = DOCUMENT_ORDERS[query.sort or BlockDocumentSort.NAME_ASC]
    found = await _page(tx, DOCUMENT, where, condition, order, limit, offset)
    return [_document(row) for row in found]


async def count_documents(tx: Transaction, query: queries.BlockDocumentFilters) -> int:
    """Return how many documents match."""
    where = Where()
    condition = where.of_block_documents(query, "d", "t", "s")
    count: int = await tx.fetchval(f"select count(*) {DOCUMENT_SOURCE} where {condition}", *where.values)
    return count


async def update_document(
    tx: Transaction, document_id: UUID, schema_id: UUID, sealed: Sealed, now: datetime
) -> None:
    """Store a document's data and schema."""
    await tx.execute(
        "update block_documents set updated = $2, block_schema_id = $3, data = $4, key_id = $5 where id = $1",
        document_id,
        rows.micros(now),
        schema_id,
        rows.json(sealed.text),
        sealed.key_id,
    )


async def delete_document(tx: Transaction, document_id: UUID) -> bool:
    """Delete a document; False when there is none."""
    return bool(await tx.execute("delete from block_documents where id = $1", document_id))


# Keys


async def key_ids(tx: Transaction) -> list[str]:
    """Return the ids of all keys that documents are sealed with."""
    return [row["key_id"] for row in await tx.fetch("select distinct key_id from block_documents")]


async def lock_sealed_otherwise(tx: Transaction, key_id: str, limit: int) -> list[tuple[UUID, Sealed]]:
    """Return documents that are sealed with other keys than this one, locked."""
    found = await tx.fetch(
        "select id, key_id, data from block_documents where key_id <> $1 order by id limit $2"
        " for no key update",
        key_id,
        limit,
    )
    return [(rows.uuid(row["id"]), _sealed(row)) for row in found]


async def seal(tx: Transaction, document_id: UUID, sealed: Sealed) -> None:
    """Store the same data under another key."""
    await tx.execute(
        "update block_documents set data = $2, key_id = $3 where id = $1",
        document_id,
        rows.json(sealed.text),
        sealed.key_id,
    )


async def _page(
    tx: Transaction, select: str, where: Where, condition: str, order: str, limit: int, offset: int
) -> list[Row]:
    bounds = f"limit {where.value(limit)} offset {where.value(offset)}"
    return await tx.fetch(f"{select} where {condition} order by {order} {bounds}", *where.values)


def _sealed(row: Row) -> Sealed:
    return Sealed(row["key_id"], rows.loaded(row["data"]))


def _document(row: Row) -> StoredDocument:
    schema, block_type = _schema(row), _type(row)
    document = BlockDocument(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        name=row["name"],
        data={},
        block_schema_id=schema.id,
        block_schema=schema,
        block_type_id=block_type.id,
        block_type_name=block_type.name,
        block_type=block_type,
        block_document_references={},
        is_anonymous=bool(row["is_anonymous"]),
    )
    return StoredDocument(document, _sealed(row))


def _schema(row: Row) -> BlockSchema:
    return BlockSchema(
        id=rows.uuid(row["s_id"]),
        created=iso(rows.instant(row["s_created"])),
        updated=iso(rows.instant(row["s_updated"])),
        checksum=row["s_checksum"],
        fields=rows.loaded(row["s_fields"]),
        block_type_id=rows.uuid(row["s_block_type_id"]),
        block_type=_type(row),
        capabilities=rows.loaded(row["s_capabilities"]),
        version=row["s_version"],
    )


def _type(row: Row) -> BlockType:
    return BlockType(
        id=rows.uuid(row["t_id"]),
        created=iso(rows.instant(row["t_created"])),
        updated=iso(rows.instant(row["t_updated"])),
        name=row["t_name"],
        slug=row["t_slug"],
        logo_url=row["t_logo_url"],
        documentation_url=row["t_documentation_url"],
        description=row["t_description"],
        code_example=row["t_code_example"],
        is_protected=bool(row["t_is_protected"]),
    )
