"""When an agent calls itself ready, and how it writes its figures."""

from __future__ import annotations

from typing import Any

import pytest

from reeve.agent.status import Status, metrics
from reeve.core.agents import AgentMode


def status(**fields: Any) -> Status:
    whole: dict[str, Any] = {
        "name": "a",
        "version": "0",
        "server": "http://server/api",
        "pool": "p",
        "queues": [],
        "prefixes": [],
        "mode": AgentMode.RUNNING,
        "is_stopping": False,
        "slots": 4,
        "free": 1,
        "runs": [],
        "ended": 7,
        "failed": 2,
        "spool_bytes": 4096,
        "spool_limit": 1 << 20,
        "lost_bytes": 0,
        "polls": 9,
        "since_poll": 3.0,
        "poll_seconds": 25.0,
    }
    return Status(**{**whole, **fields})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, None),
        ({"since_poll": 39.0}, None),
        ({"since_poll": 41.0}, "41 s ago"),
        ({"since_poll": None}, "no answer from http://server/api yet"),
        ({"is_stopping": True}, "stopping"),
    ],
)
def test_readiness_is_that_of_answered_polls(fields: dict[str, Any], why: str | None) -> None:
    unready = status(**fields).unready
    assert (unready is None) == (why is None)
    assert why is None or why in (unready or "")


def test_figures_are_typed_and_explained() -> None:
    lines = list(metrics(status(since_poll=None, mode=AgentMode.PAUSED)))
    assert "reeve_agent_slots 4" in lines
    assert "reeve_agent_runs_ended_total 7" in lines
    assert "reeve_agent_paused 1" in lines
    assert "reeve_agent_ready 0" in lines
    assert "reeve_agent_spool_bytes 4096" in lines
    assert "# TYPE reeve_agent_output_lost_bytes_total counter" in lines
    assert "# TYPE reeve_agent_runs_ended_total counter" in lines
    assert not any("since_poll" in line for line in lines)
