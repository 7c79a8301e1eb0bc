"""Dispatch beside Prefect 2.20's agent and Prefect 3's worker: due -> code, runs a second, CPU a run.

    scripts/bench dispatch [--samples 10] [--runs 40] [--peers reeve,2.20,3] [--json FILE] [--svg FILE]

One after the other, each with a server, an agent or worker (limit 16, polls each second where there are
polls) and a flow of its own on this machine. ``due -> code``: from the creation of a run that is due to the
first line of its flow. ``a second``: from the resuming of the paused queue that holds runs to the last end
in the database. CPU: of all processes of the peer, ended ones included. What does not end is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
from benches import peers
from benches.figures import Figures, add_options
from tests.acceptance.house import House, until

TICK = os.sysconf("SC_CLK_TCK")
LIMIT = 16
PATIENCE = 120.0  # seconds for a burst
SAMPLE_PATIENCE = 45.0  # and for a run that is alone
SOURCE = """
import time
from pathlib import Path
from {package} import flow

@flow
def stamp(path: str = ""):
    if path:
        Path(path).write_text(repr(time.time()))
"""
DEPLOY = {
    "2.20": """
from prefect.deployments import Deployment
from stamp import stamp
Deployment.build_from_flow(
    stamp, name="d", work_pool_name="bench", work_queue_name="default",
    path={folder!r}, entrypoint="stamp.py:stamp", apply=True,
)
""",
    "3": """
from prefect import flow
flow.from_source(source={folder!r}, entrypoint="stamp.py:stamp").deploy(name="d", work_pool_name="bench")
""",
}

KINDS = {  # type of the pool, what serves it, and how often that asks
    "2.20": (
        "prefect-agent",
        ("agent", "start", "-q", "default"),
        {"PREFECT_AGENT_QUERY_INTERVAL": "1", "PREFECT_AGENT_PREFETCH_SECONDS": "0"},
    ),
    "3": (
        "process",
        ("worker", "start"),
        {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "0"},
    ),
}


@dataclass
class Dispatcher:
    """A peer that runs deployed flows. ``pids``: whose CPU counts, with all that they have started."""

    name: str
    url: str
    headers: dict[str, str]
    folder: Path
    pids: list[int]
    deployment: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server; one that is too busy is asked again, as its own clients do."""
        for pause in (0.2, 0.5, 1, 2, 5, 0):
            answer = httpx2.request(method, f"{self.url}{path}", json=body, headers=self.headers, timeout=120)
            if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(pause)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def create(self, **parameters: str) -> Any:
        """Create a run that is due now."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.call("POST", f"/deployments/{self.deployment}/create_flow_run", body)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--peers", default=",".join(STARTS))
    add_options(parser)
    options = parser.parse_args()
    if unknown := sorted({*options.peers.split(",")} - {*STARTS}):
        parser.error(f"--peers: {', '.join(unknown)}; there are {', '.join(STARTS)}")
    measured = []
    for name in options.peers.split(","):
        with tempfile.TemporaryDirectory(prefix="reeve-bench-") as root, STARTS[name](Path(root)) as peer:
            print(f"measuring {peer.name}", file=sys.stderr, flush=True)
            latency(peer, options.samples)
            burst(peer, options.runs)
            measured.append(peer)
    table(measured).write(options)


def latency(peer: Dispatcher, samples: int) -> None:
    """Note how long after their creation runs are in their code, one after the other."""
    waits, lost = [], 0
    for number in range(samples + 1):
        mark = peer.folder / f"mark{number}"
        created = datetime.fromisoformat(peer.create(path=str(mark))["created"]).timestamp()
        try:
            until(f"a run of {peer.name}", lambda: mark.exists() and mark.read_text(), SAMPLE_PATIENCE)  # noqa: B023
        except AssertionError:
            lost += 1
            continue
        waits.append((float(mark.read_text()) - created) * 1000)
        with contextlib.suppress(AssertionError):
            until("its end", lambda: not _unfinished(peer), SAMPLE_PATIENCE)
    peer.figures[f"{samples + 1} runs singly: never in their code"] = lost
    if len(waits) < 2:  # the first warms up
        return
    peer.figures["due -> code, ms, median"] = statistics.median(waits[1:])  # the first warms up
    peer.figures["due -> code, ms, lowest"] = min(waits[1:])
    peer.figures["due -> code, ms, highest"] = max(waits[1:])


def burst(peer: Dispatcher, runs: int) -> None:
    """Note how fast many runs end that a paused deployment's queue holds, and what they cost."""
    deployment = peer.call("GET", f"/deployments/{peer.deployment}")
    queue = f"/work_pools/{deployment['work_pool_name']}/queues/{deployment['work_queue_name']}"
    peer.call("PATCH", queue, {"is_paused": True})
    for _ in range(runs):
        peer.create()
    before = {pid: _cpu(pid) for pid in peer.pids}
    resumed = time.time()
    peer.call("PATCH", queue, {"is_paused": False})
    with contextlib.suppress(AssertionError):
        until("all of them", lambda: not _unfinished(peer), PATIENCE)
    time.sleep(2)  # what has ended is waited for by its parent, whose CPU it then is
    cpu = sum(_cpu(pid) - before[pid] for pid in peer.pids)
    ended = peer.call("POST", "/flow_runs/filter", {"sort": "END_TIME_DESC", "limit": 200})
    done = [run for run in ended if run["state_type"] == "COMPLETED" and not run["parameters"].get("path")]
    last = max((datetime.fromisoformat(run["end_time"]).timestamp() for run in done), default=resumed)
    peer.figures[f"{runs} runs at once: a second"] = len(done) / (last - resumed) if done else 0.0
    peer.figures[f"{runs} runs at once: not Completed"] = runs - len(done)
    peer.figures["CPU a run, all processes, ms"] = cpu / runs * 1000


def _unfinished(peer: Dispatcher) -> int:
    states = ["SCHEDULED", "PENDING", "RUNNING"]
    count: int = peer.call("POST", "/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": states}}}})
    return count


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, of its living descendants, and of those that were waited for."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                spent[int(entry.name)] = sum(map(int, fields[11:15])) / TICK
    return sum(seconds for one, seconds in spent.items() if pid in _line(one, parents))


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid:
        yield pid
        pid = parents.get(pid, 0)


@contextlib.contextmanager
def reeve(root: Path) -> Iterator[Dispatcher]:
    """Start reeve on SQLite."""
    house = House(root / "reeve", f"sqlite:///{root}/reeve.db")
    try:
        house.start_server()
        house.cli("pools", "create", "default")
        agent = house.start_agent("agent", "--limit", str(LIMIT))
        key = (house.home / "key").read_text().strip()
        url, headers = f"http://127.0.0.1:{house.port}/api", {"Authorization": f"Bearer {key}"}
        name = house.deploy(SOURCE.format(package="reeve"), "stamp", file="stamp.py")
        peer = Dispatcher("reeve", url, headers, house.root, [house.processes["server"].pid, agent.pid])
        peer.deployment = peer.call("GET", f"/deployments/name/{name}")["id"]
        peer.create(path=str(house.root / "first"))
        until("its first run", lambda: not _unfinished(peer))
        peer.pids += house.shims()  # it is the child of nobody
        yield peer
    finally:
        house.close()


def prefect(version: str) -> Callable[[Path], contextlib.AbstractContextManager[Dispatcher]]:
    """Return what starts a Prefect with an agent, or a worker."""

    @contextlib.contextmanager
    def start(root: Path) -> Iterator[Dispatcher]:
        with peers.prefect(version, root) as served:
            (served.folder / "stamp.py").write_text(SOURCE.format(package="prefect"))
            (served.folder / "deploy.py").write_text(DEPLOY[version].format(folder=str(served.folder)))
            kind, words, pace = KINDS[version]
            command = [
                str(served.python.with_name("prefect")),
                "work-pool",
                "create",
                "bench",
                "--type",
                kind,
            ]
            subprocess.run(command, env=served.environ, check=True, stdout=subprocess.DEVNULL)
            pid = served.start(*words, "-p", "bench", "--limit", str(LIMIT), **pace)
            subprocess.run(
                [str(served.python), "deploy.py"],
                env=served.environ,
                cwd=served.folder,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            peer = Dispatcher(served.name, served.url, {}, served.folder, [served.pid, pid])
            peer.deployment = peer.call("GET", "/deployments/name/stamp/d")["id"]
            yield peer

    return start


STARTS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Dispatcher]]] = {
    "reeve": reeve,
    "2.20": prefect("2.20"),
    "3": prefect("3"),
}


def table(measured: list[Dispatcher]) -> Figures:
    """Print a line for each figure, and return all."""
    figures = Figures("dispatch")
    print(f"{'':<44}" + "".join(f"{peer.name:>20}" for peer in measured))
    for what in dict.fromkeys(what for peer in measured for what in peer.figures):
        cells = "".join(f"{peer.figures.get(what, float('nan')):>20.4g}" for peer in measured)
        print(f"{what:<44}{cells}", flush=True)
        for peer in measured:
            if what in peer.figures:
                figures.keep(what, peer.figures[what], "", peer.name)
    return figures


if __name__ == "__main__":
    main()
