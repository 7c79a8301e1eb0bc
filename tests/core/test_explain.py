"""Each cause of waiting has its own text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from reeve.core.agents import Agent, AgentMode, AgentStatus
from reeve.core.attempts import Attempt, AttemptKind, AttemptState
from reeve.core.deployments import Deployment
from reeve.core.explain import CauseKind, Circumstances, Occupied, Serving, explain
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


DEPLOYMENT = Deployment(id=ID, created=NOW, updated=NOW, flow_id=ID, name="d")


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


OWN = attempt(kind=AttemptKind.SELF, handle={"host": "farm", "pid": 7})


def due(**fields: Any) -> Circumstances:
    return Circumstances(
        **{
            "run": run(StateType.SCHEDULED),
            "pool": POOL,
            "queue": QUEUE,
            "serving": [Serving(AGENT)],
            **fields,
        }
    )


SILENT = replace(AGENT, status=AgentStatus.SILENT, last_seen=NOW - timedelta(seconds=90))

CAUSES: list[tuple[str, Circumstances, str]] = [
    ("not due", due(run=run(StateType.SCHEDULED, timedelta(seconds=90))), "It is due in 90 s"),
    ("no queue", due(pool=None, queue=None), "in no work queue"),
    (
        "pool paused",
        due(pool=replace(POOL, is_paused=True, paused_since=NOW)),
        "Work pool 'pool' is paused since 2026-03-01 12:00:00 UTC.",
    ),
    (
        "queue paused",
        due(queue=replace(QUEUE, is_paused=True)),
        "Work queue 'queue' of pool 'pool' is paused.",
    ),
    (
        "limit full",
        due(limits=[Occupied(Limit("work queue 'queue'", 7, 7), ["brave-owl", "shy-fox"])]),
        "7 of 7 slots are taken, held by brave-owl, shy-fox and 5 more.",
    ),
    ("limit of nothing", due(limits=[Occupied(Limit("work queue 'queue'", 0, 0))]), "is 0: nothing may run"),
    ("nobody serves", due(serving=[]), "No agent serves queue 'queue' of pool 'pool'."),
    ("silent", due(serving=[Serving(SILENT)]), "'anna' on farm was last heard of 90 s ago"),
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
    ("stopped", due(serving=[Serving(replace(SILENT, status=AgentStatus.STOPPED))]), "was stopped 90 s ago"),
    (
        "polled",
        due(serving=[], queue=replace(QUEUE, last_polled=NOW - timedelta(seconds=70))),
        "It was polled last 70 s ago.",
    ),
    (
        "agent full",
        due(serving=[Serving(replace(AGENT, limit=1), 1, ["brave-owl"])]),
        "Agent 'anna' is at its limit: 1 of 1 slots are taken, held by brave-owl.",
    ),
    (
        "agent paused",
        due(serving=[Serving(replace(AGENT, mode=AgentMode.PAUSED))]),
        "Agent 'anna' is paused.",
    ),
    (
        "no driver",
        due(serving=[Serving(AGENT, lacks="docker-container")]),
        "Agent 'anna' has no driver for 'docker-container': it launches process.",
    ),
    ("draining", due(serving=[Serving(replace(AGENT, mode=AgentMode.DRAINING))]), "'anna' is draining"),
    ("ahead", due(ahead=3), "3 due runs of its queue come first."),
    ("ahead elsewhere", due(ahead_elsewhere=1), "Ahead of it: 1 due run of a queue with a higher priority."),
    ("about to start", due(), "serves its queue and has free slots; it was heard of 5 s ago"),
    (
        "deployment paused",
        due(deployment=replace(DEPLOYMENT, paused=True, paused_since=NOW)),
        "Its deployment is paused since 2026-03-01 12:00:00 UTC",
    ),
    (
        "retry",
        due(run=run(StateType.SCHEDULED, timedelta(seconds=40), name="AwaitingRetry", run_count=1)),
        "It waits for its next try, due in 40 s",
    ),
    (
        "claimed",
        due(run=run(StateType.PENDING), attempt=attempt(launched=None), holder=AGENT),
        "It was claimed and has not started yet.",
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
    (
        "paused in its process",
        due(run=run(StateType.PAUSED), attempt=attempt(), holder=AGENT),
        "held by agent 'anna' on farm",
    ),
    ("called directly", due(run=run(StateType.RUNNING), attempt=OWN), "(pid 7 on farm)"),
    (
        "called directly and silent",
        due(
            run=run(StateType.RUNNING),
            attempt=replace(OWN, unreachable=True, lease_until=NOW - timedelta(seconds=40)),
        ),
        "its lease ended 40 s ago",
    ),
    ("ended", due(run=run(StateType.FAILED, message="division by zero"), attempts=2), "division by zero"),
    ("orphan", due(run=run(StateType.RUNNING)), "outside of any attempt"),
]


STARTED = {"foreign", "cancelling", "ended", "paused in its process", "called directly"}


@pytest.mark.parametrize(
    ("seen", "said"), [cause[1:] for cause in CAUSES], ids=[cause[0] for cause in CAUSES]
)
def test_each_cause_is_named(seen: Circumstances, said: str) -> None:
    account = explain(seen, NOW)
    sentences = [*account.notes, *(cause.sentence for cause in account.causes)]
    assert any(said in sentence for sentence in sentences), account


@pytest.mark.parametrize(
    ("name", "seen"), [cause[:2] for cause in CAUSES], ids=[cause[0] for cause in CAUSES]
)
def test_what_has_not_started_has_a_cause(name: str, seen: Circumstances) -> None:
    assert bool(explain(seen, NOW).causes) == (name not in STARTED)


def test_no_agent_is_blamed_while_another_can_take_the_run() -> None:
    idle = Serving(replace(AGENT, id=UUID(int=2), name="bert"))
    others = [Serving(replace(AGENT, limit=1), 1), Serving(replace(AGENT, mode=AgentMode.PAUSED))]
    account = explain(due(serving=[*others, idle]), NOW)
    assert [cause.kind for cause in account.causes] == [CauseKind.BEING_CLAIMED]
    assert "'bert'" in account.causes[0].sentence


def test_a_due_run_that_nothing_holds_back_is_about_to_be_claimed() -> None:
    assert explain(due(), NOW).summary == "The run is due and is about to be claimed."
    assert explain(due(ahead=2), NOW).summary == "The run is due and is about to be claimed."


def test_remedies_are_commands() -> None:
    account = explain(due(pool=replace(POOL, is_paused=True), serving=[]), NOW)
    assert account.remedies == ["reeve pools resume pool", "reeve agent start -p pool -q queue"]


def test_a_pause_is_ended_by_a_command() -> None:
    for held in (None, attempt()):
        account = explain(due(run=run(StateType.PAUSED), attempt=held), NOW)
        assert account.remedies == [f"reeve runs resume {ID}"]


def test_a_silent_process_has_no_agent_to_start() -> None:
    silent = replace(OWN, unreachable=True, lease_until=NOW - timedelta(seconds=40))
    account = explain(due(run=run(StateType.RUNNING), attempt=silent), NOW)
    assert account.summary == "The run's process is unreachable."
    assert account.remedies == [f"If its machine is gone: reeve runs cancel --force {ID}"]
