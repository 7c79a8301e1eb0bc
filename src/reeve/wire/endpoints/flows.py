"""Operations on flows."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

read_flow: Endpoint[None, responses.Flow] = Endpoint(
    "read_flow", "GET", "/flows/{id}", None, responses.Flow, door=RUN
)
read_flow_by_name: Endpoint[None, responses.Flow] = Endpoint(
    "read_flow_by_name", "GET", "/flows/name/{name}", None, responses.Flow, door=RUN
)
filter_flows = filtering("filter_flows", "/flows/filter", queries.FlowQuery, responses.Flow)
update_flow: Endpoint[requests.FlowUpdate, None] = Endpoint(
    "update_flow", "PATCH", "/flows/{id}", requests.FlowUpdate, None, 204
)
delete_flow: Endpoint[None, None] = Endpoint("delete_flow", "DELETE", "/flows/{id}", None, None, 204)
count_flows: Endpoint[queries.FlowFilters, int] = Endpoint(
    "count_flows", "POST", "/flows/count", queries.FlowFilters, int, door=RUN, body_optional=True
)
