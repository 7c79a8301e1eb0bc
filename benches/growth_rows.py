"""Figures of a database that has grown: small and large beside each other, both served at the same time."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from benches.bench_api import Site, databases, furnish_for_agents, reeve, say
from benches.desk import Desk, dispatch
from benches.figures import Figures
from benches.fill import fill
from benches.load import connect
from tests.acceptance.house import House

CLAIMED = 50
SMALL = 1_000  # runs that wait in the database that is small
CLAIM_GOAL = 1.5
REST_GOAL = 2.0  # "keep their cost": what is more than noise
CLAIM = f"claim of {CLAIMED}"
SCHEDULE = {"schedule": {"interval": 3600.0, "timezone": "UTC"}, "active": True}
# What the claims of an hour leave behind while one transaction stays open: the line's first runs are gone.
CHURN = (
    (
        "update flow_runs set attempt_id = id, state_type = 'PENDING', next_scheduled_start_time = null"
        " where id = any($1::uuid[])"
    ),
    "update flow_runs set attempt_id = null, state_type = 'COMPLETED' where id = any($1::uuid[])",
)
CHURNED = 100_000  # runs at full size
CHURN_STEP = 1_000

Ask = Callable[[], Awaitable[float]]


@dataclass
class Grown:
    """A server whose database has a known number of runs."""

    name: str
    url: str
    site: Site
    house: House


async def rows(root: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure claims, polls, pages, schedules and dispatch in a small and a large database of each kind."""
    with databases(root, options.only_database) as urls:
        for kind, url in urls.items():
            async with grown(root, kind, url, options) as (small, large):
                await _beside(kind, small, large, options, figures)
                if kind == "postgres":
                    await _with_dead_rows(small, large, options, figures)


@contextlib.asynccontextmanager
async def grown(
    root: Path, kind: str, url: str, options: argparse.Namespace
) -> AsyncIterator[tuple[Grown, Grown]]:
    """Serve two databases of a kind: one with few runs, one with as many as the options say."""
    sizes = {
        "small": (SMALL + 3 * (options.rounds + 1) * CLAIMED, 0),
        "large": (round(options.waiting * options.size), round(options.ended * options.size)),
    }
    made = []
    with contextlib.ExitStack() as stack:
        for name, (waiting, ended) in sizes.items():
            own = await another(url, name)
            site, house = stack.enter_context(reeve(root, f"{kind}-{name}", own))
            await site.furnish()
            await furnish_for_agents(site)
            await _pool(site, "line")
            await _pool(site, "dispatch")
            house.stop("server")
            ids = {key: UUID(value) for key, value in site.ids.items() if key != "run"}
            place = {"flow": ids["flow"], "deployment": ids["line"], "queue": ids["line queue"]}
            seconds = await fill(
                own, waiting=waiting, ended=ended, place={**place, "ended queue": ids["idle queue"]}
            )
            say(f"{kind}: {waiting:,} waiting and {ended:,} ended runs are there after {seconds:.0f} s")
            house.start_server()
            made.append(Grown(f"{kind} {name}", own, site, house))
        yield made[0], made[1]


async def another(url: str, name: str) -> str:
    """Return the URL of another empty database beside that of ``url``."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url.replace("reeve.db", f"{name}.db")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    return urlunsplit(parts._replace(path=f"/{name}"))


async def _pool(site: Site, name: str) -> None:
    made = await site.call("POST", "/work_pools/", {"name": name, "type": "process"})
    site.ids[f"{name} queue"] = made["default_queue_id"]
    body = {"name": name, "flow_id": site.ids["flow"], "work_pool_name": name}
    site.ids[name] = (await site.call("POST", "/deployments/", body))["id"]


async def _beside(
    kind: str, small: Grown, large: Grown, options: argparse.Namespace, figures: Figures
) -> None:
    """Ask both for everything in turn, and compare."""
    times = await _asked([small, large], options.rounds)
    for what, of in times.items():
        most = CLAIM_GOAL if what == CLAIM else REST_GOAL
        for one in (small, large):
            figures.add(what, of[one.name], "ms", one.name)
        figures.add(
            f"{what}: large / small", median(of[large.name]) / median(of[small.name]), "x", kind, most=most
        )


async def _asked(sites: list[Grown], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of each kind of request at each site, of ``rounds`` rounds."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds + 1):
        for one in sites:
            for what, ask in (await _requests(one.site)).items():
                took = await ask()
                if turn:  # the first warms up
                    times[what][one.name].append(took)
    return times


async def _requests(site: Site) -> dict[str, Ask]:
    """Return what is asked in a round, each with the milliseconds that it takes."""
    asked: dict[str, Ask] = {CLAIM: partial(_claim, site)}
    for what, request in site.requests().items():
        asked[what] = partial(_one, site, request(0))
    asked["runs of a new schedule"] = partial(_schedule, site)
    asked["due → granted in an open poll"] = partial(_dispatch, site)
    return asked


async def _one(site: Site, request: bytes) -> float:
    connection = await connect(site.port)
    began = time.perf_counter()
    status, content = await connection.ask(request)
    took = (time.perf_counter() - began) * 1000
    connection.transport.abort()
    assert status < 400, (status, content)
    return took


async def _claim(site: Site) -> float:
    """Have a new agent claim; what it holds it keeps."""
    desk = await Desk.register(site, "line")
    began = time.perf_counter()
    granted = await desk.poll(CLAIMED)
    took = (time.perf_counter() - began) * 1000
    desk.leave()
    assert len(granted) == CLAIMED, granted
    return took


async def _schedule(site: Site) -> float:
    """Have the runs of a new schedule made, and delete it with them."""
    path = f"/deployments/{site.ids['made']}"
    (made,) = await site.call("POST", f"{path}/schedules", [SCHEDULE])
    body = {"min_runs": 50, "max_runs": 50}
    took = await _one(site, site.request("POST", f"{path}/schedule", body))
    await site.call("DELETE", f"{path}/schedules/{made['id']}")
    return took


async def _dispatch(site: Site) -> float:
    desk = await Desk.register(site, "dispatch")
    took = await dispatch(desk, site.ids["dispatch"])
    desk.leave()
    return took


async def _with_dead_rows(small: Grown, large: Grown, options: argparse.Namespace, figures: Figures) -> None:
    """Ask again while an open transaction keeps the dead rows of the line from being cleaned up.

    The small database has none, and says what has changed meanwhile for other reasons.
    """
    before = await _asked([small, large], options.rounds)
    holder = await asyncpg.connect(large.url)
    try:
        await holder.execute("begin isolation level repeatable read")
        await holder.fetchval("select count(*) from flows")  # now it has a snapshot
        await _churn(large, round(CHURNED * options.size))
        after = await _asked([small, large], options.rounds)
    finally:
        await holder.close()
    for what, of in after.items():
        name = f"{what}, dead rows"
        figures.add(name, of[large.name], "ms", large.name)
        now, then = ({each: median(times) for each, times in one.items()} for one in (of, before[what]))
        ratio = (now[large.name] / then[large.name]) / (now[small.name] / then[small.name])
        figures.add(f"{name}: with / without", ratio, "x", "postgres", most=REST_GOAL)


async def _churn(large: Grown, count: int) -> None:
    """End the first runs of the line as claims and reports would."""
    say(f"{count:,} runs of the line end")
    connection = await asyncpg.connect(large.url)
    queue = UUID(large.site.ids["line queue"])
    try:
        for _ in range(0, count, CHURN_STEP):
            first = await connection.fetch(
                "select id from flow_runs where work_queue_id = $1 and state_type = 'SCHEDULED'"
                " and attempt_id is null order by next_scheduled_start_time, id limit $2",
                queue,
                CHURN_STEP,
            )
            for sql in CHURN:
                await connection.execute(sql, [row["id"] for row in first])
            await asyncio.sleep(0)
    finally:
        await connection.close()
