"""Limits of 2.20's second kind."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import limits
from reeve.wire import endpoints, queries, requests, responses


@serves(endpoints.increment_slots)
async def increment_slots(request: Request[requests.TakeSlots]) -> list[responses.MinimalConcurrencyLimit]:
    return await limits.increment(request.context, request.principal, request.body)


@serves(endpoints.decrement_slots)
async def decrement_slots(request: Request[requests.GiveSlots]) -> list[responses.MinimalConcurrencyLimit]:
    return await limits.decrement(request.context, request.principal, request.body)


@serves(endpoints.create_slot_limit)
async def create_slot_limit(request: Request[requests.SlotLimitCreate]) -> responses.NewSlotLimit:
    return await limits.create(request.context, request.body)


@serves(endpoints.read_slot_limit)
async def read_slot_limit(request: Request[None]) -> responses.SlotLimit:
    return await limits.read(request.context, request.path["id_or_name"])


@serves(endpoints.update_slot_limit)
async def update_slot_limit(request: Request[requests.SlotLimitUpdate]) -> None:
    await limits.update(request.context, request.path["id_or_name"], request.body)


@serves(endpoints.delete_slot_limit)
async def delete_slot_limit(request: Request[None]) -> None:
    await limits.delete(request.context, request.path["id_or_name"])


@serves(endpoints.filter_slot_limits)
async def filter_slot_limits(request: Request[queries.Page]) -> list[responses.SlotLimit]:
    query = request.body
    return await limits.listing(request.context, *page(query.limit, query.offset))
