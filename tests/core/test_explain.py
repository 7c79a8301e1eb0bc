"""Each cause of waiting has its own text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from reeve.core.agents import Agent, AgentStatus
from reeve.core.attempts import Attempt, AttemptKind, AttemptState
from reeve.core.explain import Circumstances, explain
from reeve.core.runs import FlowRun, FlowRunPolicy, RetryType
from reeve.core.states import State, StateDetails, StateType
from reeve.core.work import Limit, WorkPool, WorkQueue

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = UUID(int=1)
POOL = WorkPool(id=ID, created=NOW, updated=NOW, name="pool", type="process")
QUEUE = WorkQueue(id=ID, created=NOW, updated=NOW, name="queue", work_pool_id=ID, work_pool_name="pool")
AGENT = Agent(
    id=ID,
    created=NOW,
    name="anna",
    host="farm",
    machine_id="m",
    boot_id="b",
    epoch=1,
    work_pool_id=ID,
    work_pool_name="pool",
    started=NOW,
    last_seen=NOW - timedelta(seconds=5),
)


def run(type_: StateType, due: timedelta = timedelta(), name: str | None = None, **fields: Any) -> FlowRun:
    details = StateDetails(scheduled_time=NOW + due)
    state = State(id=ID, type=type_, name=name or type_.capitalize(), timestamp=NOW, details=details)
    return FlowRun(
        id=ID,
        created=NOW,
        updated=NOW,
        name="r",
        flow_id=ID,
        state=replace(state, message=fields.pop("message", None)),
        next_scheduled_start_time=NOW + due if type_ is StateType.SCHEDULED else None,
        **fields,
    )


def attempt(**fields: Any) -> Attempt:
    return Attempt(
        **{
            "id": ID,
            "flow_run_id": ID,
            "number": 1,
            "kind": AttemptKind.LEASED,
            "state": AttemptState.LAUNCHED,
            "opened": NOW,
            "launched": NOW,
            **fields,
        }
    )


def due(**fields: Any) -> Circumstances:
    return Circumstances(
        **{"run": run(StateType.SCHEDULED), "pool": POOL, "queue": QUEUE, "serving": [AGENT], **fields}
    )


SILENT = replace(AGENT, status=AgentStatus.SILENT, last_seen=NOW - timedelta(seconds=90))

CAUSES: list[tuple[str, Circumstances, str]] = [
    ("not due", due(run=run(StateType.SCHEDULED, timedelta(seconds=90))), "It is due in 90 s"),
    ("no queue", due(pool=None, queue=None), "in no work queue"),
    ("pool paused", due(pool=replace(POOL, is_paused=True)), "Work pool 'pool' is paused."),
    (
        "queue paused",
        due(queue=replace(QUEUE, is_paused=True)),
        "Work queue 'queue' of pool 'pool' is paused.",
    ),
    ("limit full", due(limits=[Limit("work queue 'queue'", 2, 2)]), "2 of 2 slots are taken"),
    ("nobody serves", due(serving=[]), "No agent serves queue 'queue' of pool 'pool'."),
    ("silent", due(serving=[SILENT]), "'anna' on farm was last heard of 90 s ago"),
    (
        "in process",
        due(
            run=run(
                StateType.SCHEDULED,
                name="AwaitingRetry",
                empirical_policy=FlowRunPolicy(retry_type=RetryType.IN_PROCESS),
            )
        ),
        "waits for a retry in the process of the client",
    ),
    ("busy", due(serving=[replace(AGENT, limit=1)], ahead=3), "may be at their own limit: anna"),
    (
        "claimed",
        due(run=run(StateType.PENDING), attempt=attempt(launched=None), holder=AGENT),
        "It was claimed and is not launched yet.",
    ),
    (
        "unreachable",
        due(
            run=run(StateType.RUNNING),
            attempt=attempt(unreachable=True, lease_until=NOW - timedelta(seconds=40)),
            holder=AGENT,
        ),
        "its lease ended 40 s ago",
    ),
    (
        "foreign",
        due(run=run(StateType.RUNNING), attempt=attempt(kind=AttemptKind.FOREIGN)),
        "its death cannot be noticed",
    ),
    (
        "cancelling",
        due(run=run(StateType.CANCELLING, message="pid 7 does not end"), attempt=attempt(), holder=AGENT),
        "pid 7 does not end",
    ),
    (
        "next try",
        due(run=run(StateType.SCHEDULED, timedelta(seconds=9)), attempt=attempt(), holder=AGENT),
        "Its own process tries again at 2026-03-01 12:00:09 UTC.",
    ),
    ("paused", due(run=run(StateType.PAUSED)), "It waits to be resumed."),
    ("ended", due(run=run(StateType.FAILED, message="division by zero"), attempts=2), "division by zero"),
    ("orphan", due(run=run(StateType.RUNNING)), "outside of any attempt"),
]


@pytest.mark.parametrize(
    ("seen", "said"), [cause[1:] for cause in CAUSES], ids=[cause[0] for cause in CAUSES]
)
def test_each_cause_is_named(seen: Circumstances, said: str) -> None:
    account = explain(seen, NOW)
    assert any(said in reason for reason in account.reasons), account
    others = [text for _, _, text in CAUSES if text != said]
    assert not any(other in reason for other in others for reason in account.reasons), account


def test_a_due_run_that_nothing_holds_back_is_about_to_be_claimed() -> None:
    assert explain(due(), NOW).summary == "The run is due and is about to be claimed."


def test_remedies_are_commands() -> None:
    account = explain(due(pool=replace(POOL, is_paused=True), serving=[]), NOW)
    assert account.remedies == ["reeve pools resume pool", "reeve agent start -p pool -q queue"]
