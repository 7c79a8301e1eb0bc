"""Variables."""

from __future__ import annotations

from reeve.server.http.request import Request, serves
from reeve.server.services import variables
from reeve.wire import endpoints, responses


@serves(endpoints.read_variable)
async def read_variable(request: Request[None]) -> responses.Variable:
    return await variables.read_by_name(request.context, request.path["name"])
