"""Pauses: in the process and out of it, with inputs of many types."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import msgspec
import pydantic
import pytest
from tests.sdk.real import Real, real, shared

from reeve import (
    PauseTimedOutError,
    Secret,
    apause_flow_run,
    flow,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
    task,
)
from reeve.core.sealing import HIDDEN
from reeve.core.states import StateType
from reeve.errors import ConflictError, InvalidInputError
from reeve.sdk.context import NoActiveRunError
from reeve.sdk.states import RunAbortedError, RunStopped
from reeve.wire import endpoints, filters, queries, requests
from reeve.wire.responses import FlowRunResponse

__all__ = ["real", "shared"]  # fixtures


@dataclass
class Approval:
    by: str
    day: date = date(2026, 1, 31)


@dataclass
class Login:
    user: str
    password: Secret


class Account(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


class Struct(msgspec.Struct):
    rows: int


def paused(real: Real, flow_name: str) -> FlowRunResponse:
    """Wait until the run of a flow is paused."""
    query = queries.FlowRunQuery(
        flows=filters.FlowFilter(name=filters.Name(any_=[flow_name])),
        flow_runs=filters.FlowRunFilter(
            state=filters.StateCriterion(type=filters.StateTypes(any_=[StateType.PAUSED]))
        ),
    )
    deadline = time.monotonic() + 30
    while not (found := real.client.call(endpoints.filter_flow_runs, query)):
        assert time.monotonic() < deadline, f"no run of {flow_name} is paused"
        time.sleep(0.01)
    return found[0]


@pytest.fixture
def name() -> str:
    return f"pauses-{uuid4().hex[:8]}"


def test_a_flow_waits_in_its_process_and_goes_on(real: Real, name: str) -> None:
    @flow(name=name)
    def waits() -> list[Any]:
        first = pause_flow_run()
        second = pause_flow_run(Approval)
        return [first, second]

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(real.execute, waits)
        run = paused(real, name)
        assert run.state is not None
        assert run.state.state_details.pause_timeout is not None
        resume_flow_run(run.id)
        deadline = time.monotonic() + 30
        while (again := paused(real, name)).state_id == run.state_id:
            assert time.monotonic() < deadline
        with pytest.raises(InvalidInputError, match="parameter 'by' is required"):
            resume_flow_run(str(again.id))
        with pytest.raises(InvalidInputError, match="'day'"):
            resume_flow_run(again.id, {"by": "me", "day": "soon"})
        resume_flow_run(again.id, {"by": "me", "day": date(2026, 2, 1)})
        _, state = running.result(30)
    assert state.result() == [None, Approval(by="me", day=date(2026, 2, 1))]
    with pytest.raises(ConflictError, match="not paused"):
        resume_flow_run(run.id)


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [(Struct, {"rows": 3}, Struct(3)), (int, {"value": 4}, 4), (Approval, None, None)],
)
def test_inputs_of_many_types(real: Real, name: str, wanted: Any, given: Any, expected: Any) -> None:
    @flow(name=name)
    async def waits() -> Any:
        return [await apause_flow_run(wanted)]

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(real.execute, waits)
        run = paused(real, name)
        # As a 2.20 client does it, which checks nothing.
        real.client.call(endpoints.resume_flow_run, requests.Resume(run_input=given), id=run.id)
        state = running.result(30)[1]
    if expected is None:
        assert state.type is StateType.FAILED
        assert "must be a mapping with the fields of Approval" in (state.message or "")
    else:
        assert state.result() == [expected]


def test_the_schema_is_there_before_the_pause_is_seen(real: Real, name: str) -> None:
    @flow(name=name)
    def waits() -> Any:
        return pause_flow_run(Approval)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(real.execute, waits)
        run = paused(real, name)
        assert run.state is not None
        keyset = run.state.state_details.run_input_keyset
        assert keyset is not None
        schema = json.loads(real.client.call(endpoints.read_input, id=run.id, key=keyset["schema"]))
        assert (schema["type"], schema["required"]) == ("object", ["by"])
        assert schema["properties"]["day"]["format"] == "date"
        real.client.call(endpoints.cancel_flow_run, requests.CancelRun(force=True), id=run.id)
        with pytest.raises(RunStopped):
            running.result(30)


def test_a_pause_that_nobody_ends_fails_the_run(real: Real, name: str) -> None:
    raised: list[str] = []

    @flow(name=name)
    def waits() -> Any:
        try:
            pause_flow_run(timeout=0.1)
        except PauseTimedOutError as error:
            raised.append(str(error))
            raise

    with pytest.raises(RunStopped):  # the server has ended the run: there is nothing left to tell
        real.execute(waits)
    assert raised == ["The flow was paused and never resumed."]
    assert real.client.call(endpoints.filter_flow_runs, _failed(name))[0].state_type is StateType.FAILED


def _failed(name: str) -> queries.FlowRunQuery:
    return queries.FlowRunQuery(flows=filters.FlowFilter(name=filters.Name(any_=[name])))


def test_a_suspended_run_leaves_its_process_and_is_claimed_again(real: Real, name: str) -> None:
    begun: list[int] = []

    @flow(name=name)
    def waits() -> list[Any]:
        begun.append(1)
        return [suspend_flow_run(Approval)]

    with pytest.raises(RunStopped, match="is suspended"):
        real.execute(waits)
    run = paused(real, name)
    assert (run.state_name, real.held) == ("Suspended", [])
    resume_flow_run(run.id, {"by": "me"})
    assert real.run(run.id).state_name == "Resuming"
    state = real.go_on(run.id, waits)
    assert (state.result(), len(begun)) == ([Approval(by="me")], 2)


def test_where_there_is_nothing_to_pause(real: Real, name: str) -> None:
    @task
    def in_task() -> None:
        pause_flow_run()

    @flow(name=name)
    def holds() -> None:
        in_task()

    assert isinstance(real.execute(holds)[1].error, NoActiveRunError)
    with pytest.raises(NoActiveRunError):
        pause_flow_run()

    @flow
    def plain() -> None:
        pause_flow_run()

    with pytest.raises(NoActiveRunError, match="no server hears of"):
        plain()


def test_a_subflow_pauses_and_is_never_suspended(real: Real, name: str) -> None:
    @flow(name=f"{name}-sub")
    def sub(leaves: bool) -> Any:  # a parameter of a flow
        return suspend_flow_run() if leaves else pause_flow_run(int)

    @flow(name=name)
    def parent() -> list[Any]:
        try:
            sub(leaves=True)
        except RunAbortedError as refused:
            return [str(refused), sub(leaves=False)]
        return []

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(real.execute, parent)
        resume_flow_run(paused(real, f"{name}-sub").id, {"value": 5})
        refused, value = running.result(30)[1].result()
    assert ("Cannot suspend subflows." in refused, value) == (True, 5)


TEXT = "open sesame 4711"


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        (Login, {"user": "me", "password": TEXT}, Login("me", Secret(TEXT))),
        (Secret, {"value": Secret(TEXT)}, Secret(TEXT)),
        (
            Account,
            {"user": "me", "password": pydantic.SecretStr(TEXT)},
            Account(user="me", password=pydantic.SecretStr(TEXT)),
        ),
    ],
)
def test_what_is_secret_is_sealed(
    real: Real, name: str, wanted: Any, given: dict[str, Any], expected: Any
) -> None:
    @flow(name=name)
    def waits() -> Any:
        return [pause_flow_run(wanted)]

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(real.execute, waits)
        run = paused(real, name)
        assert run.state is not None
        keyset = run.state.state_details.run_input_keyset
        assert keyset is not None
        looks_sealed = requests.Resume(run_input={"$sealed": {}})
        with pytest.raises(InvalidInputError, match="the server's"):
            real.client.call(endpoints.resume_flow_run, looks_sealed, id=run.id)
        resume_flow_run(run.id, given)
        assert running.result(30)[1].result() == [expected]
    shown = real.client.call(endpoints.read_input, id=run.id, key=keyset["response"])
    assert json.loads(shown) == HIDDEN
    database = b"".join(file.read_bytes() for file in real.server.home.glob("*.db*"))
    assert keyset["response"].encode() in database
    assert TEXT.encode() not in database
