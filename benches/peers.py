"""Prefect beside us: a server of each version, in an environment of its own that is made on demand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from tests.acceptance.house import free_port, until

ROOT = Path(__file__).parents[1]


@dataclass
class Served:
    """A server of Prefect: its address, and how to start other processes of its kind."""

    name: str
    folder: Path
    python: Path
    environ: dict[str, str]
    url: str
    pid: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str, **environ: str) -> int:
        """Start ``prefect WORDS`` in the background; return its pid."""
        command = [str(self.python.with_name("prefect")), *words]
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self.environ, **environ},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process.pid


@contextlib.contextmanager
def prefect(version: str, root: Path) -> Iterator[Served]:
    """Start a server of Prefect 2.20 or 3, with SQLite, on a free port."""
    subprocess.run([ROOT / "scripts" / "prefect-env", version], check=True)
    folder = root / f"prefect-{version}"
    folder.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    ours = ("REEVE_", "PREFECT_", "PYTHONPATH")
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(ours)},
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": url,
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    python = ROOT / ".build" / f"prefect-{version}" / "bin" / "python"
    served = Served(f"Prefect {version}", folder, python, environ, url)
    served.pid = served.start("server", "start", "--port", str(port))
    try:
        until(served.name, lambda: _answers(url) or served.processes[0].poll() is not None, 600)
        assert served.processes[0].poll() is None, (folder / "server.log").read_text()
        yield served
    finally:
        for process in reversed(served.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=5).is_success
    except httpx2.TransportError:
        return False
