"""Features that 2.20 has as experiments, and this server not at all (api-contract §4)."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.server.outside import Outside

EVENTS = ["POST /events", "POST /events/filter", "GET /events/filter/next", "POST /events/count-by/day"]
ID = UUID(int=7)
AUTOMATIONS = [
    "POST /automations/",
    "POST /automations/count",
    "POST /automations/filter",
    "DELETE /automations/owned-by/flow.1",
    "GET /automations/related-to/flow.1",
    *(f"{method} /automations/{ID}" for method in ("GET", "PATCH", "PUT", "DELETE")),
]


@pytest.mark.parametrize("operation", [*EVENTS, *AUTOMATIONS])
async def test_a_client_is_told_that_it_is_not_enabled(sqlite_api: Outside, operation: str) -> None:
    method, path = operation.split()
    answer = await sqlite_api.http.request(method, f"/api{path}", json={"name": 1})
    (key, sentence), *_ = answer.json().items()
    feature = "Events" if operation in EVENTS else "Automations"
    assert (answer.status_code, key) == (404, "detail")
    assert sentence.startswith(f"{feature} are not enabled. Please enable the PREFECT_EXPERIMENTAL_EVENTS ")
