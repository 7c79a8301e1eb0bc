"""The command line as users meet it: a process with a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reeve.client.sync import Client
from reeve.settings import home_key
from reeve.wire import endpoints

SECONDS = 60.0  # far above what any command takes: a time-out is a fault, not a measurement


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs ``reeve`` with an environment that holds nothing of the tester's own."""

    environment: dict[str, str]
    directory: Path

    def __call__(self, *arguments: str, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "reeve", *arguments],
            env={**self.environment, **environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on, in a group of its own, its output line by line."""
        return subprocess.Popen(
            [sys.executable, "-m", "reeve", *arguments],
            env=self.environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )


@dataclass
class Server:
    """A real server of its own home, which can be stopped and started again."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """What finds this server and nothing of the tester's own."""
        return {**bare_environment(), "REEVE_HOME": str(self.home), "REEVE_SERVER_PORT": str(self.port)}

    def client(self) -> Client:
        """A client with the key of the home."""
        return Client(self.url, home_key(self.home), patience=SECONDS)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "reeve", "server", "start"]
        self.process = subprocess.Popen(command, env={**self.environment, "REEVE_LOG_LEVEL": "WARNING"})
        with Client(self.url, patience=SECONDS) as client:
            client.call(endpoints.server_info)

    def stop(self) -> None:
        """Stop it in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(SECONDS)
            self.process = None


def bare_environment() -> dict[str, str]:
    """The tester's environment without anything of reeve's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REEVE_")}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_server(home: Path) -> Iterator[Server]:
    """Run a server while the context lasts."""
    server = Server(home, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share."""
    with running_server(tmp_path_factory.mktemp("server") / "home") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Calls of that server."""
    with server.client() as client:
        yield client


@pytest.fixture
def at_server(server: Server, tmp_path: Path) -> Shell:
    """The command, for that server."""
    return Shell(server.environment, tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The tester's environment without anything of reeve's, and that home."""
    return {**bare_environment(), "REEVE_HOME": str(home)}


@pytest.fixture
def reeve(environment: dict[str, str], tmp_path: Path) -> Shell:
    """The command, run in an empty directory."""
    directory = tmp_path / "work"
    directory.mkdir()
    return Shell(environment, directory)
