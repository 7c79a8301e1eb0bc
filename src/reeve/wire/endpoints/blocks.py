"""Operations on blocks.

A run may do all but delete: a 2.20 engine registers the blocks of its flow and saves anonymous documents.
"""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

SECRETS = ("include_secrets",)

read_block_document: Endpoint[None, responses.BlockDocument] = Endpoint(
    "read_block_document",
    "GET",
    "/block_documents/{id}",
    None,
    responses.BlockDocument,
    query=SECRETS,
    door=RUN,
)
read_block_document_by_name: Endpoint[None, responses.BlockDocument] = Endpoint(
    "read_block_document_by_name",
    "GET",
    "/block_types/slug/{slug}/block_documents/name/{block_document_name}",
    None,
    responses.BlockDocument,
    query=SECRETS,
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
create_block_document: Endpoint[requests.BlockDocumentCreate, responses.BlockDocument] = Endpoint(
    "create_block_document",
    "POST",
    "/block_documents/",
    requests.BlockDocumentCreate,
    responses.BlockDocument,
    201,
    door=RUN,
)
filter_block_documents = filtering(
    "filter_block_documents", "/block_documents/filter", queries.BlockDocumentQuery, responses.BlockDocument
)
count_block_documents: Endpoint[queries.BlockDocumentFilters, int] = Endpoint(
    "count_block_documents",
    "POST",
    "/block_documents/count",
    queries.BlockDocumentFilters,
    int,
    door=RUN,
    body_optional=True,
)
update_block_document: Endpoint[requests.BlockDocumentUpdate, None] = Endpoint(
    "update_block_document",
    "PATCH",
    "/block_documents/{id}",
    requests.BlockDocumentUpdate,
    None,
    204,
    door=RUN,
)
delete_block_document: Endpoint[None, None] = Endpoint(
    "delete_block_document", "DELETE", "/block_documents/{id}", None, None, 204
)
create_block_schema: Endpoint[requests.BlockSchemaCreate, responses.BlockSchema] = Endpoint(
    "create_block_schema",
    "POST",
    "/block_schemas/",
    requests.BlockSchemaCreate,
    responses.BlockSchema,
    201,
    door=RUN,
    again=200,
)
read_block_schema_by_checksum: Endpoint[None, responses.BlockSchema] = Endpoint(
    "read_block_schema_by_checksum",
    "GET",
    "/block_schemas/checksum/{checksum}",
    None,
    responses.BlockSchema,
    query=("version",),
    door=RUN,
)
filter_block_schemas = filtering(
    "filter_block_schemas", "/block_schemas/filter", queries.BlockSchemaQuery, responses.BlockSchema
)
delete_block_schema: Endpoint[None, None] = Endpoint(
    "delete_block_schema", "DELETE", "/block_schemas/{id}", None, None, 204
)
create_block_type: Endpoint[requests.BlockTypeCreate, responses.BlockType] = Endpoint(
    "create_block_type", "POST", "/block_types/", requests.BlockTypeCreate, responses.BlockType, 201, door=RUN
)
filter_block_types = filtering(
    "filter_block_types", "/block_types/filter", queries.BlockTypeQuery, responses.BlockType
)
update_block_type: Endpoint[requests.BlockTypeUpdate, None] = Endpoint(
    "update_block_type", "PATCH", "/block_types/{id}", requests.BlockTypeUpdate, None, 204, door=RUN
)
delete_block_type: Endpoint[None, None] = Endpoint(
    "delete_block_type", "DELETE", "/block_types/{id}", None, None, 204
)
install_system_block_types: Endpoint[None, None] = Endpoint(
    "install_system_block_types", "POST", "/block_types/install_system_block_types", None, None
)
block_documents_of_type: Endpoint[None, list[responses.BlockDocument]] = Endpoint(
    "block_documents_of_type",
    "GET",
    "/block_types/slug/{slug}/block_documents",
    None,
    list[responses.BlockDocument],
    query=SECRETS,
    door=RUN,
)
block_capabilities: Endpoint[None, list[str]] = Endpoint(
    "block_capabilities", "GET", "/block_capabilities/", None, list[str], door=RUN
)
