"""Operations on limits of 2.20's second kind."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Door, Endpoint, filtering

ONE = "/v2/concurrency_limits/{id_or_name}"

increment_slots: Endpoint[requests.TakeSlots, list[responses.MinimalConcurrencyLimit]] = Endpoint(
    "increment_slots",
    "POST",
    "/v2/concurrency_limits/increment",
    requests.TakeSlots,
    list[responses.MinimalConcurrencyLimit],
    door=RUN,
    refusals=(423,),
)
decrement_slots: Endpoint[requests.GiveSlots, list[responses.MinimalConcurrencyLimit]] = Endpoint(
    "decrement_slots",
    "POST",
    "/v2/concurrency_limits/decrement",
    requests.GiveSlots,
    list[responses.MinimalConcurrencyLimit],
    door=RUN,
)
create_slot_limit: Endpoint[requests.SlotLimitCreate, responses.NewSlotLimit] = Endpoint(
    "create_slot_limit",
    "POST",
    "/v2/concurrency_limits/",
    requests.SlotLimitCreate,
    responses.NewSlotLimit,
    201,
)
read_slot_limit: Endpoint[None, responses.SlotLimit] = Endpoint(
    "read_slot_limit", "GET", ONE, None, responses.SlotLimit
)
update_slot_limit: Endpoint[requests.SlotLimitUpdate, None] = Endpoint(
    "update_slot_limit", "PATCH", ONE, requests.SlotLimitUpdate, None, 204
)
delete_slot_limit: Endpoint[None, None] = Endpoint("delete_slot_limit", "DELETE", ONE, None, None, 204)
filter_slot_limits = filtering(
    "filter_slot_limits",
    "/v2/concurrency_limits/filter",
    queries.Page,
    responses.SlotLimit,
    Door.OPERATOR,
)
