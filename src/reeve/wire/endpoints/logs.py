"""Operations on log lines."""

from __future__ import annotations

from reeve.wire import filters, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

create_logs: Endpoint[list[requests.LogCreate], None] = Endpoint(
    "create_logs", "POST", "/logs/", list[requests.LogCreate], None, 201, door=RUN
)
filter_logs = filtering("filter_logs", "/logs/filter", filters.LogQuery, responses.Log)
