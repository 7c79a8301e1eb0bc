"""Requests about blocks."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

WebAddress = Annotated[str, Meta(pattern=r"^https?://[^/]", max_length=2083)]


class BlockTypeCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /block_types/``."""

    name: str
    slug: str
    logo_url: WebAddress | None = None
    documentation_url: WebAddress | None = None
    description: str | None = None
    code_example: str | None = None


class BlockTypeUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /block_types/{id}``."""

    logo_url: WebAddress | None | UnsetType = UNSET
    documentation_url: WebAddress | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    code_example: str | None | UnsetType = UNSET


class BlockSchemaCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /block_schemas/``."""

    fields: dict[str, Any] = field(default_factory=dict)
    block_type_id: UUID
    capabilities: list[str] = field(default_factory=list)
    version: str = "non-versioned"


class BlockDocumentCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /block_documents/``."""

    name: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    block_schema_id: UUID
    block_type_id: UUID
    is_anonymous: bool = False


class BlockDocumentUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /block_documents/{id}``; merging is shallow."""

    block_schema_id: UUID | None = None
    data: dict[str, Any] = field(default_factory=dict)
    merge_existing_data: bool = True
