"""Operations on blocks."""

from __future__ import annotations

from reeve.wire import responses
from reeve.wire.endpoints.table import RUN, Endpoint

read_block_document: Endpoint[None, responses.BlockDocument] = Endpoint(
    "read_block_document",
    "GET",
    "/block_documents/{id}",
    None,
    responses.BlockDocument,
    query=("include_secrets",),
    door=RUN,
)
read_block_document_by_name: Endpoint[None, responses.BlockDocument] = Endpoint(
    "read_block_document_by_name",
    "GET",
    "/block_types/slug/{slug}/block_documents/name/{block_document_name}",
    None,
    responses.BlockDocument,
    query=("include_secrets",),
    door=RUN,
)
read_block_schema: Endpoint[None, responses.BlockSchema] = Endpoint(
    "read_block_schema", "GET", "/block_schemas/{id}", None, responses.BlockSchema, door=RUN
)
read_block_type: Endpoint[None, responses.BlockType] = Endpoint(
    "read_block_type", "GET", "/block_types/{id}", None, responses.BlockType, door=RUN
)
read_block_type_by_slug: Endpoint[None, responses.BlockType] = Endpoint(
    "read_block_type_by_slug", "GET", "/block_types/slug/{slug}", None, responses.BlockType, door=RUN
)
