"""The figures of the main job: due → code, many runs at once, idle cost, imports. Prints a table.

    scripts/bench main [--samples 500] [--runs 2000] [--limit 16] [--database-url URL]

Everything runs as a user's does: ``reeve server start`` and ``reeve agent start`` in a home of their own, on
SQLite unless said. Times of processes come from /proc, those of runs from the database. The machine's own
limits stand beside: a bare ``python -c pass``, and forks of a process that has imported what a template has.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from tests.acceptance.house import House, until

from reeve.wire import endpoints as api
from reeve.wire import requests

TICK = os.sysconf("SC_CLK_TCK")
WARMING = 20  # runs before a sample counts
CREATORS = 16
ENDED = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {}, "name": {}}}
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
from pathlib import Path
from reeve import flow

@flow
def stamp(path: str):
    Path(path).write_text(repr(time.time()))
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
        house = House(Path(root), options.database_url or f"sqlite:///{root}/reeve.db")
        try:
            house.start_server()
            house.cli("pools", "create", "default")
            agent = house.start_agent("agent", "--limit", str(options.limit))
            until("the agent", lambda: house.client.call(api.list_agents))
            pids = {"server": house.processes["server"].pid, "agent": agent.pid}
            latency(house, options.samples)
            idle(house, pids)
            burst(house, options.runs, pids)
        finally:
            house.close()
    forks()
    imports()


def idle(house: House, pids: dict[str, int], seconds: float = 10) -> None:
    """Print what server, agent and shim cost while nothing happens."""
    everyone = {**pids, **{f"shim {n}": pid for n, pid in enumerate(house.shims())}}
    before = {name: cpu_seconds(pid) for name, pid in everyone.items()}
    time.sleep(seconds)  # what is measured is idleness
    for name, pid in everyone.items():
        used = (cpu_seconds(pid) - before[name]) / seconds * 100
        row(f"idle {name}", f"{used:.2f} % of a core", f"{rss_mib(pid):.1f} MiB")


def latency(house: House, samples: int) -> None:
    """Print how long after its creation the code of a run executes, on an idle machine: cold, then warm."""
    deployment = house.deploy(STAMP, "stamp", file="stamp.py")
    waits = [wait(house, deployment, n) for n in range(samples + WARMING)]
    row("due → code, the first run", f"{waits[0]:.1f} ms")
    quantiles = statistics.quantiles(waits[WARMING:], n=100)
    row(f"due → code, {samples} samples", *(f"p{one} {quantiles[one - 1]:.1f} ms" for one in (50, 95, 99)))


def wait(house: House, deployment: str, number: int) -> float:
    """Return the milliseconds between the creation of a run and its code."""
    mark = house.root / f"mark{number}"
    (run_id,) = house.run_at_once(deployment, 1, path=str(mark))
    house.ends(run_id)
    return (float(mark.read_text()) - stamp(house.read(run_id).created)) * 1000


def burst(house: House, runs: int, pids: dict[str, int]) -> None:
    """Print how fast many no-op runs are Completed that a paused queue holds, and what they cost."""
    deployment = house.deploy(NOOP, "noop", file="noop.py")
    queue = house.client.call(api.read_work_queue_by_name, name="default").id
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=True), id=queue)
    began = time.monotonic()
    with ThreadPoolExecutor(CREATORS) as pool:
        list(pool.map(lambda _: house.run_at_once(deployment, runs // CREATORS), range(CREATORS)))
    runs = runs // CREATORS * CREATORS
    row(f"{runs} runs created over {CREATORS} connections", f"{runs / (time.monotonic() - began):.0f} runs/s")
    everyone = {**pids, **{f"shim {n}": pid for n, pid in enumerate(house.shims())}}
    before = {name: cpu_times(pid) for name, pid in everyone.items()}
    resumed = time.time()
    house.client.call(api.update_work_queue, requests.WorkQueueUpdate(is_paused=False), id=queue)
    peak = 0.0

    def done() -> bool:
        nonlocal peak
        time.sleep(0.5)  # a look costs the server something: not too many
        peak = max(peak, sum(map(rss_mib, house.members())))
        return house.client.call(api.count_flow_runs, ENDED) >= runs

    until("all of them", done, patience=3600)
    last = house.client.call(api.filter_flow_runs, ENDED | {"sort": "END_TIME_DESC", "limit": 1})[0].end_time
    assert last
    row(f"{runs} no-op runs, one agent", f"{runs / (stamp(last) - resumed):.1f} runs/s", "all Completed")
    spent = {name: cpu_times(pid) for name, pid in everyone.items()}
    for name, (own, children) in spent.items():
        figures = [f"{(own - before[name][0]) / runs * 1000:.2f} ms a run"]
        if children > before[name][1]:
            figures.append(f"its children {(children - before[name][1]) / runs * 1000:.2f} ms")
        row(f"  CPU of {name}", *figures)
    total = sum(map(sum, spent.values())) - sum(map(sum, before.values()))
    row("  CPU of all", f"{total / runs * 1000:.2f} ms a run")
    row("  peak memory, all processes (RSS, shared pages counted each)", f"{peak:.0f} MiB")


def forks() -> None:
    """Print how many processes of a template's size this machine forks a second, from one and two parents."""
    for parents in (1, 2):
        children = [
            subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE) for _ in range(parents)
        ]
        rates = [float(child.communicate()[0]) for child in children]
        row(f"bare fork + exit + wait, {parents} parents", f"{sum(rates):.0f}/s")


def stamp(text: str) -> float:
    """Return a time of the wire as Unix time."""
    return datetime.fromisoformat(text).timestamp()


def imports() -> None:
    """Print what starting costs."""
    for name, words in {
        "python -c pass": ["-c", "pass"],
        "import reeve": ["-c", "import reeve"],
        "reeve --help": ["-m", "reeve", "--help"],
    }.items():
        row(name, f"{statistics.median(timed(words) for _ in range(11)) * 1000:.0f} ms")
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import reeve"], capture_output=True, text=True, check=True
    ).stderr
    heavy = [name for name in ("reeve.server", "sqlite3", "asyncpg", "asyncio") if name in listed]
    row("import reeve loads of server, SQL and asyncio", ", ".join(heavy) or "nothing")


def timed(words: Iterable[str]) -> float:
    """Return the seconds that an interpreter takes for ``words``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of the children it has waited for."""
    return sum(cpu_times(pid))


def cpu_times(pid: int) -> tuple[float, float]:
    """Return the CPU time of a process, and that of the children it has waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return sum(map(int, fields[11:13])) / TICK, sum(map(int, fields[13:15])) / TICK


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def row(what: str, *figures: str) -> None:
    """Print a line of the table."""
    print(f"{what:<64} {'   '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()
