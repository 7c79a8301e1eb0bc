"""Limits of 2.20's second kind."""

from __future__ import annotations

from reeve.server.http.request import Request, serves
from reeve.server.services import limits
from reeve.wire import endpoints, requests, responses


@serves(endpoints.increment_slots)
async def increment_slots(request: Request[requests.Slots]) -> list[responses.MinimalConcurrencyLimit]:
    return await limits.increment(request.context, request.principal, request.body)


@serves(endpoints.decrement_slots)
async def decrement_slots(request: Request[requests.Slots]) -> list[responses.MinimalConcurrencyLimit]:
    return await limits.decrement(request.context, request.principal, request.body)
