"""What an agent costs: its memory after few and after many runs, and idle beside at work. Prints a table.

    scripts/bench agent_memory [--runs 10000] [--first 100] [--running 50]

A real server and a real agent on SQLite, in a home of their own. The runs are those of ``/bin/true``,
launched, watched and reported like any other: what they do themselves costs the agent nothing. Memory is the
agent's own, from /proc: resident, and private (what it shares with nobody). CPU is of its process alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from benches.procs import cpu_seconds, private_mib, rss_mib
from tests.acceptance.house import House, until

from reeve.core.states import StateType
from reeve.wire import endpoints as api
from reeve.wire.filters import FlowRunFilter, StateCriterion, StateTypes
from reeve.wire.queries import FlowRunFilters

SOURCE = """
import pathlib, time
from reeve import flow

@flow
def waits(go: str):
    while not pathlib.Path(go).exists():
        time.sleep(1)

@flow
def nothing():
    pass
"""
BATCH = 250  # runs asked for at once: the line stays short, and the agent at work
IDLE_SECONDS = 20.0
PATIENCE = 3600.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--running", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
        house = House(Path(root), f"sqlite:///{root}/reeve.db")
        try:
            house.start_server()
            house.cli("pools", "create", "default")
            agent = house.start_agent("agent", "--limit", str(options.running))
            until("the agent", lambda: house.client.call(api.list_agents))
            measure(house, agent.pid, options)
        finally:
            house.close()


def measure(house: House, pid: int, options: argparse.Namespace) -> None:
    """Have the runs run, and print what the agent is like in between."""
    house.deploy(SOURCE, "nothing", "--job", "command=/bin/true")
    house.deploy(SOURCE, "waits")
    print(f"{'agent':<34}{'resident':>12}{'private':>12}{'CPU':>10}")
    show("idle, before the first run", pid, idle(pid))
    done = 0
    for goal in (options.first, options.runs):
        began, cpu = time.monotonic(), cpu_seconds(pid)
        while done < goal:
            wanted = min(BATCH, goal - done)
            house.run_at_once("nothing/t", wanted)
            done += wanted
            until("the batch", partial(have_ended, house, done), PATIENCE)
        took = time.monotonic() - began
        show(f"after {done} runs ({took:.0f} s)", pid, (cpu_seconds(pid) - cpu) / took)
    go = house.root / "go"
    held = house.run_at_once("waits/t", options.running, go=str(go))
    for run_id in held:
        house.reaches(run_id, "Running")
    show(f"{options.running} running, idle", pid, idle(pid))
    go.touch()
    for run_id in held:
        house.ends(run_id)
    show("idle again", pid, idle(pid))


def have_ended(house: House, count: int) -> bool:
    """Say whether so many runs have ended: ``/bin/true`` proposes no state, so they are Crashed (W23)."""
    final = StateCriterion(type=StateTypes(any_=[one for one in StateType if one.is_final]))
    found = house.client.call(api.count_flow_runs, FlowRunFilters(flow_runs=FlowRunFilter(state=final)))
    return found >= count


def idle(pid: int) -> float:
    """Return the share of a core that a process takes while nothing happens."""
    before = cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(pid) - before) / IDLE_SECONDS


def show(when: str, pid: int, core: float) -> None:
    """Print a line of the table."""
    print(f"{when:<34}{rss_mib(pid):>8.1f} MiB{private_mib(pid):>8.1f} MiB{core:>9.2%}", flush=True)


if __name__ == "__main__":
    main()
