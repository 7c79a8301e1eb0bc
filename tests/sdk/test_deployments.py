"""Runs of deployments that user code asks for and waits for."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.sdk.real import Real, real, shared

from reeve import arun_deployment, flow, run_deployment, task
from reeve.core.states import StateType
from reeve.errors import InvalidInputError, NotFoundError
from reeve.wire import endpoints, filters, queries, requests
from reeve.wire.responses import FlowRunResponse

__all__ = ["real", "shared"]  # fixtures


@pytest.fixture
def child(real: Real) -> str:
    """A deployment that no agent of this test serves: the test itself ends its runs."""
    flow_name = f"child-{uuid4().hex[:8]}"
    of = real.client.call(endpoints.create_flow, requests.FlowCreate(name=flow_name))
    body = requests.DeploymentCreate(name="d", flow_id=of.id, parameters={"x": 1})
    real.client.call(endpoints.create_deployment, body)
    return f"{flow_name}/d"


def runs_of(real: Real, deployment: str) -> list[FlowRunResponse]:
    flow_name = filters.FlowFilter(name=filters.Name(any_=[deployment.partition("/")[0]]))
    return real.client.call(endpoints.filter_flow_runs, queries.FlowRunQuery(flows=flow_name))


def appeared(real: Real, deployment: str, number: int = 1) -> list[FlowRunResponse]:
    deadline = time.monotonic() + 30
    while len(found := runs_of(real, deployment)) < number:
        assert time.monotonic() < deadline, f"there are {len(found)} runs of {deployment}"
        time.sleep(0.01)
    return found


def end(real: Real, run: UUID, type_: StateType) -> None:
    """Be the engine of a run."""
    for one in (StateType.RUNNING, type_):
        body = requests.SetState(state=requests.StateCreate(type=one))
        assert real.client.call(endpoints.set_flow_run_state, body, id=run).status == "ACCEPT"


def executed(real: Real, pool: ThreadPoolExecutor, parent: Any) -> Future[Any]:
    return pool.submit(real.execute, parent)


def test_a_flow_waits_for_a_subflow_of_its_own(real: Real, child: str) -> None:
    @flow(name="parent")
    def parent() -> list[Any]:
        return [run_deployment(child, {"y": 2})]

    with ThreadPoolExecutor(1) as pool:
        waiting = executed(real, pool, parent)
        (asked,) = appeared(real, child)
        assert asked.parameters == {"x": 1, "y": 2}
        end(real, asked.id, StateType.COMPLETED)
        parent_id, state = waiting.result(30)
    (run,) = state.result()
    assert (run.id, run.state.is_completed, run.parameters) == (asked.id, True, {"x": 1, "y": 2})
    assert asked.parent_task_run_id is not None
    stands_for = real.client.call(endpoints.read_task_run, id=asked.parent_task_run_id)
    assert (stands_for.flow_run_id, stands_for.state_type, stands_for.name) == (
        parent_id,
        StateType.COMPLETED,
        f"{child}-0",
    )


def test_a_repeated_run_finds_what_it_had_asked_for(real: Real, child: str) -> None:
    """What completed is not asked for again, what failed is."""

    @task(retries=1)
    def within(tries: list[int]) -> UUID:
        tries.append(1)
        asked = run_deployment(child, timeout=0)
        if len(tries) == 1:
            raise ValueError("once more")
        return asked.id

    tries: list[int] = []

    @flow(name="repeated", retries=1)
    def parent() -> list[Any]:
        first, second = run_deployment(child, timeout=20), run_deployment(child, timeout=0)
        inner = within(tries)
        if not second.state.is_completed:
            raise ValueError(second.state.name)
        return [first.id, second.id, inner]

    with ThreadPoolExecutor(1) as pool:
        waiting = executed(real, pool, parent)
        (first,) = appeared(real, child)
        end(real, first.id, StateType.COMPLETED)
        found = appeared(real, child, 3)
        parent_id, state = waiting.result(60)
    assert state.type is StateType.FAILED, "the second has not completed in either try"
    assert len(runs_of(real, child)) == len(found) == 3
    assert {run.idempotency_key for run in found} >= {f"{parent_id} {child} {n}" for n in range(2)}
    assert len(tries) == 3


def test_what_failed_is_asked_for_anew_by_a_retry(real: Real, child: str) -> None:
    @flow(name="retried", retries=1)
    def parent() -> list[UUID]:
        run = run_deployment(child, timeout=20)
        run.state.result()
        return [run.id]

    with ThreadPoolExecutor(1) as pool:
        waiting = executed(real, pool, parent)
        (first,) = appeared(real, child)
        end(real, first.id, StateType.FAILED)
        second = next(run for run in appeared(real, child, 2) if run.id != first.id)
        end(real, second.id, StateType.COMPLETED)
        assert waiting.result(60)[1].result() == [second.id]


def test_many_are_waited_for_at_once_in_an_event_loop(real: Real, child: str) -> None:
    @flow(name="async-parent")
    async def parent() -> list[str]:
        runs = await asyncio.gather(*(arun_deployment(child, as_subflow=False) for _ in range(12)))
        return [run.state.name for run in runs]

    with ThreadPoolExecutor(1) as pool:
        waiting = executed(real, pool, parent)
        asked = appeared(real, child, 12)
        for run in asked:
            assert run.parent_task_run_id is None
            end(real, run.id, StateType.CRASHED)
        assert waiting.result(30)[1].result() == ["Crashed"] * 12


def test_plain_code_asks_too(real: Real, child: str) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    run = run_deployment(child, scheduled_time=due, timeout=0.05, flow_run_name="mine", tags=["t"])
    assert (run.name, run.state.type, run.state.details.scheduled_time) == ("mine", StateType.SCHEDULED, due)
    same = run_deployment(child, idempotency_key="k", timeout=0, parameters={"p": Path("/a")})
    assert run_deployment(child, idempotency_key="k", timeout=0).id == same.id
    by_id = run_deployment(same.deployment_id, timeout=0)  # type: ignore[arg-type]  # it has one
    assert len({run.id, same.id, by_id.id}) == 3


@pytest.mark.parametrize(
    ("name", "parameters", "kind", "words"),
    [
        ("nightly", {}, InvalidInputError, "FLOW/DEPLOYMENT"),
        ("no/such", {}, NotFoundError, "reeve deployments ls"),
        (UUID(int=1), {"x": object()}, InvalidInputError, "what JSON knows"),
    ],
)
def test_what_cannot_be_asked_for(
    real: Real, name: Any, parameters: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run_deployment(name, parameters, timeout=0)
