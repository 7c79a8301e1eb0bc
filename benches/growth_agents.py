"""Figures of many agents and of many runs: idle polls, servers beside each other, memory."""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from benches.bench_api import databases, reeve, say
from benches.desk import Desk
from benches.figures import Figures
from benches.growth_servers import PATIENCE, unfinished
from benches.procs import cpu_seconds, opened, private_mib
from tests.acceptance.house import House, until

from reeve.wire import endpoints as api

IDLE_AGENTS = 1_000
IDLE_SECONDS = 60.0
IDLE_GOAL = 10.0  # % of a core
CONNECTIONS_GOAL = 20
REGISTERED = 50  # agents that register at the same time
RUNS = 100_000
BATCH = 500  # runs asked for at once: the line stays short
STEPS = 10  # looks at the memory
FLAT = 1.1  # times what it was after the first tenth
SLEEPING = 20
PRIVATE_GOAL = 4.0  # MiB
FLOWS = """
import os, time
from pathlib import Path
from reeve import flow

@flow
def noop():
    pass

@flow
def sleeps(folder: str):
    Path(folder, str(os.getpid())).touch()
    while not Path(folder, "go").exists():
        time.sleep(1)
"""


async def idle(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure a server whose agents all wait: 1,000 polls are open, and end every 25 seconds."""
    count = max(round(IDLE_AGENTS * options.size), 10)
    with databases(root, options.only_database) as urls:
        for kind, url in urls.items():
            with reeve(root, kind, url) as (site, house):
                await site.call("POST", "/work_pools/", {"name": "idle", "type": "process"})
                desks: list[Desk] = []
                while len(desks) < count:
                    many = range(min(REGISTERED, count - len(desks)))
                    desks += await asyncio.gather(*(Desk.register(site, "idle") for _ in many))
                waiting = [asyncio.create_task(desk.wait()) for desk in desks]
                await asyncio.sleep(10 * options.size)  # until the first polls are open
                server = house.processes["server"].pid
                before = cpu_seconds(server)
                await asyncio.sleep(max(IDLE_SECONDS * options.size, 10))
                used = (cpu_seconds(server) - before) / max(IDLE_SECONDS * options.size, 10) * 100
                connections = await _connections(url, server)
                assert not any(task.done() for task in waiting), "an agent was refused"
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                for desk in desks:
                    desk.leave()
                what = f"{count:,} idle agents"
                figures.add(f"{what}: CPU of the server", used, "% of a core", kind, most=IDLE_GOAL)
                figures.add(f"{what}: database connections", connections, "", kind, most=CONNECTIONS_GOAL)
                figures.add(f"{what}: memory of the server", private_mib(server), "MiB", kind)


async def _connections(url: str, server: int) -> int:
    """Return how many connections the server has to its database; of a file, how often it is open."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return opened(server, parts.path.removeprefix("/"))
    return await _counted(
        url,
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()",
    )


async def _counted(url: str, sql: str) -> int:
    """Return the number that a statement gives."""
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval(sql)
    finally:
        await connection.close()
    return count


async def memory(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Look at the memory of server, agent and shim while many no-op runs are executed on SQLite."""
    await asyncio.to_thread(_memory, root, options, figures)


def _memory(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    step = max(round(RUNS * options.size / STEPS), 50)
    with closing(House(root / "memory", f"sqlite:///{root}/memory.db")) as house:
        agent = _one_agent(house, 16)
        house.deploy(FLOWS, "noop")
        house.ends(*house.run_at_once("noop/t", 1))
        everyone = {"server": house.processes["server"].pid, "agent": agent, "shim": house.shims()[0]}
        sizes: dict[str, list[float]] = {name: [] for name in everyone}
        for number in range(STEPS):
            for low in range(0, step, BATCH):
                house.run_at_once("noop/t", min(BATCH, step - low))
                until("the batch", lambda: unfinished(house) == 0, PATIENCE)
            for name, pid in everyone.items():
                sizes[name].append(private_mib(pid))
            say(
                f"{(number + 1) * step:,} runs: {', '.join(f'{n} {s[-1]:.1f} MiB' for n, s in sizes.items())}"
            )
        for name, each in sizes.items():
            figures.add(f"private memory over {STEPS * step:,} runs", each, "MiB", name)
            figures.add("the same, last / first tenth", each[-1] / each[0], "x", name, most=FLAT)


async def flows(root: Path, _: argparse.Namespace, figures: Figures) -> None:
    """Look at the memory of runs that sleep."""
    await asyncio.to_thread(_flows, root, figures)


def _flows(root: Path, figures: Figures) -> None:
    with closing(House(root / "flows", f"sqlite:///{root}/flows.db")) as house:
        agent = _one_agent(house, SLEEPING)
        house.deploy(FLOWS, "noop")
        house.deploy(FLOWS, "sleeps")
        house.ends(*house.run_at_once("noop/t", 1))
        others = [house.processes["server"].pid, agent, *house.shims()]
        before = sum(map(private_mib, others))
        marks = root / "marks"
        marks.mkdir()
        held = house.run_at_once("sleeps/t", SLEEPING, folder=str(marks))
        until("all of them", lambda: len(list(marks.iterdir())) == SLEEPING)
        for run_id in held:
            house.reaches(run_id, "Running")
        time.sleep(5)  # what they sent has been answered
        private = [private_mib(int(mark.name)) for mark in marks.iterdir()]
        figures.add(
            f"private memory of a run that sleeps, {SLEEPING} at once", private, "MiB", most=PRIVATE_GOAL
        )
        grown = (sum(map(private_mib, others)) - before) / SLEEPING
        figures.add("what server, agent and shim have grown by, for each of them", grown, "MiB")
        (marks / "go").touch()
        for run_id in held:
            house.ends(run_id)


def _one_agent(house: House, limit: int) -> int:
    house.start_server()
    house.cli("pools", "create", "default")
    agent = house.start_agent("agent", "--limit", str(limit))
    until("the agent", lambda: house.client.call(api.list_agents))
    return agent.pid
