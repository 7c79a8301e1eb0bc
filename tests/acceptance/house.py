"""A whole installation for tests: real server, real agents, real runs, in a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from reeve.client.sync import Client
from reeve.core.states import StateType
from reeve.wire import endpoints as api
from reeve.wire import requests, responses

T = TypeVar("T")

PATIENCE = 90.0  # seconds; reached only when something is broken


def until(what: str, look: Callable[[], T | None], patience: float = PATIENCE, pause: float = 0.05) -> T:
    """Look until there is something to see, and return it; ``pause``: seconds between two looks."""
    deadline = time.monotonic() + patience
    while True:
        if seen := look():
            return seen
        assert time.monotonic() < deadline, f"waited {patience:.0f} s in vain for {what}"
        time.sleep(pause)


def alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class House:
    """A server with its database, agents by name, and the command line of their user."""

    def __init__(self, root: Path, database_url: str, **settings: str) -> None:
        self.root = root
        self.home = root / "home"
        self.flows = root / "flows"
        self.flows.mkdir(parents=True)
        self.port = free_port()
        self.settings = {
            "REEVE_HOME": str(self.home),
            "REEVE_SERVER_PORT": str(self.port),
            "REEVE_DATABASE_URL": database_url,
            **settings,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._client: Client | None = None

    # --- processes ---

    def environ(self, **more: str) -> dict[str, str]:
        ours = ("REEVE_", "PREFECT_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**kept, **self.settings, **more}

    def start(self, name: str, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a command of reeve's in the background, its output in ``NAME.log``."""
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "reeve", *command],
                env=self.environ(**environ),
                cwd=self.flows,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def start_server(self, *options: str, **environ: str) -> None:
        process = self.start("server", "server", "start", *options, **environ)
        until("the server", lambda: self.answers() or process.poll() is not None)
        assert process.poll() is None, self.log("server")

    def start_agent(self, name: str = "agent", *options: str, **environ: str) -> subprocess.Popen[bytes]:
        serving = ("agent", "start", "-p", "default", "-q", "default", "--name", name)
        return self.start(name, *serving, *options, **environ)

    def kill(self, name: str) -> None:
        """End a process as ``kill -9`` does."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(PATIENCE)

    def stop(self, name: str) -> int:
        """Ask a process to stop, and return its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()

    def close(self) -> None:
        """End everything, runs and shims included."""
        if self._client is not None:
            self._client.close()
        for name in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)
        until("everything to end", lambda: not self._end_all())

    def _end_all(self) -> list[int]:
        pids = self.members()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def members(self, mark: str = "") -> list[int]:
        """Return the processes whose environment names this home (and ``mark``), or whose command does."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if str(self.home).encode() in told and mark.encode() in told and alive(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def shims(self) -> list[int]:
        """Return the shims of this home."""
        found = []
        for pid in self.members():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if any(b"/shim" in word and str(self.home).encode() in word for word in words):
                    found.append(pid)
        return found

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return (self.home / "key").exists()
        except OSError:
            return False

    # --- the user ---

    @property
    def client(self) -> Client:
        if self._client is None:
            key = (self.home / "key").read_text().strip()
            self._client = Client(f"http://127.0.0.1:{self.port}/api", key, patience=PATIENCE)
        return self._client

    def cli(self, *args: str, code: int | None = 0, **environ: str) -> str:
        """Run a command of reeve's; return what it printed on both streams."""
        done = subprocess.run(
            [sys.executable, "-m", "reeve", *args],
            env=self.environ(**environ),
            cwd=self.flows,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"exit {done.returncode}: {said}"
        assert "Traceback" not in said, said
        return said

    def deploy(self, source: str, flow: str = "main", *options: str, file: str = "flows.py") -> str:
        """Write a flow file and deploy the flow as ``FLOW/t``; return that name."""
        (self.flows / file).write_text(source)
        self.cli("deploy", f"{file}:{flow}", "-n", "t", *options)
        return f"{flow.replace('_', '-')}/t"

    def run(self, deployment: str, *options: str) -> UUID:
        """Ask for a run by the command line."""
        printed = self.cli("run", deployment, "--json", *options)
        return UUID(json.loads(printed)["id"])

    def run_at_once(
        self, deployment: str, count: int, *, queue: str | None = None, **parameters: Any
    ) -> list[UUID]:
        """Ask for many runs by the API; ``queue``: another than their deployment's."""
        flow, name = deployment.split("/")
        target = self.client.call(api.read_deployment_by_name, flow_name=flow, deployment_name=name)
        return [
            self.client.call(
                api.create_run_of_deployment,
                requests.DeploymentFlowRunCreate(parameters=parameters, work_queue_name=queue),
                id=target.id,
            ).id
            for _ in range(count)
        ]

    def read(self, run_id: UUID) -> responses.FlowRunResponse:
        return self.client.call(api.read_flow_run, id=run_id)

    def attempts(self, run_id: UUID) -> list[responses.Attempt]:
        return self.client.call(api.flow_run_attempts, id=run_id)

    def reaches(self, run_id: UUID, *names: str) -> responses.FlowRunResponse:
        """Wait until a run is in a state of one of these names."""

        def look() -> responses.FlowRunResponse | None:
            run = self.read(run_id)
            return run if run.state_name in names else None

        found = until(f"{run_id} to be {names}", look)
        assert found is not None
        return found

    def ends(self, run_id: UUID) -> responses.FlowRunResponse:
        """Wait until a run is final and no attempt holds it."""

        def look() -> responses.FlowRunResponse | None:
            run = self.read(run_id)
            final = run.state_type is not None and StateType(run.state_type).is_final
            return run if final and all(each.closed for each in self.attempts(run_id)) else None

        found = until(f"{run_id} to end", look)
        assert found is not None
        return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
