"""Guests in a house: unmodified programs of Prefect 2.20, in an environment of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from tests.acceptance import house
from tests.acceptance.house import House

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "fixtures" / "interop"
_BIN = ROOT / ".build" / "prefect-2.20" / "bin"

T = TypeVar("T")

PATIENCE = 300.0  # seconds; Prefect's programs take 5 to start on a quiet machine, and start others
PAUSE = 0.2  # seconds between two looks: each costs a server of 2.20 a tenth of that

# What a guest waits for by its own clock is cut short, where it has a setting for it.
QUICK = {
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_AGENT_QUERY_INTERVAL": "1",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_EXPERIMENTAL_ENABLE_TASK_SCHEDULING": "1",  # of tasks without a flow
    "COLUMNS": "250",  # tables are cut at the width of the terminal
}


def until(what: str, look: Callable[[], T]) -> T:
    """Look until there is something to see, and return it: for what guests do, who are slow."""
    return house.until(what, look, PATIENCE, PAUSE)


@cache
def environment() -> Path:
    """Return the ``bin`` of Prefect's environment, made now if it is not there."""
    made = subprocess.run(
        [ROOT / "scripts" / "prefect-env"], capture_output=True, text=True, check=False, timeout=600
    )
    assert made.returncode == 0, (
        "Prefect 2.20 could not be installed on this machine, and without it nothing shows that its programs "
        f"work against reeve. What scripts/prefect-env said:\n{made.stderr}"
    )
    return _BIN


def environ(home: Path, api_url: str, key: str | None) -> dict[str, str]:
    """Return what a user of Prefect sets; ``key`` None: nothing shown at the door."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("REEVE_", "PREFECT_"))}
    shown = {} if key is None else {"PREFECT_API_KEY": key}
    return {**kept, **QUICK, **shown, "PREFECT_HOME": str(home), "PREFECT_API_URL": api_url}


class GuestHouse(House):
    """A house whose user has Prefect 2.20. ``open_door``: the server asks for no key, and none is shown."""

    def __init__(self, root: Path, database_url: str, *, open_door: bool, **settings: str) -> None:
        super().__init__(root, database_url, **settings)
        shutil.copytree(PROGRAMS, self.flows, dirs_exist_ok=True)
        self.open_door = open_door
        self.python = str(environment() / "python")
        (self.home / "prefect").mkdir(parents=True)  # Prefect makes the last folder alone
        self.api_url = f"http://127.0.0.1:{self.port}/api"

    def answers(self) -> bool:
        if not self.open_door:
            return super().answers()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    # --- the guests ---

    def run_program(self, program: str, *args: str) -> str:
        """Run one of PROGRAMS to its end; return what it printed."""
        return self._finish(self.python, program, *args)

    def prefect(self, *args: str, answer: str = "") -> str:
        """Run a command of Prefect's to its end, ``answer`` given to what it asks; return what it printed."""
        return self._finish(str(environment() / "prefect"), *args, answer=answer)

    def start_prefect(self, name: str, *args: str) -> None:
        """Start a command of Prefect's in the background, its output in ``NAME.log``."""
        self.start_guest(name, str(environment() / "prefect"), *args)

    def start_guest(self, name: str, *command: str) -> None:
        """Start Prefect's interpreter with these arguments in the background, its output in ``NAME.log``."""
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [self.python, *command],
                env=self.guest_environ(),
                cwd=self.flows,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process

    def interrupt(self, name: str) -> int:
        """End a background process as Ctrl-C does, and return its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGINT)
        return process.wait(PATIENCE)

    def guest_environ(self) -> dict[str, str]:
        # PWD as a shell has it: prefect.yaml of the fixtures asks for it.
        return environ(self.home / "prefect", self.api_url, self.key) | {"PWD": str(self.flows)}

    def _finish(self, *command: str, answer: str = "") -> str:
        with subprocess.Popen(
            command,
            env=self.guest_environ(),
            cwd=self.flows,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                said, _ = process.communicate(answer, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
        told = f"{' '.join(command)}: exit {process.returncode}\n{said}\nserver:\n{self.log('server')}"
        assert process.returncode == 0, told
        return said

    # --- what stands on the server ---

    @property
    def key(self) -> str | None:
        return None if self.open_door else (self.home / "key").read_text().strip()

    def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> httpx2.Response:
        """Send one request, as whoever holds ``key``; as the user without one."""
        shown = key or self.key
        return httpx2.request(
            method,
            f"{self.api_url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {shown}"} if shown else {},
            timeout=PATIENCE,
            verify=False,  # as of any address without TLS; to load the authorities costs 80 ms a look
        )

    def told(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request, and return the answer, which must be a success."""
        reply = self.ask(method, path, body)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    def until_deployed(self, name: str) -> str:
        """Wait for a deployment, FLOW/NAME, and return its id."""

        def look() -> str:
            reply = self.ask("GET", f"/deployments/name/{name}")
            return str(reply.json()["id"]) if reply.status_code == 200 else ""

        return until(f"the deployment {name}", look)

    def state_is(self, run_id: str, *names: str) -> Any:
        """Wait until a run is in a state of one of these names, and return the run."""

        def look() -> Any:
            run = self.told("GET", f"/flow_runs/{run_id}")
            return run if run["state_name"] in names else None

        return until(f"{run_id} to be {names}", look)

    def runs_of(self, **flow_runs: Any) -> list[Any]:
        """Return the flow runs that match a filter, the oldest first."""
        found: list[Any] = self.told(
            "POST", "/flow_runs/filter", {"flow_runs": flow_runs, "sort": "EXPECTED_START_TIME_ASC"}
        )
        return found

    def is_logged(self, run_id: str, *lines: str) -> None:
        """Wait for lines in a run's log: an engine tells of a run's end before it has sent them all."""
        until(f"{lines} in the log of {run_id}", lambda: {*lines} <= {*self.log_lines(run_id)})

    def log_lines(self, run_id: str) -> list[str]:
        """Return a run's log, the oldest line first."""
        lines = self.told("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
        return [line["message"] for line in lines]
