"""Tasks that are judged in the process: told in order and completely, handed over where others decide."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.acceptance.house import until

from reeve.client.calls import ServerUnreachableError
from reeve.core.runs import TaskRunPolicy
from reeve.core.states import StateType, propose
from reeve.errors import AttemptSupersededError, ConflictError
from reeve.sdk.engine import ledger
from reeve.sdk.engine.own_tasks import OwnTasks
from reeve.sdk.engine.run import Accepted, Rejected, TaskRunSpec
from reeve.sdk.states import RunStopped
from reeve.wire import requests, responses

FLOW_RUN = uuid4()
RUNNING = propose(StateType.RUNNING)
COMPLETED = propose(StateType.COMPLETED)


class Ear:
    """A server that hears batches; ``trouble`` is raised instead, one after the other."""

    def __init__(self, *trouble: Exception) -> None:
        self.trouble = list(trouble)
        self.heard: list[requests.TaskRunReports] = []
        self.halted: list[UUID] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, body: requests.TaskRunReports) -> responses.TaskRunReceipt:
        self.open.wait(20)
        if self.trouble:
            raise self.trouble.pop(0)
        self.heard.append(body)
        return responses.TaskRunReceipt(halted=self.halted)

    def states(self) -> list[tuple[UUID, str]]:
        return [(one.task_run_id, one.name) for body in self.heard for one in body.entered]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_RETRY_SECONDS", 0.01)


def spec(position: int = 0, **more: Any) -> TaskRunSpec:
    usual = {"name": "t", "key": "k", "flow_run_id": FLOW_RUN, "policy": TaskRunPolicy(retries=1)}
    given: dict[str, Any] = {**usual, **more}
    return TaskRunSpec(position=str(position), **given)


def begun(ear: Callable[[requests.TaskRunReports], responses.TaskRunReceipt]) -> OwnTasks:
    own = OwnTasks(ear, [FLOW_RUN])
    own.flow_run_entered(FLOW_RUN, RUNNING)
    return own


def test_all_is_told_in_order_over_an_outage() -> None:
    ear = Ear(ServerUnreachableError(), ServerUnreachableError())
    own = begun(ear)
    ids = []
    for position in range(1200):
        ids.append(own.open(spec(position)).id)
        assert isinstance(own.propose(ids[-1], RUNNING), Accepted)
        assert isinstance(own.propose(ids[-1], COMPLETED), Accepted)
    own.ledger.flush()
    assert ear.states() == [(id_, name) for id_ in ids for name in ("Pending", "Running", "Completed")]
    assert [one.id for body in ear.heard for one in body.made] == ids
    assert not own._flow_runs, "what has ended is forgotten"
    assert not own._rules._task_runs
    own.ledger.close(20)


def test_retries_are_judged_by_the_rules() -> None:
    ear = Ear()
    own = begun(ear)
    id_ = own.open(spec()).id
    own.propose(id_, RUNNING)
    again = own.propose(id_, propose(StateType.FAILED))
    assert isinstance(again, Rejected)
    assert (again.state.name, again.state.details.flow_run_id) == ("AwaitingRetry", FLOW_RUN)
    own.propose(id_, RUNNING)
    assert isinstance(own.propose(id_, propose(StateType.FAILED)), Accepted)
    own.ledger.close(20)
    assert [name for _, name in ear.states()] == ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]


def test_what_the_server_alone_knows_is_not_judged_here() -> None:
    own = begun(Ear())
    assert own.takes(spec())
    assert not own.takes(spec(tags=["db"]))
    assert not own.takes(spec(shelf=object()))
    assert not own.takes(spec(flow_run_id=uuid4()))
    own.flow_run_entered(FLOW_RUN, propose(StateType.SCHEDULED, name="AwaitingRetry"))
    own.flow_run_entered(FLOW_RUN, propose(StateType.RUNNING, name="Retrying"))
    assert not own.takes(spec()), "an earlier try may have left a result"


def test_starts_in_a_halted_flow_run_are_the_servers() -> None:
    ear = Ear()
    own = begun(ear)
    first, second = own.open(spec(0)).id, own.open(spec(1)).id
    own.propose(first, RUNNING)
    ear.halted = [FLOW_RUN]
    own.ledger.flush()
    own.open(spec(2))
    own.ledger.flush()
    assert not own.judges(second, RUNNING)
    assert own.judges(first, COMPLETED), "what has begun ends as it does"
    own.hand_over(second)
    assert not own.judges(second, COMPLETED)
    own.goes_on()
    assert own.judges(own.open(spec(3)).id, RUNNING)
    own.ledger.close(20)


def test_a_result_is_kept_only_once_the_server_knows_of_it() -> None:
    ear = Ear()
    own = begun(ear)
    id_ = own.open(spec()).id
    own.propose(id_, RUNNING)
    own.propose(id_, propose(StateType.COMPLETED, data={"type": "reference", "storage_key": "x"}))
    assert ear.states()[-1] == (id_, "Completed")
    own.ledger.close(20)


@pytest.mark.parametrize(
    ("trouble", "raised"), [(AttemptSupersededError(), RunStopped), (ConflictError("no"), ConflictError)]
)
def test_who_goes_on_hears_of_a_refusal(trouble: Exception, raised: type[BaseException]) -> None:
    own = begun(Ear(trouble))
    own.open(spec())
    with pytest.raises(raised):
        own.ledger.flush()
    with pytest.raises(raised):
        own.open(spec(1))
    own.ledger.close(1)


def test_tasks_wait_when_too_much_is_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MOST_WAITING", 10)
    ear = Ear()
    ear.open.clear()
    own = begun(ear)
    opened: list[int] = []

    def opens() -> None:
        for position in range(20):
            own.open(spec(position))
            opened.append(position)

    thread = threading.Thread(target=opens)
    thread.start()
    until("the ledger to be full", lambda: own.ledger.is_full)
    assert own.waits()
    assert len(opened) <= 5
    ear.open.set()
    thread.join(20)
    own.ledger.close(20)
    assert len(ear.states()) == 20


def test_entries_do_not_wait_for_company_when_somebody_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "GATHER_SECONDS", 60)
    own = begun(Ear())
    own.open(spec())
    began = time.monotonic()
    own.ledger.flush()
    assert time.monotonic() - began < 30
    own.ledger.close(20)
