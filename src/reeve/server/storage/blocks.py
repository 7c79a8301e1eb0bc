"""Blocks: read as 2.20 writes them, with the documents that they refer to."""

from __future__ import annotations

from uuid import UUID

from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
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
DOCUMENT = f"""
select d.*, {rows.columns(SCHEMA_COLUMNS, "s")}, {rows.columns(TYPE_COLUMNS, "t")}
from block_documents d
join block_schemas s on s.id = d.block_schema_id
join block_types t on t.id = d.block_type_id
"""


async def exists(tx: Transaction, document_id: UUID) -> bool:
    """Say whether there is a document with this id."""
    return await tx.fetchval("select 1 from block_documents where id = $1", document_id) is not None


async def document(tx: Transaction, document_id: UUID) -> BlockDocument | None:
    """Return a document as it is stored: references unresolved, secrets to be read."""
    return _document(await tx.fetchrow(f"{DOCUMENT} where d.id = $1", document_id))


async def document_by_name(tx: Transaction, slug: str, name: str) -> BlockDocument | None:
    """Return the document of a type with this name, as it is stored."""
    return _document(await tx.fetchrow(f"{DOCUMENT} where t.slug = $1 and d.name = $2", slug, name))


async def schema(tx: Transaction, schema_id: UUID) -> BlockSchema | None:
    """Return a schema with its type."""
    row = await tx.fetchrow(f"{SCHEMA} where s.id = $1", schema_id)
    return None if row is None else _schema(row)


async def type_(tx: Transaction, type_id: UUID) -> BlockType | None:
    """Return a type."""
    row = await tx.fetchrow(f"{TYPE} where t.id = $1", type_id)
    return None if row is None else _type(row)


async def type_by_slug(tx: Transaction, slug: str) -> BlockType | None:
    """Return the type of a slug."""
    row = await tx.fetchrow(f"{TYPE} where t.slug = $1", slug)
    return None if row is None else _type(row)


def _document(row: Row | None) -> BlockDocument | None:
    if row is None:
        return None
    schema, block_type = _schema(row), _type(row)
    return BlockDocument(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        name=row["name"],
        data=rows.loaded(row["data"]),
        block_schema_id=schema.id,
        block_schema=schema,
        block_type_id=block_type.id,
        block_type_name=block_type.name,
        block_type=block_type,
        block_document_references={},
        is_anonymous=bool(row["is_anonymous"]),
    )


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
