"""Operations on variables."""

from __future__ import annotations

from reeve.wire import responses
from reeve.wire.endpoints.table import RUN, Endpoint

read_variable: Endpoint[None, responses.Variable] = Endpoint(
    "read_variable", "GET", "/variables/name/{name}", None, responses.Variable, door=RUN
)
