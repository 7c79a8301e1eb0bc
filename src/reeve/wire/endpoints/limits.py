"""Operations on concurrency limits."""

from __future__ import annotations

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint

increment_slots: Endpoint[requests.Slots, list[responses.MinimalConcurrencyLimit]] = Endpoint(
    "increment_slots",
    "POST",
    "/v2/concurrency_limits/increment",
    requests.Slots,
    list[responses.MinimalConcurrencyLimit],
    door=RUN,
)
decrement_slots: Endpoint[requests.Slots, list[responses.MinimalConcurrencyLimit]] = Endpoint(
    "decrement_slots",
    "POST",
    "/v2/concurrency_limits/decrement",
    requests.Slots,
    list[responses.MinimalConcurrencyLimit],
    door=RUN,
)
