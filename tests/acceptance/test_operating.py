"""What an operator does to agents from anywhere, and what agents and servers say of themselves."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

from tests.acceptance.house import PATIENCE, House, free_port, until

QUICK_FLOW = """
from reeve import flow

@flow
def main() -> None:
    pass
"""
WAITING_FLOW = """
import pathlib, time
from reeve import flow

@flow
def waits(go: str) -> None:
    while not pathlib.Path(go).exists():
        time.sleep(0.05)
"""


def page(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Ask an agent or a server how it is."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def figures(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def shown(house: House) -> dict[str, Any]:
    (agent,) = json.loads(house.cli("agent", "ls", "--json"))
    found: dict[str, Any] = agent
    return found


def test_a_paused_agent_stays_paused_until_it_is_resumed(house: House) -> None:
    house.deploy(QUICK_FLOW)
    house.start_agent()
    until("the agent", lambda: "Agent started!" in house.log("agent"))
    assert "claims no more until" in house.cli("agent", "pause", "agent")
    until("it to hear", lambda: "Told to be paused" in house.log("agent"))
    run_id = house.run("main/t")
    said = house.cli("explain", str(run_id))
    assert "Agent 'agent' is paused." in said
    assert "> reeve agent resume agent" in said

    for name in ("server", "agent"):
        house.kill(name)
    house.start_server()
    house.start_agent()
    until("it to hear again", lambda: house.log("agent").count("Told to be paused") == 2)
    assert shown(house)["mode"] == "PAUSED"
    assert house.read(run_id).state_name in {"Scheduled", "Late"}

    house.cli("agent", "resume", "agent")
    assert house.ends(run_id).state_name == "Completed"


def test_a_drained_agent_ends_with_its_runs(house: House) -> None:
    house.deploy(WAITING_FLOW, "waits")
    agent = house.start_agent("agent", "--drain-timeout", "60")
    go = house.root / "go"
    held = house.run("waits/t", "-P", f"go={go}")
    house.reaches(held, "Running")
    house.cli("agent", "drain", "agent")
    until("it to hear", lambda: "Told to be draining" in house.log("agent"))
    waits = house.run("waits/t", "-P", f"go={go}")
    assert "'agent' is draining" in house.cli("explain", str(waits))
    shows = house.cli("agent", "show", "agent")
    assert str(held) in shows
    assert "DRAINING" in shows
    go.touch()
    assert agent.wait(PATIENCE) == 0
    assert house.ends(held).state_name == "Completed"
    assert shown(house)["status"] == "STOPPED"

    house.processes.pop("agent")
    house.start_agent()
    assert house.ends(waits).state_name == "Completed"


def test_an_agent_says_how_it_is(house: House) -> None:
    house.deploy(WAITING_FLOW, "waits")
    port, go = free_port(), house.root / "go"
    house.start_agent("agent", "--status-port", str(port), "--limit", "3")
    until(
        "it to be ready", lambda: f":{port}/status" in house.log("agent") and page(port, "/readyz")[0] == 200
    )
    run_id = house.run("waits/t", "-P", f"go={go}")
    house.reaches(run_id, "Running")
    status = json.loads(page(port, "/status")[1])
    (held,) = status["runs"]
    assert held["flow_run_id"] == str(run_id)
    assert (status["slots"], status["free"], status["pool"]) == (3, 2, "default")
    go.touch()
    house.ends(run_id)
    until("it to have ended", lambda: figures(page(port, "/metrics")[1])["reeve_agent_runs_ended_total"] == 1)
    counted = figures(page(port, "/metrics")[1])
    assert counted["reeve_agent_slots_free"] == 3
    assert counted["reeve_agent_ready"] == 1
    assert page(port, "/livez") == (200, "ok\n")
    assert page(port, "/elsewhere")[0] == 404
    assert page(port, "/status", Host="evil.example")[0] == 403
    other = house.start_agent("other", "--status-port", str(port))
    assert other.wait(PATIENCE) == 1
    assert "Choose another --status-port" in house.log("other")


def test_what_the_agent_says_of_a_run_is_in_the_log_of_the_run(house: House) -> None:
    house.deploy(QUICK_FLOW, "main", "--job", "command=/no/such/program")
    house.start_agent()
    run_id = house.run("main/t")
    house.ends(run_id)
    log = house.cli("runs", "logs", str(run_id))
    assert f"Submitting flow run '{run_id}'" in log
    assert f"Failed to submit flow run '{run_id}' to infrastructure." in log
    assert "/no/such/program" in log

    house.deploy(QUICK_FLOW)
    good = house.run("main/t")
    assert house.ends(good).state_name == "Completed"
    log = house.cli("runs", "logs", str(good))
    assert log.count("Submitting flow run") == log.count("Completed submission") == 1
