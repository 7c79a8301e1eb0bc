"""A home for shims and runs. A test that leaves a process behind fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from reeve.core.jobs import JobSpec
from reeve.drivers.base import Driver, ExitRecord, Handle, Launch
from reeve.drivers.process import tree
from reeve.drivers.process.driver import ProcessDriver

PATIENCE = 60  # seconds; reached only when something is broken
PYTHON = [sys.executable, "-I", "-S", "-c"]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        await asyncio.sleep(0.01)


def shims(home: Path) -> list[int]:
    """Return the pids of the shims that live in a home."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(word.startswith(os.fsencode(home) + b"/shim/") for word in words):
                found.append(int(entry.name))
    return [pid for pid in found if tree.read(pid)]


def order(
    *command: str, attempt: UUID | None = None, env: dict[str, str] | None = None, **more: Any
) -> Launch:
    """Return an order to launch a command; ``more`` are fields of Launch, or of its job."""
    job = {name: more.pop(name) for name in JobSpec.__struct_fields__ if name in more}
    return Launch(
        attempt=attempt or uuid4(),
        job=JobSpec(**{"command": list(command), "grace_seconds": 5, **job}),
        env={"PATH": os.environ["PATH"], **(env or {})},
        **more,
    )


def script(text: str, **more: Any) -> Launch:
    """Return an order to launch a shell script."""
    return order("sh", "-c", text, **more)


class Agent:
    """A driver in use, and the exits it has told."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.told: list[ExitRecord] = []
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for record in self.driver.exits():
            self.told.append(record)

    async def exit(self, handle: Handle | Launch) -> ExitRecord:
        """Wait for an attempt's exit."""
        await until(lambda: any(one.attempt == handle.attempt for one in self.told) or self._listener.done())
        return next(one for one in self.told if one.attempt == handle.attempt)

    async def run(self, launch: Launch) -> ExitRecord:
        """Launch, and wait for the exit."""
        return await self.exit(await self.driver.launch(launch))

    async def close(self) -> None:
        await self.driver.close()
        await self._listener


class Home:
    """The directory of an agent, and the agents that have used it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._agents: list[Agent] = []

    def agent(self, *, idle_seconds: float = 0.5) -> Agent:
        """Return a new agent."""
        agent = Agent(ProcessDriver(self.path, idle_seconds=idle_seconds))
        self._agents.append(agent)
        return agent

    def shim(self) -> int:
        """Return the pid of the only shim."""
        (pid,) = shims(self.path)
        return pid

    def spool(self, handle: Handle | Launch) -> Path:
        """Return the spool directory of an attempt."""
        return self.path / "spool" / str(handle.attempt)

    async def end(self) -> None:
        """End what still runs, as an agent would: the shims have half a second without agents to live."""
        last = self.agent()
        for found in await last.driver.recover():
            if found.handle and not found.exit:
                await last.driver.stop(found.handle, 0)
        for agent in self._agents:
            await agent.close()

    async def emptied(self) -> None:
        """Fail when a process is left behind, and kill it."""
        try:
            await until(lambda: not self.survivors())
        finally:
            for pid in self.survivors():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def survivors(self) -> list[int]:
        """Return the pids of shims, and of members of all attempts ever launched here."""
        attempts = [one.name for one in (self.path / "spool").glob("*")]
        census = tree.census(dict.fromkeys(attempts, (0, 0)))
        return shims(self.path) + [one.pid for members in census.values() for one in members]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    home = Home(tmp_path / "agent")
    yield home
    await home.end()
    await home.emptied()


@pytest.fixture
async def agent(home: Home) -> Agent:
    return home.agent()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; needs root."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; what a full disk does is tested with a limit of file size as well")
    place = tmp_path / "small"
    place.mkdir()
    assert os.system(f"mount -t tmpfs -o size=1m none {place}") == 0
    yield place
    assert os.system(f"umount -l {place}") == 0
