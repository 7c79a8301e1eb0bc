"""What the server's own duties cost, and what dispatch feels of them: scheduler and pruner."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from uuid import UUID

from benches.bench_api import Site, databases, reeve
from benches.desk import Desk, dispatch
from benches.figures import Figures
from benches.fill import fill, fill_deployments, forget_scheduled
from benches.procs import cpu_seconds
from tests.acceptance.house import House

DEPLOYMENTS = 10_000
TICK_GOAL = 2.0  # seconds of CPU
DISPATCH_GOAL = 2.0  # times the p99 of a server that has nothing else to do
SAMPLES = 1_000  # dispatches; a hundredth of them is what p99 is about
TURNS = 5  # without and with the duty: what else the machine does meets both
QUIET = 0.05  # of a core: a server that uses less does nothing
LOOK_SECONDS = 1.0
QUIET_LOOKS = 3  # one after the other: on a busy machine it may just not have had its turn
PRUNED = 50_000


@dataclass
class Waker:
    """Changes a schedule, which starts a tick at once."""

    site: Site
    path: str  # of the schedule
    is_active: bool = False

    async def wake(self) -> None:
        """Change it from one tick to the next."""
        self.is_active = not self.is_active
        await self.site.call("PATCH", self.path, {"active": self.is_active})


async def schedules(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure ticks of the scheduler: the first one makes all runs, later ones find them there."""
    count = round(DEPLOYMENTS * options.size)
    with databases(root, options.only_database) as urls:
        for kind, url in urls.items():
            with reeve(root, kind, url) as (site, house):
                ids, waker = await _furnish(site), Waker(site, await _schedule(site))
                house.stop("server")
                await fill_deployments(url, count, flow=ids["flow"], queue=ids["dispatch queue"])
                began = time.monotonic()
                house.start_server()
                cpu = await _until_quiet(house)
                what = f"first tick, {count:,} deployments"
                figures.add(f"{what}: CPU of the server", cpu, "s", kind)
                figures.add(f"{what}: time", time.monotonic() - began, "s", kind)
                ticks = [await _tick(waker, house) for _ in range(options.rounds)]
                what = f"tick, {count:,} deployments"
                figures.add(f"{what}: CPU of the server", ticks, "s", kind, most=TICK_GOAL)
                calm: list[float] = []
                ticking: list[float] = []
                for _ in range(TURNS):
                    calm += await _dispatches(site, options)
                    async with _ticking(waker):
                        ticking += await _dispatches(site, options)
                _compare("the scheduler ticks", calm, ticking, kind, figures)
                house.stop("server")
                await forget_scheduled(url)
                house.start_server()
                making = await _dispatches(site, options)
                _compare("all runs are made", calm, making, kind, figures)


async def pruner(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure dispatch while the pruner deletes what is older than a second."""
    with databases(root, options.only_database) as urls:
        for kind, url in urls.items():
            with reeve(root, kind, url) as (site, house):
                ids = await _furnish(site)
                house.stop("server")
                place = {"flow": ids["flow"], "deployment": ids["dispatch"]}
                place |= dict.fromkeys(("queue", "ended queue"), ids["dispatch queue"])
                await fill(url, waiting=0, ended=max(round(PRUNED * options.size), 2_000), place=place)
                calm: list[float] = []
                pruning: list[float] = []
                rates = []
                for _ in range(TURNS):
                    house.start_server(REEVE_RETENTION_RUNS_DAYS="0")
                    calm += await _dispatches(site, options)
                    house.stop("server")
                    house.start_server(REEVE_RETENTION_RUNS_DAYS="0.00001")
                    before, began = await _ended(site), time.monotonic()
                    pruning += await _dispatches(site, options)
                    after = await _ended(site)
                    assert 0 < after < before, f"{before} ended runs, then {after}: it did not prune"
                    rates.append((before - after) / (time.monotonic() - began))
                    house.stop("server")
                figures.add("runs deleted a second", rates, "runs/s", kind)
                _compare("the pruner deletes", calm, pruning, kind, figures)


def _compare(duty: str, calm: list[float], busy: list[float], kind: str, figures: Figures) -> None:
    """Note how long dispatch takes without a duty and beside it."""
    figures.add(f"due → granted, not while {duty}", calm, "ms", kind)
    figures.add(f"due → granted while {duty}", busy, "ms", kind)
    ratio = quantiles(busy, n=100)[98] / quantiles(calm, n=100)[98]
    figures.add(f"due → granted while {duty}: p99 / p99 without", ratio, "x", kind, most=DISPATCH_GOAL)


async def _furnish(site: Site) -> dict[str, UUID]:
    flow = await site.call("POST", "/flows/", {"name": "bench"})
    pool = await site.call("POST", "/work_pools/", {"name": "dispatch", "type": "process"})
    body = {"name": "dispatch", "flow_id": flow["id"], "work_pool_name": "dispatch"}
    made = await site.call("POST", "/deployments/", body)
    site.ids = {"flow": flow["id"], "dispatch": made["id"], "dispatch queue": pool["default_queue_id"]}
    return {name: UUID(text) for name, text in site.ids.items()}


async def _schedule(site: Site) -> str:
    """Make a deployment with a schedule that is not active; return the path of the schedule."""
    body = {"name": "scheduled", "flow_id": site.ids["flow"]}
    made = await site.call("POST", "/deployments/", body)
    schedule = {"schedule": {"interval": 86400.0, "timezone": "UTC"}, "active": False}
    (kept,) = await site.call("POST", f"/deployments/{made['id']}/schedules", [schedule])
    return f"/deployments/{made['id']}/schedules/{kept['id']}"


async def _dispatches(site: Site, options: argparse.Namespace) -> list[float]:
    """Return the milliseconds from the creation of runs to their grants, one after the other."""
    desk = await Desk.register(site, "dispatch")
    try:
        for _ in range(5):  # warms up
            await dispatch(desk, site.ids["dispatch"])
        samples = max(round(SAMPLES * options.size / TURNS), 25)
        return [await dispatch(desk, site.ids["dispatch"]) for _ in range(samples)]
    finally:
        desk.leave()


async def _ended(site: Site) -> int:
    ended = {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}}
    count: int = await site.call("POST", "/flow_runs/count", {"flow_runs": ended})
    return count


async def _tick(waker: Waker, house: House) -> float:
    """Return the CPU seconds of a tick."""
    await waker.wake()
    return await _until_quiet(house)


async def _until_quiet(house: House) -> float:
    """Wait until the server does nothing; return the CPU seconds that it took until then."""
    pid = house.processes["server"].pid
    before = last = cpu_seconds(pid)
    quiet = 0
    while quiet < QUIET_LOOKS:
        await asyncio.sleep(LOOK_SECONDS)
        now = cpu_seconds(pid)
        quiet = quiet + 1 if now - last < QUIET * LOOK_SECONDS else 0
        last = now
    return last - before


@contextlib.asynccontextmanager
async def _ticking(waker: Waker) -> AsyncIterator[None]:
    """Have the scheduler tick all the while."""

    async def wake() -> None:
        while True:
            await waker.wake()
            await asyncio.sleep(LOOK_SECONDS)

    task = asyncio.create_task(wake())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
