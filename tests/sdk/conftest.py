"""A server for runs, and processes of runs as an agent would launch them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.sdk.api import TOKEN, Api, Server

FLOWS = Path(__file__).parents[1] / "fixtures" / "flows"


class Process:
    """The process of a run; its output goes to files, since who it leaves behind may hold a pipe open."""

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=err)

    @property
    def stdout(self) -> str:
        """What it has written to standard output."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has written to standard error."""
        return self._err.read_text()

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end; return its exit code."""
        return self._process.wait(seconds)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()


Launch = Callable[..., Process]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def server(api: Api) -> Iterator[Server]:
    """The API, listening on a free port."""
    with Server(api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def launch(server: Server, tmp_path: Path) -> Iterator[Launch]:
    """Launch ``python -m reeve.sdk.entry`` for a run."""
    launched: list[Process] = []

    def launch(
        run_id: UUID, entrypoint: str | None, parameters: dict[str, Any] | None = None, **job: Any
    ) -> Process:
        folder = tmp_path / f"run-{len(launched)}"
        folder.mkdir()
        file = folder / "job.json"
        facts = {
            "flow_name": "f",
            "path": str(FLOWS),
            "run_name": "brave-fox",
            "parameters": parameters or {},
        }
        file.write_text(json.dumps({**facts, "entrypoint": entrypoint, **job}))
        environment = {
            "PATH": os.environ["PATH"],
            "REEVE_API_URL": server.url,
            "REEVE_API_KEY": TOKEN,
            "REEVE_RUN_ID": str(run_id),
            "REEVE_ATTEMPT": str(run_id),
            "REEVE_JOB": str(file),
            "REEVE_RESULTS": str(tmp_path / "results"),
        }
        launched.append(Process(folder, [sys.executable, "-m", "reeve.sdk.entry"], environment))
        return launched[-1]

    yield launch
    for process in launched:
        process.kill()


def wait_for_file(file: Path, seconds: float = 20) -> None:
    """Wait until a process has made a file."""
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} was never made"
        time.sleep(0.01)
