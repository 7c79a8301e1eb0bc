"""Variables, by name or by id."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import find, variables
from reeve.wire import endpoints, queries, requests, responses


@serves(endpoints.create_variable)
async def create_variable(request: Request[requests.VariableCreate]) -> responses.Variable:
    return await variables.create(request.context, request.principal, request.body)


@serves(endpoints.read_variable)
async def read_variable(request: Request[None]) -> responses.Variable:
    return await variables.read(request.context, request.path["name"])


@serves(endpoints.read_variable_by_id)
async def read_variable_by_id(request: Request[None]) -> responses.Variable:
    return await variables.read(request.context, request.path["id"])


@serves(endpoints.update_variable)
async def update_variable(request: Request[requests.VariableUpdate]) -> None:
    await variables.update(request.context, request.principal, request.path["name"], request.body)


@serves(endpoints.update_variable_by_id)
async def update_variable_by_id(request: Request[requests.VariableUpdate]) -> None:
    await variables.update(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.delete_variable)
async def delete_variable(request: Request[None]) -> None:
    await variables.delete(request.context, request.path["name"])


@serves(endpoints.delete_variable_by_id)
async def delete_variable_by_id(request: Request[None]) -> None:
    await variables.delete(request.context, request.path["id"])


@serves(endpoints.filter_variables)
async def filter_variables(request: Request[queries.VariableQuery]) -> list[responses.Variable]:
    query = request.body
    return await find.variables_(request.context, query, *page(query.limit, query.offset))


@serves(endpoints.count_variables)
async def count_variables(request: Request[queries.VariableFilters]) -> int:
    return await find.count_variables(request.context, request.body)
