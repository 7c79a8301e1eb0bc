"""A database that has seen many runs, in the mix of a house that works.

Of a hundred runs 95 have ended, 4 are scheduled for tomorrow and later, and one was left running. Every run
has its state; every fourth one also a task run, an attempt, an artifact, an event and a log line.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from tests.server.oracle import Row, World, put

from reeve.server.storage.store import Store, Transaction

BATCH = 5_000  # runs in a transaction
APART = timedelta(seconds=10)


async def gather(store: Store, first: int, last: int, **place: Any) -> None:
    """Add the runs numbered from ``first`` up to ``last``; 0 is the newest.

    ``place`` has the columns of all of them: their flow, deployment, queue.
    """
    for low in range(first, last, BATCH):
        await store.write(partial(put, world=_world(range(low, min(low + BATCH, last)), place)))


async def let_it_count(store: Store) -> None:
    """Have PostgreSQL look at what it holds, as its own daemon does; SQLite is never told to, so not here."""

    async def analyze(tx: Transaction) -> None:
        await tx.execute("analyze")

    if store.name == "postgresql":
        await store.write(analyze)


def _world(numbers: range, place: Row) -> World:
    dice = random.Random(numbers.start)
    now = datetime.now(UTC)
    world: World = defaultdict(list)
    for n in numbers:
        run = _run(n, now, dice) | place
        world["flow_runs"].append(run)
        world["flow_run_states"].append(_state_of(run))
        if n % 4 == 0:
            for table, row in _traces_of(run, dice, n).items():
                world[table].append(row)
    return world


def _run(n: int, now: datetime, dice: random.Random) -> Row:
    type_ = _type(n % 100)
    waits, ended = type_ == "SCHEDULED", type_ in {"COMPLETED", "FAILED"}
    at = now + timedelta(days=1) + n * APART if waits else now - timedelta(minutes=1) - n * APART
    return {
        "id": _id(dice),
        "created": at,
        "updated": at,
        "name": f"run-{dice.randrange(10**6)}",
        "tags": ["rare"] if n % 1000 == 0 else [],
        "state_id": _id(dice),
        "state_type": type_,
        "state_name": type_.capitalize(),
        "state_timestamp": at,
        "expected_start_time": at,
        "next_scheduled_start_time": at if waits else None,
        "start_time": None if waits else at,
        "end_time": at + APART if ended else None,
    }


def _type(percent: int) -> str:
    bounds = {90: "COMPLETED", 95: "FAILED", 99: "SCHEDULED", 100: "RUNNING"}
    return next(type_ for bound, type_ in bounds.items() if percent < bound)


def _state_of(run: Row, owner: str = "flow_run_id") -> Row:
    return {
        "id": run["state_id"],
        owner: run["id"],
        "type": run["state_type"],
        "name": run["state_name"],
        "timestamp": run["state_timestamp"],
        "details": {},
    }


def _traces_of(run: Row, dice: random.Random, n: int) -> dict[str, Row]:
    at, own = run["created"], {"flow_run_id": run["id"]}
    shared = ("created", "updated", "name", "tags", "state_type", "state_name", "state_timestamp")
    times = ("expected_start_time", "start_time", "end_time")
    ran = {name: run[name] for name in (*shared, *times)}
    task = {**own, **ran, "id": _id(dice), "dynamic_key": "0", "state_id": _id(dice)}
    of_task = {"task_run_id": task["id"] if n % 8 == 0 else None}
    made = {"created": at, "updated": at}
    return {
        "task_runs": task,
        "task_run_states": _state_of(task, "task_run_id"),
        "attempts": {**own, "id": _id(dice), "opened": at, "closed": at},
        "artifacts": {**own, **of_task, **made, "id": _id(dice), "key": f"key-{n % 100}", "type": "markdown"},
        "events": {**own, "id": _id(dice), "at": at},
        "logs": {**own, **of_task, "id": _id(dice), "created": at, "timestamp": at, "level": 20},
    }


def _id(dice: random.Random) -> UUID:
    return UUID(int=dice.getrandbits(128))
