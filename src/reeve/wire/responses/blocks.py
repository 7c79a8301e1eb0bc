"""Answers about blocks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class BlockType(Struct, kw_only=True):
    """``BlockType``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str
    slug: str
    logo_url: str | None = None
    documentation_url: str | None = None
    description: str | None = None
    code_example: str | None = None
    is_protected: bool = False


class BlockSchema(Struct, kw_only=True):
    """``BlockSchema``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    checksum: str
    fields: dict[str, Any]
    block_type_id: UUID
    block_type: BlockType | None = None
    capabilities: list[str]
    version: str = "non-versioned"


class BlockDocument(Struct, kw_only=True):
    """``BlockDocument``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    name: str | None = None
    data: dict[str, Any]
    block_schema_id: UUID
    block_schema: BlockSchema | None = None
    block_type_id: UUID
    block_type_name: str | None = None
    block_type: BlockType | None = None
    block_document_references: dict[str, Any]
    is_anonymous: bool = False
