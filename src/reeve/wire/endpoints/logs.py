"""Operations on log lines."""

from __future__ import annotations

from reeve.wire import filters, responses
from reeve.wire.endpoints.table import filtering

filter_logs = filtering("filter_logs", "/logs/filter", filters.LogQuery, responses.Log)
