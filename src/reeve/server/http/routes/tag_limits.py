"""Limits on the tags of task runs."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import tag_limits
from reeve.wire import endpoints, queries, requests, responses


@serves(endpoints.create_tag_limit)
async def create_tag_limit(request: Request[requests.TagLimitCreate]) -> responses.TagLimit:
    return await tag_limits.put(request.context, request.body)


@serves(endpoints.read_tag_limit)
async def read_tag_limit(request: Request[None]) -> responses.TagLimit:
    return await tag_limits.read(request.context, request.path["id"])


@serves(endpoints.read_tag_limit_by_tag)
async def read_tag_limit_by_tag(request: Request[None]) -> responses.TagLimit:
    return await tag_limits.read(request.context, request.path["tag"])


@serves(endpoints.reset_tag_limit)
async def reset_tag_limit(request: Request[requests.TagLimitReset]) -> None:
    await tag_limits.reset(request.context, request.path["tag"], request.body)


@serves(endpoints.delete_tag_limit)
async def delete_tag_limit(request: Request[None]) -> None:
    await tag_limits.delete(request.context, request.path["id"])


@serves(endpoints.delete_tag_limit_by_tag)
async def delete_tag_limit_by_tag(request: Request[None]) -> None:
    await tag_limits.delete(request.context, request.path["tag"])


@serves(endpoints.filter_tag_limits)
async def filter_tag_limits(request: Request[queries.Page]) -> list[responses.TagLimit]:
    query = request.body
    return await tag_limits.listing(request.context, *page(query.limit, query.offset))
