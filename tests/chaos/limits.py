"""Limits: under several servers and random deaths no limit is ever exceeded, and none leaks (protocol §2).

Counted twice: in the marks of user code, and in the database at many instants.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import TypeVar
from uuid import UUID

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, Agent, Mark, Site

from reeve.client.calls import ApiError
from reeve.client.sync import Client
from reeve.core.states import StateType
from reeve.wire import endpoints as api
from reeve.wire import requests

T = TypeVar("T")

POOL, AGENT = 4, 2
QUEUES: dict[str, int | None] = {"narrow": 1, "middle": 2, "wide": None}
RARE = 2  # of a deployment, whose runs wait in several queues
RARE_FLOW = BRIEF.replace("def main(", "def rare(")
PLACES = 3  # of the limits that are taken by the API
FULL = 423  # the answer for a limit without room, api-contract §2
AT_ONCE = 12  # who ask for them
SECONDS = 0.3  # of user code: long enough to overlap
LATER_SECONDS = 1.0  # that a run may start later because others are blocked

OPEN = """
select 'queue ' || q.name, count(*) from attempts a join work_queues q on q.id = a.work_queue_id
where a.closed is null group by q.name
union all select 'pool', count(*) from attempts where closed is null
union all select 'deployment ' || f.name, count(*) from attempts a join flow_runs r on r.id = a.flow_run_id
join flows f on f.id = r.flow_id where a.closed is null group by f.name
union all select g.name, count(*) from attempts a join agents g on g.id = a.agent_id
where a.closed is null group by g.name
"""
TAKEN = "select (select count(*) from slots) + (select count(*) from attempts where closed is null)"


def keeps_limits(site: Site, dice: Random, counts: Counts) -> Row:
    """Keep to limits of agents, queues, pools, deployments, tags; let nothing blocked be in the way."""
    row = Row()
    site.start_server()
    site.cli("pools", "create", "default", "--limit", str(POOL))
    for priority, (name, limit) in enumerate(QUEUES.items(), start=1):
        size = "none" if limit is None else str(limit)
        site.cli("queues", "create", name, "--priority", str(priority), "--limit", size)
    deployment, rare = site.deploy(BRIEF), _deploy_rare(site, RARE)
    servers = counts.scaled(3, 2) if site.is_postgres else 1
    ports = [site.port, *(site.start_server_beside(f"server-{number}") for number in range(1, servers))]
    row.figures["servers"] = str(servers)
    _count_attempts(site, dice, counts, row, deployment, rare, ports)
    _count_places(site, counts, row, ports)
    _count_order(site, row, deployment)
    _count_blocked(site, counts, row, deployment)
    return row


def _count_attempts(
    site: Site, dice: Random, counts: Counts, row: Row, deployment: str, rare: str, ports: list[int]
) -> None:
    """Have many agents of several servers, dying at random, work on more runs than there is room for."""
    each = max(1, counts.trials(600, 9) // len(QUEUES))
    ran = {name: site.begin(deployment, each, queue=name, seconds=SECONDS) for name in QUEUES}
    limited = [
        run_id
        for name in ("middle", "wide")
        for run_id in site.begin(rare, each, queue=name, seconds=SECONDS)
    ]
    total = each * len(QUEUES) + len(limited)
    row.trials += total
    agents = [
        Agent(
            f"agent-{number}",
            ("--limit", str(AGENT)),
            queues=tuple(QUEUES),
            url=f"http://127.0.0.1:{ports[number % len(ports)]}/api",
        )
        for number in range(counts.scaled(20, 3))
    ]
    with _watching(site) as most:
        kills = site.kill_at_random(agents, dice, lambda: site.ended() >= 0.9 * total)
        row.expect(site.settles(120 + total), "not all runs ended")
    row.expect(site.states() == {"Completed": total}, f"not all runs completed: {site.states()}")
    limits = {"pool": POOL, "deployment rare": RARE}
    limits |= {f"queue {name}": size for name, size in QUEUES.items() if size}
    for name, seen in most.items():
        limit = AGENT if name.startswith("agent") else limits.get(name, total)
        row.expect(seen <= limit, f"{name}: {seen} open attempts, of {limit}")
    for name, runs in ran.items():
        limit = QUEUES[name] or POOL
        seen = _most_at_once(site, set(runs))
        row.expect(seen <= limit, f"queue {name}: {seen} runs at once in user code, of {limit}")
    seen = _most_at_once(site, set(limited))
    row.expect(seen <= RARE, f"a deployment: {seen} runs at once in user code, of {RARE}")
    for run_id, begun in Counter(mark.run_id for mark in site.marked()).items():
        row.expect(begun == 1, f"run {run_id} was started {begun} times")
    shown = [f"{name} {most[name]} of {limit}" for name, limit in limits.items()]
    row.figures |= {"agents": str(len(agents)), "killed": str(kills), "most at once": ", ".join(shown)}
    for agent in agents:
        site.kill(agent.name)


def _count_places(site: Site, counts: Counts, row: Row, ports: list[int]) -> None:
    """Have many ask for few places at once, of a tag and of a limit by name."""
    site.client.call(api.create_tag_limit, requests.TagLimitCreate(tag="rare", concurrency_limit=PLACES))
    site.client.call(api.create_slot_limit, requests.SlotLimitCreate(name="shared", limit=PLACES))
    for number in range(counts.scaled(50, 1)):
        row.trials += 2 * AT_ONCE
        _count_tag(site, row, ports, f"round-{number}")
        _count_names(site, row, ports, f"round-{number}")
    left = site.rows(TAKEN)[0][0]
    row.expect(left == 0, f"{left} places are still taken when nothing runs")


def _count_tag(site: Site, row: Row, ports: list[int], name: str) -> None:
    tasks = [
        site.client.call(
            api.create_task_run,
            requests.TaskRunCreate(flow_run_id=None, task_key=name, dynamic_key=str(number), tags=["rare"]),
        ).id
        for number in range(AT_ONCE)
    ]

    def enter(client: Client, number: int, type_: StateType) -> str:
        body = requests.SetState(state=requests.StateCreate(type=type_))
        return client.call(api.set_task_run_state, body, id=tasks[number]).status

    answers = _at_once(site, ports, lambda client, number: enter(client, number, StateType.RUNNING))
    taken = [number for number, status in enumerate(answers) if status == "ACCEPT"]
    row.expect(len(taken) == PLACES, f"{len(taken)} task runs of a tag run, of {PLACES}")
    for number in taken:
        enter(site.client, number, StateType.COMPLETED)


def _count_names(site: Site, row: Row, ports: list[int], name: str) -> None:
    def ask(client: Client, number: int) -> bool:
        try:
            client.call(
                api.increment_slots, requests.TakeSlots(slots=1, names=["shared", f"{name}-{number}"])
            )
        except ApiError as error:
            if error.status != FULL:
                raise
            return False
        return True

    taken = _at_once(site, ports, ask)
    row.expect(sum(taken) == PLACES, f"{sum(taken)} slots of a limit are taken, of {PLACES}")
    made = {one for (one,) in site.rows(f"select name from slot_limits where name like '{name}-%'")}
    expected = {f"{name}-{number}" for number, has in enumerate(taken) if has}
    row.expect(made == expected, f"refused requests have stored {sorted(made - expected)}")
    site.client.call(api.decrement_slots, requests.GiveSlots(slots=PLACES, names=["shared"]))


def _at_once(site: Site, ports: list[int], ask: Callable[[Client, int], T]) -> list[T]:
    """Ask from many threads, of all servers; return the answers in order."""
    key = (site.home / "key").read_text().strip()
    start = threading.Barrier(AT_ONCE)

    def go(number: int) -> T:
        client = Client(f"http://127.0.0.1:{ports[number % len(ports)]}/api", key, patience=0)
        try:
            start.wait()
            return ask(client, number)
        finally:
            client.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(go, range(AT_ONCE)))


def _count_order(site: Site, row: Row, deployment: str) -> None:
    """Priority first, then scheduled time."""
    marks = site.root / "order"
    asked = {name: site.run_at_once(deployment, 2, queue=name, marks=str(marks)) for name in reversed(QUEUES)}
    row.trials += 2 * len(QUEUES)
    agent = Agent("alone", ("--limit", "1"), tuple(QUEUES))
    site.employ(agent)
    expected = [run_id for name in QUEUES for run_id in asked[name]]
    site.until_final(expected)
    came = [mark.run_id for mark in site.marked(marks=marks)]
    names = {run_id: f"{name} {place}" for name, runs in asked.items() for place, run_id in enumerate(runs)}
    row.expect(came == expected, f"runs came in the order {[names[one] for one in came]}")
    site.stop(agent.name)


def _count_blocked(site: Site, counts: Counts, row: Row, deployment: str) -> None:
    """Have many runs wait in full and paused queues and of a full deployment; ask for one behind them."""
    agent = Agent("last", queues=tuple(QUEUES))
    site.employ(agent)
    free = min(_delay(site, deployment, f"free-{number}") for number in range(2))
    site.cli("queues", "set-limit", "narrow", "0")
    site.cli("queues", "pause", "middle")
    rare = _deploy_rare(site, 0)
    blocked = counts.scaled(10_000, 21)
    for one, name in ((deployment, "narrow"), (deployment, "middle"), (rare, "wide")):
        site.begin(one, blocked // 3, queue=name)
    behind = min(_delay(site, deployment, f"behind-{number}") for number in range(2))
    row.trials += blocked
    row.figures["start"] = f"{free:.2f} s, behind {blocked} blocked runs {behind:.2f} s"
    row.expect(
        behind <= free + LATER_SECONDS, f"behind blocked runs a run starts {behind - free:.1f} s later"
    )


def _deploy_rare(site: Site, limit: int) -> str:
    """Deploy a flow of which few runs may be at work."""
    return site.deploy(RARE_FLOW, "rare", "--concurrency-limit", str(limit), file="rare.py")


def _delay(site: Site, deployment: str, name: str) -> float:
    """Return how many seconds after it was asked for a run has started."""
    marks, asked = site.root / name, time.time()
    runs = site.run_at_once(deployment, 1, queue="wide", marks=str(marks))
    site.until_final(runs)
    return site.marked(marks=marks)[0].at - asked


@contextmanager
def _watching(site: Site) -> Iterator[Counter[str]]:
    """Look at the open attempts again and again; give the most that were seen of each kind."""
    most: Counter[str] = Counter()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for name, count in site.rows(OPEN):
                most[name] = max(most[name], count)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _most_at_once(site: Site, runs: Collection[UUID]) -> int:
    """Return how many of these runs were in user code at the same time."""

    def when(mark: Mark) -> tuple[float, int]:
        return mark.at, 1 if mark.word == "begin" else -1

    marks = [mark for mark in (*site.marked(), *site.marked("end")) if mark.run_id in runs]
    now = most = 0
    for _, step in sorted(when(mark) for mark in marks):
        now += step
        most = max(most, now)
    return most
