"""The scripted server, and both shells behind one face: each test of a call runs on both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client.server import Script, ScriptedServer

from reeve.client.aio import AsyncClient
from reeve.client.sync import Client


class Shell:
    """A client of either kind, called from a test without a loop."""

    def __init__(self, kind: str, url: str, key: str | None, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "aio" else None
        self._client: Any
        self._client = (AsyncClient if self._runner else Client)(url, key, **options)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._client.call(*args, **kwargs)
        return self._runner.run(answer) if self._runner else answer

    def close(self) -> None:
        closing = self._client.close()
        if self._runner:
            self._runner.run(closing)
            self._runner.close()


MakeShell = Callable[..., Shell]


@pytest.fixture
def script() -> Script:
    """What the server of this test does."""
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[ScriptedServer]:
    """The server, listening on a free port."""
    with ScriptedServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        script.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(params=["sync", "aio"])
def shell(request: pytest.FixtureRequest) -> Iterator[MakeShell]:
    """Make clients of each kind in turn."""
    made: list[Shell] = []

    def make(url: str, key: str | None = None, **options: Any) -> Shell:
        made.append(Shell(request.param, url, key, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
