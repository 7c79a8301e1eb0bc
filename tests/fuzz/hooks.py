"""What schemathesis is to do otherwise, loaded by its own process."""

from __future__ import annotations

from typing import Any

import schemathesis

WAITING = {"poll_agent", "follow_flow_run"}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Have nothing held open: an answer may wait half a minute for news, and here there are none to come."""
    if case.operation.definition.raw["operationId"] in WAITING and isinstance(case.body, dict):
        case.body["hold_seconds"] = 0.0
