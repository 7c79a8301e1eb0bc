"""Blocks, to be read."""

from __future__ import annotations

from reeve.server.http.request import Request, serves
from reeve.server.services import blocks
from reeve.wire import endpoints, responses

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
