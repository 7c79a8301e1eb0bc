"""Inputs of flow runs."""

from __future__ import annotations

from reeve.server.http.request import Request, serves
from reeve.server.services import inputs
from reeve.wire import endpoints, requests, responses


@serves(endpoints.create_input)
async def create_input(request: Request[requests.FlowRunInputCreate]) -> None:
    await inputs.create(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.filter_inputs)
async def filter_inputs(request: Request[requests.FlowRunInputFilter]) -> list[responses.FlowRunInput]:
    return await inputs.listing(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.read_input)
async def read_input(request: Request[None]) -> bytes:
    return await inputs.read(request.context, request.principal, request.path["id"], request.path["key"])


@serves(endpoints.delete_input)
async def delete_input(request: Request[None]) -> None:
    await inputs.delete(request.context, request.principal, request.path["id"], request.path["key"])
