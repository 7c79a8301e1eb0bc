"""Log lines."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import find, logs
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_logs)
async def create_logs(request: Request[list[requests.LogCreate]]) -> None:
    await logs.create(request.context, request.principal, request.body)


@serves(endpoints.filter_logs)
async def filter_logs(request: Request[queries.LogQuery]) -> list[responses.Log]:
    query = request.body
    found = await find.logs(request.context, query, *page(query.limit, query.offset))
    return [project.log(line) for line in found]
