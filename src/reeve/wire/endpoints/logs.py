"""Operations on log lines."""

from __future__ import annotations

from reeve.wire import queries, responses
from reeve.wire.endpoints.table import filtering

filter_logs = filtering("filter_logs", "/logs/filter", queries.LogQuery, responses.Log)
