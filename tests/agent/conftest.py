"""The stand-in server, and agents as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent import main
from tests.agent.standin import WAIT_SECONDS, StandIn

KEY = "operator-key-of-the-home"


class AgentProcess:
    """One agent, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the agent, and return its exit code."""
        self.send(number)
        return await self.wait()

    async def wait(self) -> int:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._process.wait()

    async def says(self, text: str) -> None:
        """Wait until the log holds a text."""
        async with asyncio.timeout(WAIT_SECONDS):
            while text not in self.log:
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.02)


class Agents:
    """Starts agents in one home."""

    def __init__(self, server: StandIn, home: Path) -> None:
        self.home = home
        self._server = server
        self.started: list[AgentProcess] = []

    async def start(self, env: dict[str, str] | None = None, **options: Any) -> AgentProcess:
        log = self.home.with_name(f"agent-{len(self.started)}.log")
        environment = {
            **os.environ,
            "REEVE_HOME": str(self.home),
            "REEVE_API_URL": self._server.url,
            "REEVE_API_KEY": KEY,
            **(env or {}),
        }
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, main.__file__, json.dumps(options), env=environment, stderr=file
            )
        self.started.append(AgentProcess(process, log))
        return self.started[-1]

    async def stop(self) -> None:
        """Leave nothing behind: agents, then shims with what they run."""
        for agent in self.started:
            with contextlib.suppress(ProcessLookupError):
                agent.send(signal.SIGKILL)
            await agent.wait()
            print(f"--- agent {agent.pid}\n{agent.log}")  # noqa: T201  # shown when the test fails
        while shims := list(self.shims()):
            for pid in shims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.02)

    def shims(self) -> Iterator[int]:
        """Yield the living shims of this home: the only processes that were started with a path in it."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if any(word.startswith(os.fsencode(self.home)) for word in words):
                    yield int(entry.name)


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """The server, listening."""
    server = StandIn()
    await server.up()
    yield server
    await server.down()


@pytest.fixture
async def agents(server: StandIn, tmp_path: Path) -> AsyncIterator[Agents]:
    """A home for agents; what was started in it is ended after the test."""
    agents = Agents(server, tmp_path / "home")
    yield agents
    await agents.stop()
