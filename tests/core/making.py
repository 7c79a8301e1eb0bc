"""Runs and states as the tests of the core need them: few words, fixed ids and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings

from reeve.core.runs import FlowRun, TaskRun
from reeve.core.states import State, StateDetails, StateType, default_name

NOW = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)
RUN_ID, FLOW_ID, DEPLOYMENT_ID, TASK_ID = (UUID(int=number) for number in range(1, 5))
REFERENCE = {"type": "reference", "storage_key": "abc"}

# Figures of time say nothing about pure functions, and a busy machine must not fail them.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def state(
    type_: StateType,
    name: str | None = None,
    *,
    at: datetime = NOW - timedelta(minutes=1),
    message: str | None = None,
    data: Any = None,
    **details: Any,
) -> State:
    return State(
        id=UUID(int=9),
        type=type_,
        name=name or default_name(type_),
        timestamp=at,
        message=message,
        data=data,
        details=StateDetails(**details),
    )


def flow_run(of: State | StateType | None = None, **fields: Any) -> FlowRun:
    return FlowRun(
        id=RUN_ID,
        created=NOW,
        updated=NOW,
        name="brave-otter",
        flow_id=FLOW_ID,
        state=state(of) if isinstance(of, StateType) else of,
        **fields,
    )


def task_run(of: State | StateType | None = None, **fields: Any) -> TaskRun:
    return TaskRun(
        id=TASK_ID,
        created=NOW,
        updated=NOW,
        name="load-0",
        task_key="load",
        dynamic_key="0",
        state=state(of) if isinstance(of, StateType) else of,
        **{"flow_run_id": RUN_ID, **fields},
    )
