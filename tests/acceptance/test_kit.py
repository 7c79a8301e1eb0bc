"""What user code asks of its server, in runs that a real agent launches."""

from __future__ import annotations

from uuid import UUID

from tests.acceptance.house import House, until

from reeve.wire import endpoints as api
from reeve.wire import filters, queries
from reeve.wire.responses import FlowRunResponse

CHILD = """
import time
from reeve import flow

@flow
def child(rows: int, seconds: float = 0) -> None:
    time.sleep(seconds)
"""
PARENT = """
from reeve import create_markdown_artifact, flow, run_deployment, Variable

@flow
def parent(seconds: float = 0) -> None:
    Variable.set("asked", "1", overwrite=True)
    run = run_deployment("child/t", {"rows": 3, "seconds": seconds})
    create_markdown_artifact(f"{run.name} is {run.state.name}", key="asked-for")
"""
GATE = """
from dataclasses import dataclass
from reeve import flow, get_run_logger, suspend_flow_run

@dataclass
class Approval:
    by: str

@flow
def gate() -> None:
    get_run_logger().info("begins")
    approval = suspend_flow_run(Approval)
    get_run_logger().info("approved by %s", approval.by)
"""


def runs_of(house: House, flow: str) -> list[FlowRunResponse]:
    named = filters.FlowFilter(name=filters.Name(any_=[flow]))
    return house.client.call(api.filter_flow_runs, queries.FlowRunQuery(flows=named))


def family(house: House, **parameters: object) -> UUID:
    """Deploy parent and child, start an agent, and ask for a run of the parent."""
    house.deploy(CHILD, "child", file="child.py")
    house.deploy(PARENT, "parent", file="parent.py")
    house.start_agent()
    return house.run("parent/t", *(f"-P{name}={value}" for name, value in parameters.items()))


def test_a_flow_runs_another_deployment_and_tells_of_it(house: House) -> None:
    parent_id = family(house)
    assert house.ends(parent_id).state_name == "Completed"
    (child,) = runs_of(house, "child")
    assert child.state_name == "Completed"
    assert f"{child.name} is Completed" in house.cli("artifacts", "show", "asked-for")
    assert house.cli("variables", "get", "asked") == "1\n"
    graph = house.client.call(api.flow_run_graph, id=parent_id)
    assert [node.id for _, node in graph.nodes] == [child.id]


def test_a_cancelled_flow_takes_the_deployments_along_that_it_runs(house: House) -> None:
    parent_id = family(house, seconds=600)
    child = until("the child", lambda: next(iter(runs_of(house, "child")), None))
    assert child is not None
    house.reaches(child.id, "Running")
    house.cli("runs", "cancel", str(parent_id))
    assert [house.ends(run_id).state_name for run_id in (parent_id, child.id)] == ["Cancelled"] * 2


def test_a_suspended_run_leaves_no_process_and_is_claimed_again(house: House) -> None:
    house.deploy(GATE, "gate")
    house.start_agent()
    run_id = house.run("gate/t")
    house.reaches(run_id, "Suspended")
    until("its process to end", lambda: all(one.closed for one in house.attempts(run_id)))
    (attempt,) = house.attempts(run_id)
    assert (attempt.state, attempt.crash_reason) == ("ENDED", None)
    house.cli("runs", "resume", str(run_id), "-P", "by=me")
    run = house.ends(run_id)
    assert (run.state_name, [one.state for one in house.attempts(run_id)]) == ("Completed", ["ENDED"] * 2)
    ids = filters.LogFilter(flow_run_id=filters.Ids(any_=[run_id]))
    said = [line.message for line in house.client.call(api.filter_logs, queries.LogQuery(logs=ids))]
    assert said.count("begins") == 2
    assert "approved by me" in said
