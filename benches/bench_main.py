"""The figures of the main job: due → code, many runs at once, idle cost, imports. Prints a table.

    scripts/bench main [--samples 500] [--runs 2000] [--limit 16] [--database-url URL] [--json F] [--svg F]

Everything runs as a user's does: ``reeve server start`` and ``reeve agent start`` in a home of their own, on
SQLite unless said. Times of processes come from /proc, those of runs from the database. The machine's own
limits stand beside: a bare ``python -c pass``, and forks of a process that has imported what a template has.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from benches.figures import Figures, add_options
from benches.procs import busy_seconds, cpu_seconds, cpu_times, leaders, rss_mib
from tests.acceptance.house import House, until

from reeve.core.states import StateType
from reeve.wire import endpoints as api
from reeve.wire import requests
from reeve.wire.filters import FlowRunFilter, StateCriterion, StateTypes
from reeve.wire.queries import FlowRunFilters, FlowRunQuery, FlowRunSort

WARMING = 20  # runs before a sample counts
CREATORS = 16
ENDED = FlowRunFilter(state=StateCriterion(type=StateTypes(any_=[StateType.COMPLETED])))
FORKS = """
import gc, os, time
import reeve.sdk.entry
gc.freeze()
began = time.perf_counter()
for _ in range(500):
    if not (pid := os.fork()):
        os._exit(0)
    os.waitpid(pid, 0)
print(500 / (time.perf_counter() - began))
"""
NOOP = """
from reeve import flow

@flow
def noop():
    pass
"""
STAMP = """
import time
from reeve import flow

@flow
def stamp(path: str):
    now = time.time()
    with open(path, "w") as file:
        file.write(f"{now!r}.")
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--database-url")
    add_options(parser)
    options = parser.parse_args()
    figures = Figures("main")
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
        house = House(Path(root), options.database_url or f"sqlite:///{root}/reeve.db")
        try:
            house.start_server()
            house.cli("pools", "create", "default")
            agent = house.start_agent("agent", "--limit", str(options.limit))
            until("the agent", lambda: house.client.call(api.list_agents))
            pids = {"server": house.processes["server"].pid, "agent": agent.pid}
            latency(house, options.samples, figures)
            idle(house, pids, figures)
            rate = burst(house, options.runs, pids, figures)
        finally:
            house.close()
    bare = forks(figures)
    figures.add("no-op runs for each bare fork from 2 parents", rate / bare, "", least=0.12)
    imports(figures)
    figures.write(options)


def who_stays(house: House, pids: dict[str, int]) -> dict[str, int]:
    """Return the processes that outlast runs, while there are none: shims, and their templates, as well."""
    shims = {f"shim {number}": pid for number, pid in enumerate(house.shims())}
    templates = {f"template of {name}": child for name, pid in shims.items() for child in leaders(pid)}
    return {**pids, **shims, **templates}


def idle(house: House, pids: dict[str, int], figures: Figures, seconds: float = 10) -> None:
    """Print what server, agent and shim cost while nothing happens."""
    everyone = who_stays(house, pids)
    before = {name: cpu_seconds(pid) for name, pid in everyone.items()}
    time.sleep(seconds)  # what is measured is idleness
    used = {name: (cpu_seconds(pid) - before[name]) / seconds * 100 for name, pid in everyone.items()}
    held = {name: rss_mib(pid) for name, pid in everyone.items()}
    for what, unit, each, most in (
        ("CPU while nothing happens", "% of a core", used, 1.0),
        ("resident memory while nothing happens", "MiB", held, 150.0),
    ):
        for name, value in each.items():
            figures.add(what, value, unit, name)
        figures.add(what, sum(each.values()), unit, "all", most=most)


def latency(house: House, samples: int, figures: Figures) -> None:
    """Print how long after its creation the code of a run executes, on an idle machine: cold, then warm."""
    deployment = house.deploy(STAMP, "stamp", file="stamp.py")
    waits = [wait(house, deployment, n) for n in range(samples + WARMING)]
    figures.add("due → code, the first run", waits[0], "ms")
    quantiles = statistics.quantiles(waits[WARMING:], n=100)
    figures.add("due → code", waits[WARMING:], "ms", most=8)
    figures.add(f"due → code, p95 of {samples}", quantiles[94], "ms")
    figures.add(f"due → code, p99 of {samples}", quantiles[98], "ms", most=25)


def wait(house: House, deployment: str, number: int) -> float:
    """Return the milliseconds between the creation of a run and its code."""
    mark = house.root / f"mark{number}"
    (run_id,) = house.run_at_once(deployment, 1, path=str(mark))
    until("the run's mark", lambda: mark.exists() and mark.read_text().endswith("."))  # asks no server
    house.ends(run_id)
    return (float(mark.read_text()[:-1]) - stamp(house.read(run_id).created)) * 1000


def burst(house: House, runs: int, pids: dict[str, int], figures: Figures) -> float:
    """Print how fast many no-op runs are Completed that a paused queue holds, and what they cost.

    Return how many a second.
    """
    deployment = house.deploy(NOOP, "noop", file="noop.py")
    queue = house.client.call(api.read_work_queue_by_name, name="default").id
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=True), id=queue)
    began = time.monotonic()
    with ThreadPoolExecutor(CREATORS) as pool:
        list(pool.map(lambda _: house.run_at_once(deployment, runs // CREATORS), range(CREATORS)))
    runs = runs // CREATORS * CREATORS
    rate = runs / (time.monotonic() - began)
    figures.add(f"{runs} runs created over {CREATORS} connections", rate, "runs/s", least=800)
    everyone = who_stays(house, pids)
    before = {name: cpu_times(pid) for name, pid in everyone.items()}
    busy, bench = busy_seconds(), time.process_time()
    resumed = time.time()
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=False), id=queue)
    peak = 0.0

    def done() -> bool:
        nonlocal peak
        time.sleep(0.5)  # a look costs the server something: not too many
        peak = max(peak, sum(map(rss_mib, house.members())))
        return house.client.call(api.count_flow_runs, FlowRunFilters(flow_runs=ENDED)) >= runs

    until("all of them", done, patience=3600)
    busy, bench = busy_seconds() - busy, time.process_time() - bench
    newest = FlowRunQuery(flow_runs=ENDED, sort=FlowRunSort.END_TIME_DESC, limit=1)
    last = house.client.call(api.filter_flow_runs, newest)[0].end_time
    assert last
    rate = runs / (stamp(last) - resumed)
    figures.add(f"{runs} no-op runs, one agent, all Completed", rate, "runs/s", least=500)
    spent = {name: cpu_times(pid) for name, pid in everyone.items()}
    for name, (own, waited) in spent.items():
        figures.add("CPU a run", (own - before[name][0]) / runs * 1000, "ms", name)
        if waited > before[name][1]:
            figures.add("CPU a run", (waited - before[name][1]) / runs * 1000, "ms", f"children of {name}")
    total = sum(map(sum, spent.values())) - sum(map(sum, before.values()))
    figures.add("CPU a run", total / runs * 1000, "ms", "all", most=4)
    others = 100 * (1 - (total + bench) / busy)
    figures.add("CPU of others meanwhile, of what was busy", others, "%", "others", most=5)
    figures.add("peak memory, all processes (RSS, shared pages counted each)", peak, "MiB")
    return rate


def forks(figures: Figures) -> float:
    """Print how many processes of a template's size this machine forks a second, from one and two parents.

    Return the latter.
    """
    for parents in (1, 2):
        children = [
            subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE) for _ in range(parents)
        ]
        rates = [float(child.communicate()[0]) for child in children]
        figures.add("bare fork + exit + wait", sum(rates), "/s", f"from {parents}")
    return sum(rates)


def stamp(text: str) -> float:
    """Return a time of the wire as Unix time."""
    return datetime.fromisoformat(text).timestamp()


def imports(figures: Figures) -> None:
    """Print what starting costs."""
    for name, words in {
        "python -c pass": ["-c", "pass"],
        "import reeve": ["-c", "import reeve"],
        "reeve --help": ["-m", "reeve", "--help"],
    }.items():
        figures.add("time to start", [timed(words) * 1000 for _ in range(11)], "ms", name)
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import reeve"], capture_output=True, text=True, check=True
    ).stderr
    heavy = [name for name in ("reeve.server", "sqlite3", "asyncpg", "asyncio") if name in listed]
    print(f"import reeve loads of server, SQL and asyncio: {', '.join(heavy) or 'nothing'}")


def timed(words: Iterable[str]) -> float:
    """Return the seconds that an interpreter takes for ``words``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
