"""What a run's process costs: CPU and page faults of a forked run, and what shim and template add. A table.

    scripts/bench child [--runs 300] [--burst 16]

A real shim, told directly what an agent would tell it, and the runs of a flow that does nothing; beside it
sits an agent that only says yes, so neither server nor agent is in the figures. One after the other tells how
long it takes from the order to the user's code; bursts tell what a run costs. *Bare* is the same template's
fork that ends at once: what no engine can go below. Figures a run, those of the children as they were reaped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from reeve.client.local import LENGTH_BYTES
from reeve.drivers.process import host, messages, orders, start, tree

FLOWS = """
import time
from reeve import flow

@flow
def nothing():
    pass

@flow
def stamp():
    print(time.monotonic())
"""
BARE = """
import os
from reeve.sdk import entry

warm = entry.warm

def main(prepared=None):
    os._exit(0)
"""
PATIENCE = 60.0
TICK = os.sysconf("SC_CLK_TCK")


class Spent(NamedTuple):
    """What processes have spent so far: CPU seconds; of a shim's ended children also page faults."""

    user: float
    system: float
    faults: int
    shim: float
    template: float

    def since(self, before: Spent) -> Spent:
        """Return what was spent since."""
        return Spent(
            user=self.user - before.user,
            system=self.system - before.system,
            faults=self.faults - before.faults,
            shim=self.shim - before.shim,
            template=self.template - before.template,
        )


class Line:
    """The line to a shim, and the orders that go through it."""

    def __init__(self, root: Path, relay: Path) -> None:
        self._root = root
        self._relay = relay
        start.start(root / "shim", 5.0)
        line = start.connect(root / "shim")
        assert line is not None, "the shim has just said that it listens"
        line.settimeout(PATIENCE)
        self._line = line
        self._lines = messages.Lines()
        self._heard: list[dict[str, Any]] = []
        self._tell(id=0, do="hello", protocol=messages.PROTOCOL)
        self._shim: int = self._next()["ok"]["pid"]

    def order(self, module: str, flow: str) -> dict[str, Any]:
        """Return an order for a run of a flow, its job written down as an agent does it."""
        attempt, run_id = str(uuid4()), str(uuid4())
        spool = self._root / "spool" / attempt
        (spool / "work").mkdir(parents=True)
        job = {
            "flow_name": flow,
            "entrypoint": f"flows.py:{flow}",
            "path": str(self._root),
            "run_name": "busy-bee",
            "deployment_name": "t",
        }
        (spool / "job").write_text(json.dumps(job))
        env = {
            **{name: text for name, text in os.environ.items() if not name.startswith("REEVE_")},
            "PYTHONPATH": os.pathsep.join([str(self._root), *sys.path]),
            "REEVE_API_URL": "http://127.0.0.1:9/api",
            "REEVE_API_KEY": "a-token-of-the-usual-length-0123456789abcdef",
            "REEVE_RUN_ID": run_id,
            "REEVE_ATTEMPT": attempt,
            "REEVE_JOB": str(spool / "job"),
            "REEVE_AGENT_SOCKET": str(self._relay),
            "REEVE_RECORDS": str(spool / "records"),
            "REEVE_RECORDS_QUOTA": "1000000",
        }
        return {
            "attempt": attempt,
            "argv": [sys.executable, "-m", module],
            "env": orders.joined(env),
            "cwd": str(spool / "work"),
            "spool_dir": str(spool),
            "grace_seconds": 5.0,
            "lease": {
                "seconds": 3600.0,
                "sent_at": host.boottime(),
                "margin_seconds": 5.0,
                "on_lost": "stop",
            },
            "template": start.template(module, env),
        }

    def run(self, orders: list[dict[str, Any]]) -> bool:
        """Launch all at once, and wait until the last has ended; return whether all were forked."""
        for order in orders:
            self._tell(id=order["attempt"], do="launch", **order)
        forked = True
        ended = 0
        while ended < len(orders):
            message = self._next()
            assert "error" not in message, message["error"]
            if message.get("event") == "exited":
                ended += 1
                assert message["record"]["code"] == 0, message["record"]
                self._tell(id=1, do="acknowledge", attempts=[message["record"]["attempt"]])
            elif "handle" in message.get("ok", {}):
                forked = forked and message["ok"]["handle"]["forked"]
        return forked

    def warm_up(self, module: str) -> None:
        """Have the template of a module ready, and past its first runs."""
        deadline = time.monotonic() + PATIENCE
        while not self.run([self.order(module, "nothing")]):
            assert time.monotonic() < deadline, "no template became ready"
        self.run([self.order(module, "nothing") for _ in range(10)])

    def spent(self, module: str) -> Spent:
        """Return what the shim, its ended children, and the template of a module have spent."""
        fields = _stat(self._shim)
        (template,) = (one for one in tree.children(self._shim) if _is_template(one, module))
        return Spent(
            int(fields[13]) / TICK,
            int(fields[14]) / TICK,
            int(fields[8]),
            _on_cpu(self._shim),
            _on_cpu(template),
        )

    def stamp(self, order: dict[str, Any]) -> float:
        """Return when the user's code of a run began."""
        return float((Path(order["spool_dir"]) / "stdout").read_text())

    def close(self) -> None:
        """Hang up; the shim ends by itself."""
        self._tell(id=2, do="retire")
        self._line.close()

    def _tell(self, **message: Any) -> None:
        self._line.sendall(messages.encode(message))

    def _next(self) -> dict[str, Any]:
        while not self._heard:
            self._heard = self._lines.feed(self._line.recv(1 << 20))
        return self._heard.pop(0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=320)
    parser.add_argument("--burst", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as directory:
        root = Path(directory)
        (root / "flows.py").write_text(FLOWS)
        (root / "bare.py").write_text(BARE)
        with yes_sayer(root / "calls") as relay:
            line = Line(root, relay)
            print(
                f"{'':<22}{'user':>9}{'sys':>9}{'faults':>9}{'shim':>9}{'template':>9}{'wall':>9}  (ms a run)"
            )
            measure(line, "bare", options)
            measure(line, "reeve.sdk.entry", options)
            latency(line, options.runs // 2)
            line.close()


def measure(line: Line, module: str, options: argparse.Namespace) -> None:
    """Print what the runs of a module's template cost."""
    line.warm_up(module)
    before, began = line.spent(module), time.monotonic()
    rounds = options.runs // options.burst
    for _ in range(rounds):
        line.run([line.order(module, "nothing") for _ in range(options.burst)])
    runs = rounds * options.burst
    wall = time.monotonic() - began
    spent = line.spent(module).since(before)
    figures = [
        f"{1000 * spent.user / runs:9.2f}",
        f"{1000 * spent.system / runs:9.2f}",
        f"{spent.faults / runs:9.0f}",
        f"{1000 * spent.shim / runs:9.2f}",
        f"{1000 * spent.template / runs:9.2f}",
        f"{1000 * wall / runs:9.2f}",
    ]
    print(f"{'bare' if module == 'bare' else 'a run':<22}{''.join(figures)}", flush=True)


def latency(line: Line, runs: int) -> None:
    """Print how long it takes from the order to the user's code, one run after the other."""
    took = []
    for _ in range(runs):
        order = line.order("reeve.sdk.entry", "stamp")
        asked = time.monotonic()
        line.run([order])
        took.append(line.stamp(order) - asked)
    took.sort()
    p50, p90 = (1000 * took[runs * part // 100] for part in (50, 90))
    print(f"order → user code: p50 {p50:.1f} ms, p90 {p90:.1f} ms")


@contextlib.contextmanager
def yes_sayer(path: Path) -> Iterator[Path]:
    """Have a process that accepts every state, at a socket like an agent's."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(_serve(listener))
        finally:
            os._exit(1)
    listener.close()
    try:
        yield path
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


async def _serve(listener: socket.socket) -> None:
    server = await asyncio.start_unix_server(_say_yes, sock=listener)
    await server.serve_forever()


async def _say_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one run, to its end."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            size = int.from_bytes(await reader.readexactly(LENGTH_BYTES))
            asked = json.loads(await reader.readexactly(size))["body"]["state"]
            state = {
                "id": str(uuid4()),
                "type": asked["type"],
                "name": asked["type"].title(),
                "timestamp": "2026-01-01T00:00:00+00:00",
                "message": None,
                "data": asked.get("data"),
                "state_details": asked["state_details"],
            }
            reply = {"status": 201, "body": {"state": state, "status": "ACCEPT", "details": {}}}
            answer = json.dumps(reply).encode()
            writer.write(len(answer).to_bytes(LENGTH_BYTES) + answer)
    writer.close()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _on_cpu(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _is_template(pid: int, module: str) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    named = b"reeve.drivers.process.template" in command and module.encode() in command
    return named and os.getsid(pid) == pid  # a spare is in its session


if __name__ == "__main__":
    main()
