"""Operations on flow runs' inputs."""

from __future__ import annotations

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint

create_input: Endpoint[requests.FlowRunInputCreate, None] = Endpoint(
    "create_input", "POST", "/flow_runs/{id}/input", requests.FlowRunInputCreate, None, 201, door=RUN
)
filter_inputs: Endpoint[requests.FlowRunInputFilter, list[responses.FlowRunInput]] = Endpoint(
    "filter_inputs",
    "POST",
    "/flow_runs/{id}/input/filter",
    requests.FlowRunInputFilter,
    list[responses.FlowRunInput],
    door=RUN,
)
read_input: Endpoint[None, bytes] = Endpoint(
    "read_input", "GET", "/flow_runs/{id}/input/{key}", None, bytes, door=RUN
)
delete_input: Endpoint[None, None] = Endpoint(
    "delete_input", "DELETE", "/flow_runs/{id}/input/{key}", None, None, 204, door=RUN
)
