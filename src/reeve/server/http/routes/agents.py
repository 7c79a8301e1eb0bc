"""Agents."""

from __future__ import annotations

from reeve.server.http.request import Request, serves
from reeve.server.services import agents
from reeve.wire import endpoints, requests, responses


@serves(endpoints.register_agent)
async def register_agent(request: Request[requests.Register]) -> responses.Registration:
    return await agents.register(request.context, request.body)


@serves(endpoints.poll_agent, held=True)
async def poll_agent(request: Request[requests.Poll]) -> responses.Work:
    return await agents.poll(request.context, request.path["id"], request.body)


@serves(endpoints.stop_agent)
async def stop_agent(request: Request[requests.Farewell]) -> None:
    await agents.stop(request.context, request.path["id"], request.body)


@serves(endpoints.read_agent)
async def read_agent(request: Request[None]) -> responses.AgentDetails:
    return await agents.read(request.context, request.path["id"])


@serves(endpoints.set_agent_mode)
async def set_agent_mode(request: Request[requests.SetMode]) -> responses.Agent:
    return await agents.set_mode(request.context, request.path["id"], request.body.mode)


@serves(endpoints.list_agents)
async def list_agents(request: Request[None]) -> list[responses.Agent]:
    return await agents.listing(request.context)
