"""reeve's agent on a real 2.20 server, and 2.20's on reeve: cancels, restarts, outages (scripts/interop)."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.house import alive
from tests.interop.abroad import CANCELLING, CANCELLING_OF_OLD, Abroad, Waiting, abroad, deploy
from tests.interop.guests import PATIENCE, GuestHouse, environment, until

_numbers = count()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abroad]:
    with abroad(tmp_path_factory.mktemp("abroad")) as house:
        yield house


@pytest.fixture
def queue(there: Abroad) -> Iterator[str]:
    """Give a queue of this test's own, with waiting.py deployed to it; its agents end with the test."""
    name = f"q{next(_numbers)}"
    deploy(there, name, there.python)
    yield name
    for each in [one for one in there.processes if one.startswith("agent")]:
        there.kill(each)
    until("all runs to be gone", lambda: not there.shims() or not _end_runs(there))


def _end_runs(house: Abroad) -> list[int]:
    left = [pid for pid in house.members("PREFECT__FLOW_RUN_ID") if pid not in house.shims()]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


def agent(house: GuestHouse, *options: str, name: str = "agent") -> None:
    house.start(name, "agent", "start", "--name", name, *options)


@pytest.mark.parametrize("asked", [CANCELLING, CANCELLING_OF_OLD], ids=["type", "name"])
def test_a_run_that_ignores_sigterm_is_cancelled_whole(there: Abroad, queue: str, asked: Any) -> None:
    agent(there, "-q", queue)
    run = Waiting(there, queue, f"{queue}-stubborn", stubborn=True)
    run.started()
    run.asked(asked)
    run.is_state("Cancelled")
    run.leaves_nothing()


def test_a_run_that_waits_is_cancelled_by_the_server_alone(there: Abroad, queue: str) -> None:
    run = Waiting(there, queue, f"{queue}-waiting")
    run.asked(CANCELLING)
    run.is_state("Cancelled")


def test_a_restarted_agent_adopts_its_runs(there: Abroad, queue: str) -> None:
    agent(there, "-q", queue)
    lasting, ending = Waiting(there, queue, f"{queue}-a"), Waiting(there, queue, f"{queue}-b", code=3)
    pid = lasting.started()
    ending.started()
    lasting.is_state("Running")
    until("the pid to be written", lambda: lasting.is_state("Running")["infrastructure_pid"])
    there.kill("agent")
    ending.let_go()
    until("the other to end", lambda: not alive(ending.starts[0]))
    agent(there, "-q", queue)
    assert ending.is_state("Crashed")["state"]["message"].endswith("status code 3.")
    assert alive(pid)
    lasting.let_go()
    lasting.is_state("Completed")
    assert len(lasting.starts) == len(ending.starts) == 1


@pytest.mark.parametrize("point", ["after_claim", "after_handle", "before_report"])
def test_an_agent_that_dies_at_a_step_loses_and_doubles_nothing(
    there: Abroad, queue: str, point: str
) -> None:
    there.start("agent", "agent", "start", "--name", "agent", "-q", queue, REEVE_FAULT=point)
    run = Waiting(there, queue, f"{queue}-run", code=3)
    run.let_go()
    assert there.processes["agent"].wait(PATIENCE) != 0
    there.processes.pop("agent")
    agent(there, "-q", queue)
    run.is_state("Crashed")
    assert len(run.starts) == 1


def test_an_outage_costs_no_run_and_no_report(there: Abroad, queue: str) -> None:
    agent(there, "-q", queue)
    run = Waiting(there, queue, f"{queue}-run")
    pid = run.started()
    run.is_state("Running")
    server = there.processes.pop("server")
    server.send_signal(signal.SIGTERM)
    server.wait(PATIENCE)
    os.kill(pid, signal.SIGKILL)
    until("the agent to notice", lambda: "The server does not answer" in there.log("agent"))
    there.start_server()
    crashed = run.is_state("Crashed")
    assert "SIGKILL" in crashed["state"]["message"]
    again = Waiting(there, queue, f"{queue}-again")
    again.let_go()
    again.is_state("Completed")
    assert there.processes["agent"].poll() is None


def test_a_prefix_that_matches_nothing_takes_nothing(there: Abroad, queue: str) -> None:
    left = Waiting(there, queue, f"{queue}-left")
    agent(there, "-m", "zebra")
    until("it to be started", lambda: "Agent started!" in there.log("agent"))
    deploy(there, f"zebra-{queue}", there.python)
    taken = Waiting(there, f"zebra-{queue}", f"{queue}-taken")
    taken.let_go()
    taken.is_state("Completed")
    assert there.told("GET", f"/flow_runs/{left.id}")["state_type"] == "SCHEDULED"
    assert not left.starts


def test_the_agent_keeps_its_limit(there: Abroad, queue: str) -> None:
    agent(there, "-q", queue, "--limit", "1")
    first, second = Waiting(there, queue, f"{queue}-1"), Waiting(there, queue, f"{queue}-2")
    until("one to start", lambda: first.starts or second.starts)
    running, waits = (first, second) if first.starts else (second, first)
    running.is_state("Running")
    assert there.told("GET", f"/flow_runs/{waits.id}")["state_type"] == "SCHEDULED"
    running.let_go()
    running.is_state("Completed")
    waits.let_go()
    waits.is_state("Completed")


# --- runs that this agent did not launch


@pytest.mark.parametrize("launcher", ["theirs", "ours"])
def test_a_run_whose_agent_is_gone_is_cancelled_whole_by_another(
    there: Abroad, queue: str, launcher: str
) -> None:
    run = Waiting(there, queue, f"{queue}-orphan")
    if launcher == "theirs":
        there.start_prefect("agent-launcher", "agent", "start", "-q", queue)
    else:
        agent(there, "-q", queue, name="agent-launcher")
    run.started()
    run.is_state("Running")
    until("its pid", lambda: run.is_state("Running")["infrastructure_pid"])
    there.kill("agent-launcher")
    agent(there, "-q", queue)
    run.asked(CANCELLING)
    run.is_state("Cancelled")
    run.leaves_nothing()
    assert f"Cancelled flow run '{run.id}'!" in there.log("agent")


def left_by_others(house: Abroad, queue: str, pid: str | None) -> Waiting:
    """Return a run that is to be cancelled, which nobody holds, and which has this pid."""
    run = Waiting(house, queue, f"{queue}-left", first="RUNNING")
    if pid is not None:
        house.told("PATCH", f"/flow_runs/{run.id}", {"infrastructure_pid": pid})
    run.asked(CANCELLING)
    return run


def test_a_run_without_a_pid_is_marked_and_says_so(there: Abroad, queue: str) -> None:
    agent(there, "-q", queue)
    run = left_by_others(there, queue, None)
    message = run.is_state("Cancelled")["state"]["message"]
    assert message == (
        "This flow run is missing infrastructure tracking information and cancellation cannot be guaranteed."
    )


def test_a_process_of_another_run_is_spared_and_the_run_marked(there: Abroad, queue: str) -> None:
    """Its pid was given to another process since (W34)."""
    agent(there, "-q", queue)
    other = Waiting(there, queue, f"{queue}-other")
    pid = other.started()
    run = left_by_others(there, queue, f"{socket.gethostname()}:{pid}")
    run.is_state("Cancelled")
    sentence = f"Unable to kill process {pid}: The process was not found. Marking flow run as cancelled."
    there.is_logged(run.id, sentence)
    other.is_state("Running")
    assert alive(pid)


def test_a_run_on_another_host_stays_and_says_so(there: Abroad, queue: str) -> None:
    agent(there, "-q", queue)
    run = left_by_others(there, queue, "elsewhere:1")
    sentence = (
        "Unable to kill process 1: The process is running on a different host 'elsewhere'. "
        "Flow run cannot be cancelled by this agent."
    )
    there.is_logged(run.id, sentence)
    assert there.told("GET", f"/flow_runs/{run.id}")["state_name"] == "Cancelling"


def test_a_run_of_a_queue_that_is_not_served_stays(there: Abroad, queue: str) -> None:
    deploy(there, f"{queue}-next", there.python)
    elsewhere = left_by_others(there, f"{queue}-next", None)
    agent(there, "-q", queue)
    left_by_others(there, queue, None).is_state("Cancelled")
    assert there.told("GET", f"/flow_runs/{elsewhere.id}")["state_name"] == "Cancelling"


# --- queues with a tag filter


def test_a_queue_with_a_tag_filter_takes_what_has_the_tags(there: Abroad, queue: str) -> None:
    tagged = f"{queue}-tagged"
    there.told("POST", "/work_queues/", {"name": tagged, "filter": {"tags": [queue]}})
    there.told("POST", "/work_pools/", {"name": f"{queue}-pool", "type": "process"})
    flow = there.told("GET", f"/deployments/name/waiting/{queue}")
    here, without = retagged(there, flow, "own", []), retagged(there, flow, "without", [queue])
    elsewhere = retagged(there, flow, "elsewhere", [queue], work_pool_name=f"{queue}-pool")
    left = [Waiting(there, each, f"{queue}-{place}") for place, each in enumerate((here, elsewhere, without))]
    retrying = {"empirical_policy": {"retries": 1, "retry_delay": 0, "retry_type": "in_process"}}  # W3
    there.told("PATCH", f"/flow_runs/{left[2].id}", retrying)
    agent(there, "-q", tagged)
    run = Waiting(there, without, f"{queue}-with")
    run.let_go()
    run.is_state("Completed")
    assert [there.told("GET", f"/flow_runs/{each.id}")["state_type"] for each in left] == ["SCHEDULED"] * 3
    assert [each.starts for each in left] == [[]] * 3


def retagged(house: Abroad, like: Any, name: str, tags: list[str], **fields: Any) -> str:
    """Deploy a deployment's flow again, with these tags and to no queue; return its name."""
    kept = (
        "flow_id",
        "path",
        "entrypoint",
        "infrastructure_document_id",
        "storage_document_id",
        "manifest_path",
    )
    body = {each: like[each] for each in kept} | {"infra_overrides": like["infra_overrides"]}
    made = house.told(
        "POST", "/deployments/", {**body, "name": f"{like['name']}-{name}", "tags": tags, **fields}
    )
    return str(made["name"])


# --- the other way round


def test_the_2_20_agent_crashes_and_cancels_on_reeve(house: GuestHouse, tmp_path: Path) -> None:
    deploy(house, "theirs")
    house.start_guest("theirs", str(environment() / "prefect"), "agent", "start", "-q", "theirs")
    bad, doomed = Waiting(house, "theirs", "bad", code=3), Waiting(house, "theirs", "doomed")
    bad.started()
    doomed.started()
    bad.let_go()
    crashed = bad.is_state("Crashed")
    assert crashed["state"]["message"] == "Flow run infrastructure exited with non-zero status code 3."
    doomed.is_state("Running")
    until("its pid", lambda: doomed.is_state("Running")["infrastructure_pid"])
    doomed.asked(CANCELLING)
    doomed.is_state("Cancelled")
