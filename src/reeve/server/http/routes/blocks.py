"""Blocks: their types, schemas and documents."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Answer, Request, created, serves
from reeve.server.services import blocks
from reeve.wire import endpoints, queries, requests, responses

SECRETS = "include_secrets"


@serves(endpoints.read_block_document)
async def read_block_document(request: Request[None]) -> responses.BlockDocument:
    secrets = request.flag_query(SECRETS)
    return await blocks.document(request.context, request.path["id"], secrets=secrets)


@serves(endpoints.read_block_document_by_name)
async def read_block_document_by_name(request: Request[None]) -> responses.BlockDocument:
    slug, name = request.path["slug"], request.path["block_document_name"]
    return await blocks.document_by_name(request.context, slug, name, secrets=request.flag_query(SECRETS))


@serves(endpoints.read_block_schema)
async def read_block_schema(request: Request[None]) -> responses.BlockSchema:
    return await blocks.schema(request.context, request.path["id"])


@serves(endpoints.read_block_type)
async def read_block_type(request: Request[None]) -> responses.BlockType:
    return await blocks.type_(request.context, request.path["id"])


@serves(endpoints.read_block_type_by_slug)
async def read_block_type_by_slug(request: Request[None]) -> responses.BlockType:
    return await blocks.type_by_slug(request.context, request.path["slug"])


@serves(endpoints.create_block_document)
async def create_block_document(request: Request[requests.BlockDocumentCreate]) -> responses.BlockDocument:
    return await blocks.create_document(request.context, request.body)


@serves(endpoints.filter_block_documents)
async def filter_block_documents(
    request: Request[queries.BlockDocumentQuery],
) -> list[responses.BlockDocument]:
    query = request.body
    return await blocks.documents(request.context, query, *page(query.limit, query.offset))


@serves(endpoints.count_block_documents)
async def count_block_documents(request: Request[queries.BlockDocumentFilters]) -> int:
    return await blocks.count_documents(request.context, request.body)


@serves(endpoints.block_documents_of_type)
async def block_documents_of_type(request: Request[None]) -> list[responses.BlockDocument]:
    limit, _ = page(None)
    secrets = request.flag_query(SECRETS)
    return await blocks.documents_of_type(request.context, request.path["slug"], limit, secrets=secrets)


@serves(endpoints.update_block_document)
async def update_block_document(request: Request[requests.BlockDocumentUpdate]) -> None:
    await blocks.update_document(request.context, request.path["id"], request.body)


@serves(endpoints.delete_block_document)
async def delete_block_document(request: Request[None]) -> None:
    await blocks.delete_document(request.context, request.path["id"])


@serves(endpoints.create_block_schema)
async def create_block_schema(
    request: Request[requests.BlockSchemaCreate],
) -> Answer[responses.BlockSchema]:
    schema, new = await blocks.create_schema(request.context, request.body)
    return created(schema, new)


@serves(endpoints.read_block_schema_by_checksum)
async def read_block_schema_by_checksum(request: Request[None]) -> responses.BlockSchema:
    version = request.query.get("version")
    return await blocks.schema_by_checksum(request.context, request.path["checksum"], version)


@serves(endpoints.filter_block_schemas)
async def filter_block_schemas(request: Request[queries.BlockSchemaQuery]) -> list[responses.BlockSchema]:
    query = request.body
    return await blocks.schemas(request.context, query, *page(query.limit, query.offset))


@serves(endpoints.delete_block_schema)
async def delete_block_schema(request: Request[None]) -> None:
    await blocks.delete_schema(request.context, request.path["id"])


@serves(endpoints.create_block_type)
async def create_block_type(request: Request[requests.BlockTypeCreate]) -> responses.BlockType:
    return await blocks.create_type(request.context, request.body)


@serves(endpoints.filter_block_types)
async def filter_block_types(request: Request[queries.BlockTypeQuery]) -> list[responses.BlockType]:
    query = request.body
    return await blocks.types(request.context, query, *page(query.limit, query.offset))


@serves(endpoints.update_block_type)
async def update_block_type(request: Request[requests.BlockTypeUpdate]) -> None:
    await blocks.update_type(request.context, request.path["id"], request.body)


@serves(endpoints.delete_block_type)
async def delete_block_type(request: Request[None]) -> None:
    await blocks.delete_type(request.context, request.path["id"])


@serves(endpoints.install_system_block_types)
async def install_system_block_types(request: Request[None]) -> None:
    await blocks.install_system_types(request.context.store)


@serves(endpoints.block_capabilities)
async def block_capabilities(request: Request[None]) -> list[str]:
    return await blocks.capabilities(request.context)
