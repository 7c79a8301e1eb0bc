"""Operations on flows."""

from __future__ import annotations

from reeve.wire import filters, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

create_flow: Endpoint[requests.FlowCreate, responses.Flow] = Endpoint(
    "create_flow", "POST", "/flows/", requests.FlowCreate, responses.Flow, 201, door=RUN
)
read_flow: Endpoint[None, responses.Flow] = Endpoint(
    "read_flow", "GET", "/flows/{id}", None, responses.Flow, door=RUN
)
read_flow_by_name: Endpoint[None, responses.Flow] = Endpoint(
    "read_flow_by_name", "GET", "/flows/name/{name}", None, responses.Flow, door=RUN
)
filter_flows = filtering("filter_flows", "/flows/filter", filters.FlowQuery, responses.Flow)
