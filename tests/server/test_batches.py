"""What is applied together is as if each had been applied by itself: the same rows, the same answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from tests.server.office import Desk, Office

from reeve.core.runs import FlowRun, FlowRunPolicy
from reeve.core.states import StateDetails, StateType
from reeve.core.states import propose as proposal
from reeve.errors import ConflictError, ReeveError
from reeve.server.services import attempts, batches, limits, runs, task_runs
from reeve.server.services.context import Principal
from reeve.server.services.proposals import Asked
from reeve.server.storage import flows
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import project, requests
from reeve.wire.codec import encode

# How a run lies in the database, each by its id. A statement for each table that a batch may write.
ROWS = (
    "select * from flow_runs where id = $1",
    "select * from flow_run_states where flow_run_id = $1 order by cursor",
    "select * from attempts where flow_run_id = $1 order by number",
    "select * from events where flow_run_id = $1 order by cursor",
    "select * from task_runs where flow_run_id = $1 order by dynamic_key",
    (
        "select * from task_run_states where task_run_id in (select id from task_runs where flow_run_id = $1)"
        " order by cursor"
    ),
    "select s.* from slots s join attempts t on t.id = s.attempt_id where t.flow_run_id = $1",
    "select * from artifacts where flow_run_id = $1",
    "select * from logs where flow_run_id = $1 order by cursor",
    "select * from flow_runs where parent_task_run_id in (select id from task_runs where flow_run_id = $1)",
)
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
# Times, and the seconds until LATER: one that is asked after the other may have one less to wait.
AT = re.compile(r"\b\d{15,}\b|(?<=_seconds\":)\d+|\d{4}-\d\d-\d\dT[\d:.+Z]+\d\d|\b\d+\.\d+(e-\d+)?\b")
LATER = datetime(2100, 1, 1, tzinfo=UTC)
RESULT = {"type": "reference", "serializer": {"type": "json"}, "storage_block_id": None, "storage_key": "k"}


class Matter(Struct, frozen=True, kw_only=True):
    """A run as far as it has come, and what is proposed for it or reported of it then."""

    stage: str
    inside: str
    retries: bool
    slot: bool
    proposed: StateType
    result: bool
    asking: str
    force: bool
    told: tuple[str, ...]
    first_seq: int


MATTERS = st.lists(
    st.builds(
        Matter,
        stage=st.sampled_from(
            [
                "scheduled",
                "claimed",
                "launched",
                *["running"] * 3,
                "completed",
                "failed",
                "cancelling",
                "closed",
            ]
        ),
        inside=st.sampled_from(["nothing", "nothing", "task", "ended task", "subflow"]),
        retries=st.booleans(),
        slot=st.booleans(),
        proposed=st.sampled_from([StateType.RUNNING, StateType.COMPLETED, *StateType]),
        result=st.booleans(),
        asking=st.sampled_from(["holder", "holder", "holder", "operator", "another", "nobody"]),
        force=st.sampled_from([False, False, False, True]),
        told=st.sampled_from(
            [("launched",), ("exited",), ("launched", "exited"), ("returned",), ("refused",), ("stuck",), ()]
        ),
        first_seq=st.sampled_from([1, 1, 2]),
    ),
    min_size=2,
    max_size=5,
)
often = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink is to make the runs again and again
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Made(Struct):
    """A run that was led to its stage."""

    run_id: UUID
    attempt_id: UUID | None
    names: dict[str, str]  # what its ids stand for


class Stage:
    """Leads runs to where matters begin; the agent is one for all of them."""

    def __init__(self, office: Office, agent: Desk) -> None:
        self.office = office
        self.agent = agent

    async def made(self, matters: list[Matter], times: int) -> list[list[Made]]:
        """Make the runs of all matters, so many times over."""
        asked = [[await self._run(matter) for matter in matters] for _ in range(times)]
        wanted = {
            run.id
            for several in asked
            for matter, run in zip(matters, several, strict=True)
            if matter.stage != "scheduled"
        }
        granted: dict[UUID, UUID] = {}
        while missing := wanted - granted.keys():  # what earlier batches left is granted too
            grants = (await self.agent.poll(len(missing))).grants
            granted.update({grant.run.id: grant.attempt_id for grant in grants})
        return [
            [
                await self._led(matter, run, granted.get(run.id))
                for matter, run in zip(matters, several, strict=True)
            ]
            for several in asked
        ]

    async def _run(self, matter: Matter) -> FlowRun:
        policy = FlowRunPolicy(retries=1) if matter.retries else None
        state = requests.StateCreate(
            type=StateType.SCHEDULED,
            state_details=StateDetails(scheduled_time=LATER if matter.stage == "scheduled" else None),
        )
        return await self.office.run(name="run", empirical_policy=policy, state=state)

    async def _led(self, matter: Matter, run: FlowRun, attempt_id: UUID | None) -> Made:
        made = Made(run.id, attempt_id, {str(run.id): "RUN", str(attempt_id): "ATTEMPT"})
        if attempt_id is None or matter.stage == "claimed":
            return made
        await self.agent.launched(attempt_id)
        if matter.stage == "launched":
            return made
        await self.office.propose(run.id, StateType.RUNNING, attempt_id)
        await self._fill(matter, run, attempt_id)
        match matter.stage:
            case "completed":
                await self.office.propose(run.id, StateType.COMPLETED, attempt_id)
            case "failed":
                await self.office.propose(run.id, StateType.FAILED, attempt_id)
            case "cancelling":
                await self.office.propose(run.id, StateType.CANCELLING)
            case "closed":
                await self.agent.exited(attempt_id)
        return made

    async def _fill(self, matter: Matter, run: FlowRun, attempt_id: UUID) -> None:
        ctx, holder = self.office.ctx, Principal(attempt_id)
        if matter.slot:
            await limits.increment(ctx, holder, requests.TakeSlots(names=["l"], slots=1))
        if matter.inside == "nothing":
            return
        ended = StateType.COMPLETED if matter.inside == "ended task" else StateType.RUNNING
        task, _ = await task_runs.create(
            ctx,
            holder,
            requests.TaskRunCreate(
                task_key="t",
                dynamic_key="0",
                name="t",
                flow_run_id=run.id,
                state=requests.StateCreate(type=ended),
            ),
        )
        if matter.inside == "subflow":
            body = requests.FlowRunCreate(flow_id=self.office.flow_id, parent_task_run_id=task.id, name="sub")
            await runs.create_flow_run(ctx, holder, body, None)


async def rows_of(store: Store, made: Made) -> list[str]:
    """Return all that lies in the database about a run, without ids and times."""

    async def read(tx: Transaction) -> list[str]:
        return [
            told(dict(cast("Any", row)), made)
            for statement in ROWS
            for row in await tx.fetch(statement, made.run_id)
        ]

    return await store.read(read)


def told(value: Any, made: Made) -> str:
    """Return a value as text; ids that are known by their names, others and times as such."""
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if name not in {"cursor", "grant_number"}}
    text = str({name: str(each) for name, each in value.items()} if isinstance(value, dict) else value)
    text = ID.sub(lambda found: made.names.get(found[0], "ID"), text)
    return AT.sub("AT", text)


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    store = await open_store(database_url)
    office = await Office(store).furnish(crash_retries=1)
    await limits.create(office.ctx, requests.SlotLimitCreate(name="l", limit=1000))
    yield Stage(office, await office.agent())
    await store.close()


@often
@given(matters=MATTERS)
async def test_states_that_are_proposed_together(stage: Stage, matters: list[Matter]) -> None:
    ctx = stage.office.ctx
    alone, together = await stage.made(matters, 2)
    singly: list[Any] = []
    for matter, made in zip(matters, alone, strict=True):
        try:
            singly.append(await runs.propose(ctx, proposed(matter, made)))
        except ReeveError as error:
            singly.append(error)
    at_once = await runs.propose_all(ctx, [*map(proposed, matters, together)])
    for matter, one, other, first, second in zip(matters, singly, at_once, alone, together, strict=True):
        assert decided(one, first) == decided(other, second), matter
        assert await rows_of(ctx.store, first) == await rows_of(ctx.store, second), matter


def proposed(matter: Matter, made: Made) -> Asked:
    by = {"holder": made.attempt_id, "operator": None, "another": uuid4(), "nobody": UUID(int=0)}
    state = proposal(matter.proposed, data=RESULT if matter.result else None)
    return Asked(Principal(by[matter.asking]), made.run_id, state, matter.force)


def decided(outcome: Any, made: Made) -> str:
    """Return what was answered, as text."""
    if isinstance(outcome, BaseException):
        return told(repr(outcome), made)
    return told(encode(project.orchestration(outcome.verdict, outcome.state)).decode(), made)


@often
@given(matters=MATTERS)
async def test_reports_that_are_sent_together(stage: Stage, matters: list[Matter]) -> None:
    alone, together = await stage.made([matter for matter in matters if matter.stage != "scheduled"], 2)
    matters = [matter for matter in matters if matter.stage != "scheduled"]
    singly = [await reported(stage, [matter], [made]) for matter, made in zip(matters, alone, strict=True)]
    at_once = await reported(stage, matters, together)
    assert [receipt for receipts in singly for receipt in receipts] == at_once, matters
    for matter, first, second in zip(matters, alone, together, strict=True):
        store = stage.office.ctx.store
        assert await rows_of(store, first) == await rows_of(store, second), matter


async def reported(stage: Stage, matters: list[Matter], all_: list[Made]) -> list[tuple[int, bool]]:
    told = [
        requests.AttemptReports(
            id=made.attempt_id or uuid4(),
            reports=[report(kind, seq) for seq, kind in enumerate(matter.told, start=matter.first_seq)],
        )
        for matter, made in zip(matters, all_, strict=True)
    ]
    body = requests.Reports(epoch=stage.agent.epoch, attempts=told)
    return [(each.next_seq, each.closed) for each in await attempts.report(stage.office.ctx, body)]


def report(kind: str, seq: int) -> requests.AnyReport:
    """Return a report with a word for the run's log."""
    notes = [requests.Note(level=20, message=kind, at=LATER)]
    match kind:
        case "launched":
            return requests.Launched(seq=seq, notes=notes, handle={"pid": 1}, infrastructure_pid="h:1")
        case "exited":
            return requests.Exited(seq=seq, notes=notes, cause="exited with code 0", exit_code=0)
        case "stuck":
            return requests.StopFailed(seq=seq, notes=notes, reason="it stays")
    return requests.NotLaunched(seq=seq, notes=notes, reason="no room", permanent=kind == "refused")


async def test_what_one_has_written_before_it_failed_is_not_kept(stage: Stage) -> None:
    """The others are applied nevertheless, and it says itself what was wrong."""
    store = stage.office.ctx.store
    bad = uuid4()

    async def prepare(_tx: Transaction, _all: Sequence[UUID]) -> Callable[[UUID], bool]:
        return lambda _: True

    async def apply(tx: Transaction, id_: UUID) -> UUID:
        await tx.execute(
            "insert into flows (id, created, updated, name, tags) values ($1, 0, 0, $2, '[]')", id_, str(id_)
        )
        if id_ == bad:
            raise ConflictError("not this one")
        return id_

    good = [uuid4(), uuid4()]
    outcomes = await batches.each(store, [good[0], bad, good[1]], prepare, apply)
    assert (outcomes[0], outcomes[2]) == (good[0], good[1])
    assert isinstance(outcomes[1], ConflictError)
    found = await store.read(lambda tx: flows.by_ids(tx, [*good, bad]))
    assert found.keys() == {*good}
