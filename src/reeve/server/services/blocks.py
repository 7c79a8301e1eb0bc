"""Blocks, as agents and engines read them: references expanded, secrets hidden unless asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from msgspec.structs import replace

from reeve.errors import NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import blocks

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.responses import BlockDocument, BlockSchema, BlockType

HIDDEN = "********"  # api-contract §2
DEPTH = 8  # references within references; deeper ones, and circles, stay references

T = TypeVar("T")


async def document(ctx: Context, document_id: UUID, *, secrets: bool) -> BlockDocument:
    """Return a document; raises NotFoundError."""

    async def look(tx: Transaction) -> BlockDocument:
        found = _found(await blocks.document(tx, document_id), "Block document not found")
        return await _shown(tx, found, secrets=secrets)

    return await ctx.store.read(look)


async def document_by_name(ctx: Context, slug: str, name: str, *, secrets: bool) -> BlockDocument:
    """Return the document of a type with this name; raises NotFoundError."""

    async def look(tx: Transaction) -> BlockDocument:
        found = _found(await blocks.document_by_name(tx, slug, name), "Block document not found")
        return await _shown(tx, found, secrets=secrets)

    return await ctx.store.read(look)


async def schema(ctx: Context, schema_id: UUID) -> BlockSchema:
    """Return a schema; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: blocks.schema(tx, schema_id)), "Block schema not found")


async def type_(ctx: Context, type_id: UUID) -> BlockType:
    """Return a type; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: blocks.type_(tx, type_id)), "Block type not found")


async def type_by_slug(ctx: Context, slug: str) -> BlockType:
    """Return the type of a slug; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: blocks.type_by_slug(tx, slug)), "Block type not found")


async def _shown(
    tx: Transaction, document: BlockDocument, *, secrets: bool, depth: int = DEPTH
) -> BlockDocument:
    """Put the documents that a document refers to in their places, and hide what is secret in each."""
    data = document.data
    if not secrets and document.block_schema is not None:
        data = hidden(data, document.block_schema.fields.get("secret_fields", ()))
    references: dict[str, Any] = {}
    for key, value in data.items():
        inner_id = _reference(value)
        inner = await blocks.document(tx, inner_id) if inner_id and depth else None
        if inner is not None:
            inner = await _shown(tx, inner, secrets=secrets, depth=depth - 1)
            data = {**data, key: inner.data}
            references[key] = {"block_document": _described(inner)}
    return replace(document, data=data, block_document_references=references)


def _reference(value: Any) -> UUID | None:
    """Return the document that a value stands for (api-contract §3, POST /block_documents/)."""
    match value:
        case {"$ref": {"block_document_id": str(text)}}:
            try:
                return UUID(text)
            except ValueError:
                return None
    return None


def _described(document: BlockDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "name": document.name,
        "block_type": document.block_type,
        "is_anonymous": document.is_anonymous,
        "block_document_references": document.block_document_references,
    }


def hidden(data: Mapping[str, Any], secret_fields: Any) -> dict[str, Any]:
    """Return data with the values at dotted paths hidden; ``*`` as a path's last step means all below."""
    shown = dict(data)
    for path in secret_fields:
        first, _, rest = path.partition(".")
        if first == "*":
            shown = dict.fromkeys(shown, HIDDEN)
        elif first in shown and rest and isinstance(shown[first], Mapping):
            shown[first] = shown[first] if _reference(shown[first]) else hidden(shown[first], [rest])
        elif shown.get(first) is not None:
            shown[first] = HIDDEN
    return shown


def _found(value: T | None, missing: str) -> T:
    if value is None:
        raise NotFoundError(missing)
    return value
