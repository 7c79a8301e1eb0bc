"""The figures of the API: requests a second and their times, beside the real 2.20 server.

    scripts/bench api [--seconds 2] [--rounds 3] [--json FILE]   on SQLite, PostgreSQL, 2.20
    scripts/bench api --writers 32 --seconds 300                 writers on SQLite, none of whom is refused

All servers are up at the same time and are asked in turn, each round anew, so that what else the machine
does meets them alike: figures are medians, with the slowest and fastest round. PostgreSQL runs as the tests'
do (without fsync). First comes the machine's own limit: uvicorn with an application that says hello.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from benches.load import Ask, Load, connect, drive
from tests.acceptance.house import House, free_port, until
from tests.interop.recorded import answers_at, their_server
from tests.postgres import start_cluster

CONNECTIONS = (1, 16)
DUE = 50
PAGE = 200
TRIES = 20  # of what must be there before anything is measured
AGAIN_SECONDS = 0.5  # between them: a locked database stays locked for a while
PROGRESS_SECONDS = 20.0
HELLO = """
async def app(scope, receive, send):
    await receive()
    head = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"{}"})

import uvicorn
uvicorn.run(app, port=%d, http="httptools", ws="none", lifespan="off", access_log=False, log_level="error")
"""
# The states of a run that is executed again and again.
CIRCLE = ("RUNNING", "SCHEDULED", "PENDING")


def main() -> int:
    """Measure and print; 1 when a writer was refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", choices=("sqlite", "postgres"), help="leave out the other database and 2.20"
    )
    parser.add_argument("--writers", type=int)
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
        if options.writers:
            return asyncio.run(writers(Path(root), options.writers, options.seconds))
        figures = asyncio.run(compare(Path(root), options))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


@dataclass
class Site:
    """A server with what the requests are about: pools, deployments, runs."""

    name: str
    port: int
    key: str | None = None
    ids: dict[str, str] = field(default_factory=dict)
    circling: list[Iterator[bytes]] = field(default_factory=list)
    agents: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        """Return a request as bytes."""
        content = b"" if body is None else json.dumps(body).encode()
        key = f"authorization: Bearer {self.key}\r\n" if self.key else ""
        return (
            f"{method} /api{path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n{key}"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        ).encode() + content

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask once, and return what was answered."""
        request = self.request(method, path, body)
        for _ in range(TRIES):  # when its database is locked 2.20 answers 503, or closes the connection
            connection = await connect(self.port)
            try:
                status, content = await connection.ask(request)
            except ConnectionError:
                continue
            finally:
                connection.transport.abort()
            if status != 503:
                assert status < 400, (self.name, method, path, status, content)
                return json.loads(content) if content else None
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError(f"{self.name} does not answer {method} {path}")

    async def furnish(self) -> None:
        """Make a flow, three pools with a deployment each, and runs: due ones, and such as go in circles."""
        self.ids["flow"] = (await self.call("POST", "/flows/", {"name": "bench"}))["id"]
        for pool in ("idle", "busy", "made"):
            made = await self.call("POST", "/work_pools/", {"name": pool, "type": "process"})
            self.ids[f"{pool} queue"] = made["default_queue_id"]
            body = {"name": pool, "flow_id": self.ids["flow"], "work_pool_name": pool}
            self.ids[pool] = (await self.call("POST", "/deployments/", body))["id"]
        await self.due("busy", DUE)
        await self.due("made", PAGE - DUE)
        for _ in range(max(CONNECTIONS)):
            run = await self.call("POST", "/flow_runs/", {"flow_id": self.ids["flow"]})
            self.circling.append(self.circle(run["id"]))
            self.ids["run"] = run["id"]

    def circle(self, run_id: str) -> Iterator[bytes]:
        """Return proposals for a pending run, again and again."""
        path = f"/flow_runs/{run_id}/set_state"
        return cycle([self.request("POST", path, {"state": {"type": type_}}) for type_ in CIRCLE])

    async def due(self, pool: str, count: int) -> None:
        """Ask for runs that are due."""
        past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": past}}
        for _ in range(count):
            await self.call("POST", f"/deployments/{self.ids[pool]}/create_flow_run", {"state": state})

    async def register(self, pool: str, count: int) -> None:
        """Register agents of reeve's for a pool."""
        for _ in range(count):
            id_ = str(uuid4())
            who = {"id": id_, "name": id_, "host": "h", "machine_id": "m", "boot_id": "b", "version": "0"}
            epoch = (await self.call("POST", "/agents/register", {**who, "pool": pool}))["epoch"]
            self.agents.setdefault(pool, []).append((id_, epoch))

    # What is measured

    def requests(self) -> dict[str, Ask]:
        """Return what each kind of request asks next."""
        create = self.request("POST", f"/deployments/{self.ids['made']}/create_flow_run", {})
        read = self.request("GET", f"/flow_runs/{self.ids['run']}")
        page = self.request("POST", "/flow_runs/filter", {"limit": PAGE, "sort": "START_TIME_DESC"})
        due = {"limit": DUE, "scheduled_before": datetime.now(UTC).isoformat()}
        polls = {
            pool: self.request("POST", f"/work_pools/{pool}/get_scheduled_flow_runs", due)
            for pool in ("idle", "busy")
        }
        asked: dict[str, Ask] = {
            "create a run of a deployment": lambda _: create,
            "set_state": lambda n: next(self.circling[n]),
            "read a run": lambda _: read,
            f"filter {PAGE} runs": lambda _: page,
            "poll of 2.20, nothing due": lambda _: polls["idle"],
            f"poll of 2.20, {DUE} due": lambda _: polls["busy"],
        }
        if "idle" in self.agents:
            asked["poll of an agent, nothing due"] = lambda n: self.agent_poll("idle", n)
            asked[f"poll of an agent, {DUE} granted"] = lambda n: self.agent_poll("agents", n)
        return asked

    def agent_poll(self, pool: str, number: int) -> bytes:
        """Return a poll whose answer was lost before: what was granted is granted again."""
        id_, epoch = self.agents[pool][number]
        self._seq = getattr(self, "_seq", 0) + 1
        body: dict[str, Any] = {
            "epoch": epoch,
            "seq": self._seq,
            "free": DUE,
            "held": [],
            "acked_grant": 0,
            "hold_seconds": 0,
        }
        return self.request("POST", f"/agents/{id_}/poll", body)


@contextlib.contextmanager
def reeve(root: Path, name: str, url: str) -> Iterator[tuple[Site, House]]:
    """Start reeve on a database; agents keep what they were granted for an hour."""
    house = House(root / name, url, REEVE_LEASE_SECONDS="3600")
    try:
        house.start_server()
        yield Site(name, house.port, (house.home / "key").read_text().strip()), house
    finally:
        house.close()


@contextlib.contextmanager
def databases(root: Path, only: str | None) -> Iterator[dict[str, str]]:
    """Give the address of an empty database of each kind."""
    with contextlib.ExitStack() as stack:
        found = {}
        if only != "postgres":
            found["sqlite"] = f"sqlite:///{root / 'reeve.db'}"
        if only != "sqlite":
            cluster = start_cluster()
            stack.callback(cluster.stop)
            found["postgres"] = cluster.url
        yield found


@contextlib.contextmanager
def hello() -> Iterator[Site]:
    """Start uvicorn with an application that does nothing."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", HELLO % port])
    try:
        until("hello", lambda: answers_at(port) or server.poll() is not None)
        yield Site("hello", port)
    finally:
        server.terminate()
        server.wait()


async def furnish_for_agents(site: Site) -> None:
    """Make the agents whose polls are measured, and for each as many due runs as it is granted."""
    made = await site.call("POST", "/work_pools/", {"name": "agents", "type": "process"})
    body = {"name": "agents", "flow_id": site.ids["flow"], "work_pool_name": made["name"]}
    site.ids["agents"] = (await site.call("POST", "/deployments/", body))["id"]
    await site.due("agents", DUE * max(CONNECTIONS))
    for pool in ("idle", "agents"):
        await site.register(pool, max(CONNECTIONS))


# The measurements


async def compare(root: Path, options: argparse.Namespace) -> Any:
    """Ask all servers for everything, and print how each did."""
    with contextlib.ExitStack() as stack:
        sites = []
        for name, url in stack.enter_context(databases(root, options.only)).items():
            site, _ = stack.enter_context(reeve(root, name, url))
            sites.append(site)
        if not options.only:
            sites.append(Site("2.20 sqlite", stack.enter_context(their_server(root / "theirs"))))
        for site in sites:
            say(f"furnishing {site.name}")
            await site.furnish()
            if site.key:
                await furnish_for_agents(site)
        figures = await hello_limit(stack.enter_context(hello()), options)
        loads: dict[tuple[str, int, str], list[Load]] = {}
        for turn in range(options.rounds):
            for site in sites:
                say(f"round {turn + 1} of {options.rounds}: {site.name}")
                for what, connections, load in [one async for one in asked_all(site, options.seconds)]:
                    loads.setdefault((what, connections, site.name), []).append(load)
        return {**figures, **table(loads, [site.name for site in sites])}


async def hello_limit(site: Site, options: argparse.Namespace) -> dict[str, Any]:
    """Print what this machine and this load can do at most."""
    request = site.request("GET", "/")
    loads = {
        ("hello of uvicorn", n, site.name): [
            await drive(site.port, lambda _: request, n, options.seconds) for _ in range(options.rounds)
        ]
        for n in CONNECTIONS
    }
    return table(loads, [site.name])


async def asked_all(site: Site, seconds: float) -> Any:
    """Yield each kind of request with each number of connections, and its load."""
    for what, ask in site.requests().items():
        for connections in CONNECTIONS:
            yield what, connections, await drive(site.port, ask, connections, seconds)


async def writers(root: Path, count: int, seconds: float) -> int:
    """Have writers create runs and move them through their states on SQLite; return 1 if any was refused."""
    with reeve(root, "sqlite", f"sqlite:///{root / 'reeve.db'}") as (site, house):
        await site.furnish()
        for _ in range(count - len(site.circling)):
            run = await site.call("POST", "/flow_runs/", {"flow_id": site.ids["flow"]})
            site.circling.append(site.circle(run["id"]))
        kinds = site.requests()
        create, move = kinds["create a run of a deployment"], kinds["set_state"]
        end, total = time.monotonic() + seconds, Load()
        while (left := end - time.monotonic()) > 0:
            seconds_now = min(left, PROGRESS_SECONDS)
            load = await drive(site.port, lambda n: (create if n % 2 else move)(n), count, seconds_now)
            total.add(load)
            say(f"{total.seconds:.0f} s: {len(total.times)} written, {total.refused + total.failed} refused")
        locked = house.log("server").count("database is locked")
    print(
        f"{count} writers for {total.seconds:.0f} s on SQLite: {len(total.times)} writes,"
        f" {total.rate:.0f}/s, "
        f"p50 {total.quantile(50):.1f} ms, p99 {total.quantile(99):.1f} ms; "
        f"{total.refused} refused, {total.failed} failed, {locked} lock errors in the log"
    )
    return int(bool(total.refused or total.failed or locked))


# What is printed


def table(loads: dict[tuple[str, int, str], list[Load]], columns: list[str]) -> dict[str, Any]:
    """Print a line for each kind of request, and return its figures."""
    print(f"\n{'':<44}" + "".join(f"{column:>36}" for column in columns))
    print(f"{'':<44}" + f"{'requests/s (rounds)  p50 ms  p99 ms':>36}" * len(columns))
    figures: dict[str, Any] = {}
    for what, connections in dict.fromkeys((what, n) for what, n, _ in loads):
        line = {
            column: loads[what, connections, column]
            for column in columns
            if (what, connections, column) in loads
        }
        shown = {column: _figures(each) for column, each in line.items()}
        figures[f"{what}, {connections} connections"] = shown
        cells = "".join(f"{_cell(shown[column]) if column in shown else '-':>36}" for column in columns)
        print(
            f"{f'{what}, {connections} conn.':<44}{cells}  {_ratio(shown, columns)}",
            flush=True,
        )
    return figures


def _figures(loads: list[Load]) -> dict[str, float]:
    rates = [load.rate for load in loads]
    return {
        "rate": median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "p50": median(load.quantile(50) for load in loads),
        "p99": median(load.quantile(99) for load in loads),
        "refused": sum(load.refused for load in loads),
        "failed": sum(load.failed for load in loads),
    }


def _cell(shown: dict[str, float]) -> str:
    bad = f" {shown['refused'] + shown['failed']:.0f} bad" if shown["refused"] + shown["failed"] else ""
    rates = f"{shown['rate']:.0f} ({shown['slowest']:.0f}-{shown['fastest']:.0f})"
    return f"{rates} {shown['p50']:7.2f} {shown['p99']:7.1f}{bad}"


def _ratio(shown: dict[str, dict[str, float]], columns: list[str]) -> str:
    first, last = shown.get(columns[0]), shown.get("2.20 sqlite")
    return f"x{first['rate'] / last['rate']:.0f}" if first and last and last["rate"] else ""


def say(what: str) -> None:
    """Tell what is going on, beside the table."""
    print(f"  [{datetime.now(UTC):%H:%M:%S}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
