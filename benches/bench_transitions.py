"""What runs cost the server: its processor time for each transition, alone and in batches.

    scripts/bench transitions [--runs 512] [--rounds 3] [--only sqlite] [--database-url URL] [--json FILE]

A no-op run is claimed, reported as launched, goes to Running and to Completed, and is reported as gone. An
agent here does that for many runs at once, without processes: by batches of what runs ask by way of it, and
by single requests over 16 connections. "a core" are transitions a second of the server's processor time (user
and system, of all its threads), "a second" those of a clock; medians of the rounds. PostgreSQL runs as the
tests' do (without fsync), and its own processes are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benches.bench_api import Site, databases, reeve
from benches.load import Connection, connect, drive

T = TypeVar("T")

BATCHES = (64, 16, 4)
SINGLES = 16  # connections
CREATORS = (16, 32)
CREATE_SECONDS = 3.0
Figures = dict[str, list["Spent"]]


@dataclass
class Spent:
    """What so many transitions took."""

    count: int
    processor: float  # seconds
    clock: float

    def add(self, later: Spent) -> None:
        """Count in what came after this."""
        self.count += later.count
        self.processor += later.processor
        self.clock += later.clock

    @property
    def a_core(self) -> float:
        """How many a second of processor time."""
        return self.count / self.processor if self.processor else float("nan")

    @property
    def a_second(self) -> float:
        """How many a second."""
        return self.count / self.clock


@dataclass
class Desk:
    """An agent without processes: it claims, reports, and passes on what its runs ask."""

    site: Site
    pid: int
    id: str
    epoch: int
    connections: list[Connection]
    seq: int = 0
    acked: int = 0
    held: list[str] = field(default_factory=list)

    async def measured(self, count: int, doing: Awaitable[Any]) -> tuple[Any, Spent]:
        """Do something, and say what it took of the server."""
        began, processor = time.perf_counter(), _processor(self.pid)
        value = await doing
        return value, Spent(count, _processor(self.pid) - processor, time.perf_counter() - began)

    async def ask(self, path: str, body: Any, connection: int = 0, key: str | None = None) -> Any:
        """Make a request that must succeed."""
        request = Site("", self.site.port, key or self.site.key).request("POST", path, body)
        status, content = await self.connections[connection].ask(request)
        assert status < 300, (path, status, content)
        return json.loads(content)

    async def claim(self, free: int) -> list[Any]:
        """Take that many runs, which are due."""
        grants: list[Any] = []
        while len(grants) < free:
            self.seq += 1
            body = {
                "epoch": self.epoch,
                "seq": self.seq,
                "free": free - len(grants),
                "held": self.held,
                "acked_grant": self.acked,
                "hold_seconds": 0,
            }
            found = (await self.ask(f"/agents/{self.id}/poll", body))["grants"]
            grants += found
            self.held += [grant["attempt_id"] for grant in found]
            self.acked = max(grant["number"] for grant in found)
        return grants

    async def report(self, grants: list[Any], size: int, report: dict[str, Any]) -> None:
        """Report the same of all of these, so many in each request."""
        for part in parts(grants, size):
            told = [{"id": grant["attempt_id"], "reports": [report]} for grant in part]
            receipts = await self.ask("/attempts/reports", {"epoch": self.epoch, "attempts": told})
            assert len(receipts) == len(part), receipts

    async def relay(self, grants: list[Any], size: int, type_: str) -> None:
        """Pass on what all of these propose, so many in each request."""
        body = {"state": {"type": type_}}
        for part in parts(grants, size):
            calls = [
                {"method": "POST", "path": path_of(grant), "key": grant["token"], "body": body}
                for grant in part
            ]
            replies = await self.ask("/attempts/calls", {"calls": calls})
            assert all(reply["status"] == 201 for reply in replies), replies

    async def singly(self, grants: list[Any], type_: str) -> None:
        """Have each run propose by itself."""
        left = iter(grants)

        async def one(connection: int) -> None:
            for grant in left:
                body = {"state": {"type": type_}}
                await self.ask(path_of(grant), body, connection, grant["token"])

        await asyncio.gather(*map(one, range(SINGLES)))


def path_of(grant: Any) -> str:
    """Return where a run proposes its states."""
    return f"/flow_runs/{grant['run']['id']}/set_state"


def parts(items: list[T], size: int) -> Iterator[list[T]]:
    """Cut a list into parts."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def main() -> int:
    """Measure and print; 1 when a request was refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("sqlite", "postgres"), help="leave out the other database")
    parser.add_argument("--database-url", help="an empty database of yours instead of both")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
        return asyncio.run(measure(Path(root), options))


async def measure(root: Path, options: argparse.Namespace) -> int:
    """Measure each database, and print its figures."""
    bad, found = 0, {}
    given = contextlib.nullcontext({"given": options.database_url})
    with given if options.database_url else databases(root, options.only) as urls:
        for name, url in urls.items():
            with reeve(root, name, url) as (site, house):
                figures: Figures = {}
                await site.furnish()
                pid = house.processes["server"].pid
                desk = await _desk(site, pid)
                for _ in range(options.rounds):
                    await _lives(desk, options.runs, figures)
                    bad += await _creates(desk, figures)
                found[name] = _told(name, figures)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return int(bool(bad))


async def _desk(site: Site, pid: int) -> Desk:
    made = await site.call("POST", "/work_pools/", {"name": "lives", "type": "process"})
    body = {"name": "lives", "flow_id": site.ids["flow"], "work_pool_name": made["name"]}
    site.ids["lives"] = (await site.call("POST", "/deployments/", body))["id"]
    await site.register("lives", 1)
    ((id_, epoch),) = site.agents["lives"]
    return Desk(site, pid, id_, epoch, [await connect(site.port) for _ in range(SINGLES)])


async def _lives(desk: Desk, count: int, figures: Figures) -> None:
    """Lead runs through their lives, as many at a time as are sent in one request, then singly."""
    for size in (*BATCHES, 1):
        how = f"by {size}" if size > 1 else f"singly, {SINGLES} connections"
        await _due(desk.site, count)
        steps: dict[str, Spent] = {}
        for _ in range(0, count, size if size > 1 else SINGLES):
            await _wave(desk, size, steps)
        for what, spent in steps.items():
            figures.setdefault(f"{what}, {how}", []).append(spent)
        figures.setdefault(f"whole lives, {how}", []).append(
            Spent(
                count,
                sum(each.processor for each in steps.values()),
                sum(each.clock for each in steps.values()),
            )
        )


async def _wave(desk: Desk, size: int, steps: dict[str, Spent]) -> None:
    """Lead so many runs through their lives; 1: some, each by itself."""
    launched = {"kind": "launched", "seq": 1, "handle": {"pid": 1}, "infrastructure_pid": "h:1"}
    exited = {"kind": "exited", "seq": 2, "exit_code": 0, "cause": "exited with code 0"}
    sent = size if size > 1 else SINGLES

    async def step(what: str, doing: Awaitable[Any]) -> Any:
        value, spent = await desk.measured(sent, doing)
        steps.setdefault(what, Spent(0, 0.0, 0.0)).add(spent)
        return value

    grants = await step("claim", desk.claim(sent))
    await step("report launched", desk.report(grants, sent, launched))
    for type_ in ("RUNNING", "COMPLETED"):
        doing = desk.relay(grants, size, type_) if size > 1 else desk.singly(grants, type_)
        await step(f"set_state {type_}", doing)
    await step("report exited", desk.report(grants, sent, exited))
    desk.held.clear()


async def _due(site: Site, count: int) -> None:
    """Ask for runs that are due."""
    request = site.request("POST", f"/deployments/{site.ids['lives']}/create_flow_run", {})
    left = iter(range(count))

    async def one(connection: Connection) -> None:
        for _ in left:
            status, content = await connection.ask(request)
            assert status == 201, content

    await asyncio.gather(*[one(await connect(site.port)) for _ in range(SINGLES)])


async def _creates(desk: Desk, figures: Figures) -> int:
    """Create runs over many connections; return how many requests were refused or failed."""
    bad = 0
    request = desk.site.request("POST", f"/deployments/{desk.site.ids['made']}/create_flow_run", {})
    for connections in CREATORS:
        load, spent = await desk.measured(
            0, drive(desk.site.port, lambda _: request, connections, CREATE_SECONDS)
        )
        bad += load.refused + load.failed
        spent.count = len(load.times)
        figures.setdefault(f"create a run, {connections} connections", []).append(spent)
    return bad


def _processor(pid: int) -> float:
    """Return the seconds for which the threads of a process have run."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _told(name: str, figures: Figures) -> dict[str, Any]:
    print(f"\n{name:<44}{'a core':>10}{'ms each':>10}{'a second':>10}")
    found = {}
    for what, all_ in figures.items():
        a_core, a_second = median(each.a_core for each in all_), median(each.a_second for each in all_)
        print(f"{what:<44}{a_core:>10.0f}{1000 / a_core:>10.3f}{a_second:>10.0f}", flush=True)
        found[what] = {"a_core": a_core, "a_second": a_second}
    return found


if __name__ == "__main__":
    sys.exit(main())
