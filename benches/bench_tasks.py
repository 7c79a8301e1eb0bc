"""The figures of tasks: what one costs, beside Prefect 2.20 and 3, each against a server of its own.

    scripts/bench tasks [--only fibo,mapped,many,cold] [--peers reeve,2.20,3] [--rounds 5] [--json FILE]
    scripts/bench tasks --only fibo --long            ten fibo(33) beside the forty fibo(10)
    scripts/bench tasks --only many --tasks 100000    memory, of reeve alone

fibo    tasks strictly one after another in one run, as in the public benchmark of Windmill: 40 of fibo(10),
        and with --long 10 of fibo(33). Overhead a task: what the loop took in the flow, less the time of the
        bare function in the same process, divided by the tasks; and what the rows say, first to last.
mapped  no-op tasks, mapped at once: tasks a CPU-second of the run's process, and the server's CPU a task.
many    no-op tasks in one flow, 500 at a time: memory of the run's process and of the server on the way.
cold    from the start of the process to the first line of the flow's function.

A flow is called in a process of its own, with a server that hears of it; all servers are up at the same time
and the peers take turns, each round anew. Figures are medians, with the lowest and the highest round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
from benches import peers
from tests.acceptance.house import House, until

TICK = os.sysconf("SC_CLK_TCK")
PAGE = 200  # the most that a filter answers
PARTS = ("fibo", "mapped", "many", "cold")
PEERS = ("reeve", "2.20", "3")

# One program for all peers: argv is the file for its answer, the pid of the server, the part, its arguments.
PROGRAM = """
import json, os, sys, time
from {package} import flow, task

def fibo(n):
    return n if n <= 1 else fibo(n - 1) + fibo(n - 2)

@task
def fibo_task(n):
    return fibo(n)

@task
def noop(x):
    return x

def wait(futures):
    for future in futures:
        future.wait()

def cpu(pid):
    fields = open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

def rss(pid):
    return int(open(f"/proc/{{pid}}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

@flow
def fibo_flow(count: int, n: int):
    began = time.perf_counter()
    for _ in range(count):
        fibo_task(n)
    return time.perf_counter() - began

@flow
def mapped_flow(count: int):
    wait(noop.map(range(count)))

@flow
def many_flow(count: int, server: int):
    marks = []
    for done in range(0, count, 500):
        wait(noop.map(range(min(500, count - done))))
        marks.append((done + 500, rss(os.getpid()), rss(server)))
    return marks

@flow
def cold_flow():
    return time.time()

def main():
    out, server, part, *words = sys.argv[1:]
    server, numbers = int(server), [int(word) for word in words]
    told = {{}}
    if part == "fibo":
        count, n = numbers
        began = time.perf_counter()
        for _ in range(count):
            fibo(n)
        told["bare"] = time.perf_counter() - began
        told["loop"] = fibo_flow(count, n)
    elif part == "mapped":
        before, wall = (time.process_time(), cpu(server)), time.perf_counter()
        mapped_flow(numbers[0])
        told = {{"seconds": time.perf_counter() - wall, "cpu": time.process_time() - before[0]}}
    elif part == "many":
        began = time.perf_counter()
        told = {{"marks": many_flow(numbers[0], server), "seconds": time.perf_counter() - began}}
    else:
        told["line"] = cold_flow()
    with open(out, "w") as file:
        json.dump(told, file)

if __name__ == "__main__":
    main()
"""


@dataclass
class Peer:
    """A server with what its programs need: an interpreter and an environment."""

    name: str
    python: Path
    environ: dict[str, str]
    server: int
    url: str
    key: str | None
    program: Path
    patience: float | None = None
    stuck: list[str] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def run(self, part: str, *words: int) -> Any:
        """Run a part in a process of its own and return what it tells."""
        out = self.program.parent / "told.json"
        out.unlink(missing_ok=True)
        command = [str(self.python), str(self.program), str(out), str(self.server), part, *map(str, words)]
        began = time.time()
        with (self.program.parent / f"{part}.log").open("wb") as log:
            done = subprocess.run(
                command, env=self.environ, stdout=log, stderr=log, check=False, timeout=self.patience
            )
        assert done.returncode == 0, (self.program.parent / f"{part}.log").read_text()[-3000:]
        return {**json.loads(out.read_text()), "began": began}

    def post(self, path: str, body: Any) -> Any:
        """Ask the server."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        answer = httpx2.post(f"{self.url}{path}", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def note(self, what: str, value: float) -> None:
        """Count a round's figure in."""
        self.figures.setdefault(what, []).append(value)


def asked() -> argparse.Namespace:
    """Read the command line; ``parts`` and ``names`` are what is to be measured, and of whom."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="fibo,mapped,cold", help=f"of {','.join(PARTS)}")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", action="store_true", help="ten fibo(33) too")
    parser.add_argument("--mapped", type=int, default=1000, help="how many tasks are mapped")
    parser.add_argument("--tasks", type=int, default=100_000, help="how many tasks the part 'many' has")
    parser.add_argument("--patience", type=float, default=300, help="seconds that a peer gets for one part")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    options = parser.parse_args()
    options.parts, options.names = options.only.split(","), options.peers.split(",")
    unknown = [*sorted({*options.parts} - {*PARTS}), *sorted({*options.names} - {*PEERS})]
    if unknown:
        parser.error(f"{', '.join(unknown)}: parts are {', '.join(PARTS)}; peers are {', '.join(PEERS)}")
    return options


def main() -> None:
    """Measure and print."""
    options = asked()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root, contextlib.ExitStack() as stack:
        started = [stack.enter_context(STARTS[name](Path(root))) for name in options.names]
        for peer in started:
            peer.patience = options.patience if peer.name != "reeve" else None
        for turn in range(options.rounds):
            for peer in started:
                for part in options.parts:
                    measure(peer, part, turn, options)
        figures = table(started)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


# The measurements


def measure(peer: Peer, part: str, turn: int, options: argparse.Namespace) -> None:
    """Measure a part once, unless the peer does not come to its end; memory once, and of reeve alone."""
    if part == "many" and (peer.name != "reeve" or turn):
        return
    say(f"round {turn + 1} of {options.rounds}: {part} of {peer.name}")
    try:
        MEASURES[part](peer, options)
    except subprocess.TimeoutExpired:
        say(f"{peer.name} did not end {part} within {options.patience:g} s")
        peer.stuck.append(part)


def fibo(peer: Peer, options: argparse.Namespace) -> None:
    """Note what a task costs beyond its function, tasks one after the other."""
    for name, count, n in [("40 light", 40, 10), *([("10 long", 10, 33)] if options.long else [])]:
        since = datetime.now(UTC)
        told = peer.run("fibo", count, n)
        peer.note(f"{name}: overhead a task, ms", (told["loop"] - told["bare"]) / count * 1000)
        rows = until(f"the rows of {peer.name}", partial(task_rows, peer, since, count))
        starts, ends = [one[0] for one in rows], [one[1] for one in rows]
        total = (max(ends) - min(starts)).total_seconds()
        peer.note(f"{name}: first start to last end by the rows, ms", total * 1000)


def task_rows(peer: Peer, since: datetime, count: int) -> list[tuple[datetime, datetime]] | None:
    """Return start and end of the tasks of the run that began after ``since``, once all are there."""
    body = {"task_runs": {"start_time": {"after_": since.isoformat()}}, "limit": PAGE}
    rows = peer.post("/task_runs/filter", body)
    found = [
        (datetime.fromisoformat(row["start_time"]), datetime.fromisoformat(row["end_time"]))
        for row in rows
        if row["end_time"]
    ]
    return found if len(found) == count else None


def mapped(peer: Peer, options: argparse.Namespace) -> None:
    """Note what mapped tasks cost in CPU."""
    before = tree_cpu(peer.server)
    told = peer.run("mapped", options.mapped)
    server = settled_cpu(peer.server) - before
    count = options.mapped
    peer.note(f"{count} mapped: tasks a CPU-second of the run's process", count / told["cpu"])
    peer.note(f"{count} mapped: CPU of the server, ms a task", server / count * 1000)
    peer.note(f"{count} mapped: tasks a second", count / told["seconds"])


def cold(peer: Peer, _: argparse.Namespace) -> None:
    """Note how long after its start a process is in the user's code."""
    told = peer.run("cold")
    peer.note("process start to first line, ms", (told["line"] - told["began"]) * 1000)


def many(peer: Peer, options: argparse.Namespace) -> None:
    """Note what memory many tasks in one flow take."""
    told = peer.run("many", options.tasks)
    marks = {done: sizes for done, *sizes in told["marks"]}
    for at in (min(10_000, max(marks)), max(marks)):
        peer.note(f"after {at:,} tasks: MiB of the run's process", marks[at][0])
        peer.note(f"after {at:,} tasks: MiB of the server", marks[at][1])
    peer.note(f"{options.tasks:,} tasks: tasks a second", options.tasks / told["seconds"])


MEASURES: dict[str, Callable[[Peer, argparse.Namespace], None]] = {
    "fibo": fibo,
    "mapped": mapped,
    "cold": cold,
    "many": many,
}


def tree_cpu(pid: int) -> float:
    """Return the CPU seconds of a process and of its living children."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if pid in {int(entry.name), int(fields[1])}:
                    total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def settled_cpu(pid: int) -> float:
    """Return the CPU seconds once the server has done what the run has left for it to do."""
    last = tree_cpu(pid)
    while True:
        time.sleep(1)  # what is waited for is that nothing happens
        now = tree_cpu(pid)
        if now - last < 0.05:
            return now
        last = now


# The peers


@contextlib.contextmanager
def reeve(root: Path) -> Iterator[Peer]:
    """Start reeve on SQLite."""
    house = House(root / "reeve", f"sqlite:///{root}/reeve.db")
    try:
        house.start_server()
        key = (house.home / "key").read_text().strip()
        program = house.root / "program.py"
        program.write_text(PROGRAM.format(package="reeve"))
        yield Peer(
            "reeve",
            Path(sys.executable),
            house.environ(REEVE_REPORT="server", REEVE_LOG_LEVEL="WARNING"),
            house.processes["server"].pid,
            f"http://127.0.0.1:{house.port}/api",
            key,
            program,
        )
    finally:
        house.close()


def prefect(name: str) -> Callable[[Path], Any]:
    """Return what starts a Prefect, in an environment that is made on demand."""

    @contextlib.contextmanager
    def start(root: Path) -> Iterator[Peer]:
        with peers.prefect(name, root) as served:
            program = served.folder / "program.py"
            program.write_text(PROGRAM.format(package="prefect"))
            yield Peer(served.name, served.python, served.environ, served.pid, served.url, None, program)

    return start


STARTS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Peer]]] = {
    "reeve": reeve,
    "2.20": prefect("2.20"),
    "3": prefect("3"),
}


# What is printed


def table(measured: list[Peer]) -> dict[str, Any]:
    """Print a line for each figure, and return all of them."""
    print(f"\n{'median (lowest-highest round)':<62}" + "".join(f"{peer.name:>28}" for peer in measured))
    figures: dict[str, Any] = {}
    for what in dict.fromkeys(what for peer in measured for what in peer.figures):
        line = {peer.name: peer.figures[what] for peer in measured if what in peer.figures}
        cells = "".join(f"{_cell(line[peer.name]) if peer.name in line else '-':>28}" for peer in measured)
        print(f"{what:<62}{cells}", flush=True)
        figures[what] = {name: {"median": median(rounds), "rounds": rounds} for name, rounds in line.items()}
    for peer in measured:
        for part in sorted(set(peer.stuck)):
            rounds = peer.stuck.count(part)
            print(f"{peer.name} did not end '{part}' within {peer.patience:g} s in {rounds} round(s)")
        figures[f"{peer.name}: parts that did not end"] = peer.stuck
    return figures


def _cell(rounds: list[float]) -> str:
    return f"{median(rounds):.4g} ({min(rounds):.4g}-{max(rounds):.4g})"


def say(what: str) -> None:
    """Tell what is going on, beside the table."""
    print(f"  [{datetime.now(UTC):%H:%M:%S}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
