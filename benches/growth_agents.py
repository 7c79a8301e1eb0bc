"""Figures of many agents and of many runs: idle polls, servers beside each other, memory."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
from benches.bench_api import databases, reeve, say
from benches.desk import Desk
from benches.figures import Figures
from benches.procs import cpu_seconds, opened, private_mib
from tests.acceptance.house import House, until
from tests.chaos.site import Site as Servers
from tests.postgres import start_cluster

from reeve.wire import endpoints as api
from reeve.wire import requests

IDLE_AGENTS = 1_000
IDLE_SECONDS = 60.0
IDLE_GOAL = 10.0  # % of a core
CONNECTIONS_GOAL = 20
REGISTERED = 50  # agents that register at the same time
SERVERS, AGENTS, LIMIT = 3, 6, 4  # the limit is each agent's
BURST = 1_500  # runs
RUNS = 100_000
BATCH = 500  # runs asked for at once: the line stays short
STEPS = 10  # looks at the memory
FLAT = 1.1  # times what it was after the first tenth
SLEEPING = 20
PRIVATE_GOAL = 4.0  # MiB
PATIENCE = 3600.0
FLOWS = """
import os, time
from pathlib import Path
from reeve import flow

@flow
def marked(marks: str):
    file = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{os.environ['REEVE_RUN_ID']}\\n".encode())
    os.close(file)

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


async def servers(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure runs a second with one server on SQLite, then with three on PostgreSQL; six agents each."""
    await asyncio.to_thread(_servers, root, options, figures)


def _servers(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    runs = max(round(BURST * options.size), 100)
    rounds = max(min(options.rounds, 3), 1)
    with ExitStack() as stack:
        cluster = start_cluster()
        stack.callback(cluster.stop)
        sites = {"sqlite, 1 server": (f"sqlite:///{root}/reeve.db", 1)}
        sites[f"postgres, {SERVERS} servers"] = (cluster.url, SERVERS)
        rates: dict[str, list[float]] = {}
        for number, (name, (url, count)) in enumerate(sites.items()):
            with closing(Servers(root / str(number), url)) as house:
                _open(house, count)
                rates[name] = [_burst(house, runs) for _ in range(rounds)]
        least = median(next(iter(rates.values())))
        for name, each in rates.items():
            goal = least if name.startswith("postgres") else None
            figures.add(f"{runs:,} no-op runs, {AGENTS} agents", each, "runs/s", name, least=goal)
        figures.add("deadlocks", asyncio.run(_deadlocks(cluster.url)), "", "postgres", most=0)


def _open(house: Servers, count: int) -> None:
    """Start the servers and spread the agents over them."""
    house.start_server()
    ports = [house.port, *(house.start_server_beside(f"server{n}") for n in range(1, count))]
    house.cli("pools", "create", "default")
    for n in range(AGENTS):
        url = f"http://127.0.0.1:{ports[n % len(ports)]}/api"
        house.start_agent(f"agent{n}", "--limit", str(LIMIT), REEVE_API_URL=url)
    until("the agents", lambda: len(house.client.call(api.list_agents)) == AGENTS)
    house.deploy(FLOWS, "marked")


def _burst(house: Servers, runs: int) -> float:
    """Return the runs a second of many that a paused queue held. Each must have run once."""
    marks = house.root / f"marks{time.monotonic_ns()}"
    queue = house.client.call(api.read_work_queue_by_name, name="default").id
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=True), id=queue)
    made = house.run_at_once("marked/t", runs, marks=str(marks))
    began = time.monotonic()
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=False), id=queue)
    until("all of them", lambda: _unfinished(house) == 0, PATIENCE)
    rate = runs / (time.monotonic() - began)
    begun = Counter(map(UUID, marks.read_text().split()))
    assert begun == Counter(made), (
        f"{len(begun)} of {runs} runs ran, {begun.most_common(1)[0][1]} times at most"
    )
    return rate


def _unfinished(house: House) -> int:
    states = {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}
    time.sleep(0.2)  # a look costs the server something: not too many
    asked: Any = {"flow_runs": {"state": states, "tags": {}, "name": {}}}
    return house.client.call(api.count_flow_runs, asked)


async def _deadlocks(url: str) -> int:
    return await _counted(url, "select sum(deadlocks)::int from pg_stat_database")


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
                until("the batch", lambda: _unfinished(house) == 0, PATIENCE)
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
