"""The figures of the main job: due → code, many runs at once, idle cost, imports. Prints a table.

    scripts/bench main [--samples 20] [--runs 200] [--limit 8]

Everything runs as a user's does: ``reeve server start`` and ``reeve agent start`` in a home of their own, on
SQLite. Times of processes come from /proc. The machine's own limit, a bare ``python -c pass``, stands beside.
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
from datetime import datetime
from pathlib import Path

from tests.acceptance.house import House, until

from reeve.wire import endpoints as api

TICK = os.sysconf("SC_CLK_TCK")
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
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--limit", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root:
        house = House(Path(root), f"sqlite:///{root}/reeve.db")
        try:
            house.start_server()
            house.cli("pools", "create", "default")
            agent = house.start_agent("agent", "--limit", str(options.limit))
            until("the agent", lambda: house.client.call(api.list_agents))
            pids = {"server": house.processes["server"].pid, "agent": agent.pid}
            latency(house, options.samples)
            idle(house, pids)
            burst(house, options.runs)
        finally:
            house.close()
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
    """Print how long after its creation the code of a run executes, cold interpreter, idle machine."""
    deployment = house.deploy(STAMP, "stamp", file="stamp.py")
    waits = []
    for n in range(samples):
        mark = house.root / f"mark{n}"
        (run_id,) = house.run_at_once(deployment, 1, path=str(mark))
        house.ends(run_id)
        created = datetime.fromisoformat(house.read(run_id).created).timestamp()
        waits.append((float(mark.read_text()) - created) * 1000)
    waits.sort()
    p95 = waits[int(len(waits) * 0.95) - 1]
    row(f"due → code, {samples} samples", f"p50 {statistics.median(waits):.0f} ms", f"p95 {p95:.0f} ms")


def burst(house: House, runs: int) -> None:
    """Print how fast many no-op runs, asked for at once, are Completed, and what they cost."""
    deployment = house.deploy(NOOP, "noop", file="noop.py")
    ours = house.members()
    before = sum(map(cpu_seconds, ours))
    began, peak = time.monotonic(), 0.0
    run_ids = house.run_at_once(deployment, runs)
    asked = time.monotonic() - began

    def done() -> bool:
        nonlocal peak
        peak = max(peak, sum(map(rss_mib, house.members())))
        body = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "id": {"any_": run_ids}}}
        return len(house.client.call(api.filter_flow_runs, body)) == runs

    until("all of them", done, patience=600)
    lasted = time.monotonic() - began
    for run_id in run_ids:
        house.ends(run_id)
    spent = sum(map(cpu_seconds, ours)) - before
    row(
        f"{runs} no-op runs at once",
        f"{runs / lasted:.1f} runs/s",
        f"all Completed, asked for in {asked:.1f} s",
    )
    row(
        "  CPU of server, agent and shim, with the runs they waited for",
        f"{spent / runs * 1000:.0f} ms a run",
    )
    row("  peak memory, all processes (RSS, shared pages counted each)", f"{peak:.0f} MiB")


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
    """Return the CPU time of a process and of the children it has waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICK


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
