"""A cheap load: prepared requests on raw connections, each of which asks again as soon as it was answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

PATIENCE = 60.0  # seconds for one answer
Ask = Callable[[int], bytes]  # the next request of the connection of this number


@dataclass
class Load:
    """What a load saw: seconds of each answer, and how many were none, refusals or failures."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    refused: int = 0  # 4xx
    failed: int = 0  # 5xx, or no answer

    def add(self, later: Load) -> None:
        """Count a load in that came after this one."""
        self.seconds += later.seconds
        self.times += later.times
        self.refused += later.refused
        self.failed += later.failed

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (len(self.times) - self.refused - self.failed) / self.seconds if self.seconds else 0.0

    def quantile(self, percent: int) -> float:
        """The time in milliseconds within which so many of a hundred answers came."""
        return quantiles(self.times, n=100)[percent - 1] * 1000 if len(self.times) > 1 else float("nan")


class Connection(asyncio.Protocol):
    """One connection of HTTP/1.1; answers have a content-length."""

    def __init__(self) -> None:
        self._got = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body; raises ConnectionError, TimeoutError."""
        if self.transport.is_closing():
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        async with asyncio.timeout(PATIENCE):
            return await self._answer

    def data_received(self, data: bytes) -> None:
        """Take what came; an answer is whole when its length says so."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) >= length:
            self._got = body[length:]
            if self._answer and not self._answer.done():
                self._answer.set_result((int(head[9:12]), body[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        """Say so to whoever waits."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError())


async def connect(port: int) -> Connection:
    """Return a connection to a port of this machine."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def drive(port: int, ask: Ask, connections: int, seconds: float) -> Load:
    """Ask on so many connections for so long."""
    load = Load()
    began = time.perf_counter()
    await asyncio.gather(*(_keep_asking(port, ask, n, began + seconds, load) for n in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


async def _keep_asking(port: int, ask: Ask, number: int, end: float, load: Load) -> None:
    connection = await connect(port)
    while (asked := time.perf_counter()) < end:
        try:
            if connection.transport.is_closing():
                connection = await connect(port)
            status, _ = await connection.ask(ask(number))
        except (OSError, TimeoutError):
            status = 599
            connection.transport.abort()
        load.times.append(time.perf_counter() - asked)
        load.refused += 400 <= status < 500
        load.failed += status >= 500
    connection.transport.abort()
