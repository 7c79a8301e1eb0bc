"""Figures of servers beside each other: runs a second, and whose processor time each run takes."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
from benches.bench_api import say
from benches.figures import Figures
from benches.procs import cpu_seconds
from tests.acceptance.house import House, until
from tests.chaos.site import Site as Servers
from tests.postgres import start_cluster

from reeve.wire import endpoints as api
from reeve.wire import requests

BURST = 1_500  # runs
WARMING = 30  # runs before them, for each agent to have its templates
PATIENCE = 3600.0
POSTMASTER = r"select split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int"
FLOWS = """
import os
from reeve import flow

@flow
def marked(marks: str):
    file = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{os.environ['REEVE_RUN_ID']}\\n".encode())
    os.close(file)
"""


@dataclass(frozen=True)
class Setting:
    """So many servers and agents on a database; ``limit`` is each agent's."""

    database: str
    servers: int
    agents: int
    limit: int

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{self.database}, {self.servers} srv, {self.agents} ag"


# Each differs from the one before by one thing, so that what agents, database and servers cost is told apart.
# PostgreSQL is held against the second: as many agents, each with its shim and its templates.
BESIDE = Setting("sqlite", 1, 6, 4)
SETTINGS = (Setting("sqlite", 1, 1, 24), BESIDE, Setting("postgres", 1, 6, 4), Setting("postgres", 3, 6, 4))


async def servers(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure no-op runs with 1 agent and 6, on SQLite and on PostgreSQL, with 1 server and 3, in turns."""
    await asyncio.to_thread(_servers, root, options, figures)


def _servers(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    runs = max(round(BURST * options.size), 100)
    found: dict[Setting, list[tuple[float, dict[str, float]]]] = {setting: [] for setting in SETTINGS}
    cluster = start_cluster()
    try:
        for number in range(max(min(options.rounds, 3), 1)):
            for place, setting in enumerate(SETTINGS):
                name = f"house{number}_{place}"
                with closing(Servers(root / name, _database(root, cluster.url, setting, name))) as house:
                    found[setting].append(_measure(house, setting, runs))
        least = median(rate for rate, _ in found[BESIDE])
        for setting, each in found.items():
            goal = least if setting.database == "postgres" else None
            rates = [rate for rate, _ in each]
            figures.add(f"{runs:,} no-op runs", rates, "runs/s", setting.name, least=goal)
        for setting, each in found.items():
            for who in each[0][1]:
                spent = [cpu[who] for _, cpu in each]
                figures.add(f"CPU a run: {who}", spent, "ms", setting.name)
        deadlocks = asyncio.run(_asked(cluster.url, "select sum(deadlocks)::int from pg_stat_database"))
        figures.add("deadlocks", deadlocks, "", "postgres", most=0)
    finally:
        cluster.stop()


def _database(root: Path, cluster: str, setting: Setting, name: str) -> str:
    """Return the URL of a new database."""
    if setting.database == "sqlite":
        return f"sqlite:///{root}/{name}.db"
    asyncio.run(_asked(cluster, f"create database {name} template template0"))
    return urlsplit(cluster)._replace(path=f"/{name}").geturl()


def _measure(house: Servers, setting: Setting, runs: int) -> tuple[float, dict[str, float]]:
    """Return the runs a second of many, and the CPU milliseconds a run of each kind of process."""
    _open(house, setting)
    _burst(house, WARMING * setting.agents)
    rate, spent = _burst(house, runs)
    each = {who: cpu / runs * 1000 for who, cpu in spent.items()}
    each["all"] = sum(each.values())
    told = ", ".join(f"{who} {cpu:.1f}" for who, cpu in each.items())
    say(f"{setting.name}: {rate:.1f} runs/s; CPU in ms a run: {told}")
    return rate, each


def _open(house: Servers, setting: Setting) -> None:
    """Start the servers and spread the agents over them."""
    house.start_server()
    ports = [house.port, *(house.start_server_beside(f"server{n}") for n in range(1, setting.servers))]
    house.cli("pools", "create", "default")
    for n in range(setting.agents):
        url = f"http://127.0.0.1:{ports[n % len(ports)]}/api"
        house.start_agent(f"agent{n}", "--limit", str(setting.limit), REEVE_API_URL=url)
    until("the agents", lambda: len(house.client.call(api.list_agents)) == setting.agents)
    house.deploy(FLOWS, "marked")


def _burst(house: Servers, runs: int) -> tuple[float, dict[str, float]]:
    """Return the runs a second of many that a paused queue held, and the CPU seconds that went into them.

    Each must have run once.
    """
    marks = house.root / f"marks{time.monotonic_ns()}"
    queue = house.client.call(api.read_work_queue_by_name, name="default").id
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=True), id=queue)
    made = house.run_at_once("marked/t", runs, marks=str(marks))
    before, began = _spent(house), time.monotonic()
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=False), id=queue)
    until("all of them", lambda: unfinished(house) == 0, PATIENCE)
    rate = runs / (time.monotonic() - began)
    spent = {who: cpu - before[who] for who, cpu in _spent(house).items()}
    begun = Counter(map(UUID, marks.read_text().split()))
    assert begun == Counter(made), (
        f"{len(begun)} of {runs} runs ran, {begun.most_common(1)[0][1]} times at most"
    )
    return rate, spent


def unfinished(house: House) -> int:
    """Return how many runs are not over, after a moment: a look costs the server something."""
    states = {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}
    time.sleep(0.2)
    asked: Any = {"flow_runs": {"state": states, "tags": {}, "name": {}}}
    return house.client.call(api.count_flow_runs, asked)


def _spent(house: Servers) -> dict[str, float]:
    """Return the CPU seconds so far of each kind of process; ``runs``: of shims and templates as well."""
    spent = {"servers": 0.0, "PostgreSQL": 0.0, "agents": 0.0, "runs": 0.0}
    for pid in house.members():
        words = b""
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        who = "servers" if b"\0server\0" in words else "agents" if b"\0agent\0" in words else "runs"
        spent[who] += cpu_seconds(pid)
    if house.database_url.startswith("postgresql"):
        postmaster = asyncio.run(_asked(house.database_url, POSTMASTER))
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        # Of those that are gone it knows what they have taken.
        spent["PostgreSQL"] = sum(map(cpu_seconds, (postmaster, *map(int, children))))
    return spent


async def _asked(url: str, sql: str) -> int:
    """Run a statement, and return the number that it gives."""
    connection = await asyncpg.connect(url)
    try:
        number: int = await connection.fetchval(sql)
    finally:
        await connection.close()
    return number
