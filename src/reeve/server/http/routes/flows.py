"""Flows."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Answer, Request, created, serves
from reeve.server.services import figures, find, flows
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_flow)
async def create_flow(request: Request[requests.FlowCreate]) -> Answer[responses.Flow]:
    flow, new = await flows.create(request.context, request.body)
    return created(project.flow(flow), new)


@serves(endpoints.read_flow)
async def read_flow(request: Request[None]) -> responses.Flow:
    return project.flow(await flows.read(request.context, request.path["id"]))


@serves(endpoints.read_flow_by_name)
async def read_flow_by_name(request: Request[None]) -> responses.Flow:
    return project.flow(await flows.read_by_name(request.context, request.path["name"]))


@serves(endpoints.filter_flows)
async def filter_flows(request: Request[queries.FlowQuery]) -> list[responses.Flow]:
    query = request.body
    found = await find.flows(request.context, query, *page(query.limit, query.offset))
    return [project.flow(flow) for flow in found]


@serves(endpoints.update_flow)
async def update_flow(request: Request[requests.FlowUpdate]) -> None:
    await flows.update(request.context, request.path["id"], request.body)


@serves(endpoints.delete_flow)
async def delete_flow(request: Request[None]) -> None:
    await flows.delete(request.context, request.path["id"])


@serves(endpoints.count_flows)
async def count_flows(request: Request[queries.FlowFilters]) -> int:
    return await figures.flows(request.context, request.body)
