"""Saved searches."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Answer, Request, created, serves
from reeve.server.services import saved_searches
from reeve.wire import endpoints, queries, requests, responses


@serves(endpoints.put_saved_search)
async def put_saved_search(
    request: Request[requests.SavedSearchCreate],
) -> Answer[responses.SavedSearch]:
    return created(*await saved_searches.put(request.context, request.body))


@serves(endpoints.read_saved_search)
async def read_saved_search(request: Request[None]) -> responses.SavedSearch:
    return await saved_searches.read(request.context, request.path["id"])


@serves(endpoints.delete_saved_search)
async def delete_saved_search(request: Request[None]) -> None:
    await saved_searches.delete(request.context, request.path["id"])


@serves(endpoints.filter_saved_searches)
async def filter_saved_searches(request: Request[queries.Page]) -> list[responses.SavedSearch]:
    query = request.body
    return await saved_searches.listing(request.context, *page(query.limit, query.offset))
