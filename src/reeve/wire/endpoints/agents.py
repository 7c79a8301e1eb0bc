"""Operations on agents (protocol §6)."""

from __future__ import annotations

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import Endpoint

register_agent: Endpoint[requests.Register, responses.Registration] = Endpoint(
    "register_agent", "POST", "/agents/register", requests.Register, responses.Registration, dialect=False
)
poll_agent: Endpoint[requests.Poll, responses.Work] = Endpoint(
    "poll_agent", "POST", "/agents/{id}/poll", requests.Poll, responses.Work, dialect=False
)
stop_agent: Endpoint[requests.Farewell, None] = Endpoint(
    "stop_agent", "POST", "/agents/{id}/stop", requests.Farewell, None, 204, dialect=False
)
read_agent: Endpoint[None, responses.AgentDetails] = Endpoint(
    "read_agent", "GET", "/agents/{id}", None, responses.AgentDetails, dialect=False
)
set_agent_mode: Endpoint[requests.SetMode, responses.Agent] = Endpoint(
    "set_agent_mode", "POST", "/agents/{id}/mode", requests.SetMode, responses.Agent, dialect=False
)
list_agents: Endpoint[None, list[responses.Agent]] = Endpoint(
    "list_agents", "GET", "/agents", None, list[responses.Agent], dialect=False
)
