"""The agent's local socket: what the processes of runs ask of the server goes there together (protocol §7).

Nothing is answered here: a process gets the server's own answer, or is told to ask it itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Raw

from reeve.client.calls import ServerTimeoutError, ServerUnreachableError
from reeve.client.local import LENGTH_BYTES, LONGEST, NAME
from reeve.errors import ReeveError, UnavailableError
from reeve.wire import codec
from reeve.wire.requests import Call
from reeve.wire.responses import NOT_PASSED_ON, CallReply

_AWAY = (ServerUnreachableError, ServerTimeoutError, UnavailableError)
_UNAVAILABLE = 503
_BACKLOG = 1024  # runs that begin at once
# asyncio would ask for 256 KiB with each part that comes: what remains of these rends the memory.
_ROOM = memoryview(bytearray(64 << 10))

log = logging.getLogger("reeve.agent")

PassOn = Callable[[Call], asyncio.Future[CallReply]]


class Relay:
    """Listens in a directory, as long as the agent lives; ``pass_on`` brings a call to the server, once.

    ``path`` is where processes find it; None where it could not be made, and they do without.
    """

    def __init__(self, pass_on: PassOn) -> None:
        self.path: Path | None = None
        self._pass_on = pass_on
        self._lines: set[_Line] = set()
        self._on_the_way: Counter[str | None] = Counter()
        self._settled = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self, directory: Path) -> None:
        """Listen."""
        path, door = directory / NAME, socket.socket(socket.AF_UNIX)
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path.unlink(missing_ok=True)  # an earlier process of this agent is gone: it had the lock
            door.bind(f"/proc/self/fd/{folder}/{NAME}")  # its own path may be too long: 107 bytes
            path.chmod(0o600)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Line(self), sock=door, backlog=_BACKLOG)
        except OSError as error:
            door.close()
            log.warning("Runs report to the server themselves: no socket at %s (%s)", path, error.strerror)
        else:
            self.path = path
        finally:
            os.close(folder)

    def close(self) -> None:
        """Listen no more. Who waits for an answer finds the line closed, and asks the server."""
        if self._server is not None:
            self._server.close()
        for line in [*self._lines]:
            line.hang_up()

    async def settled(self, key: str) -> None:
        """Wait until what came under a key has been answered: the end of its run is told after that."""
        while self._on_the_way[key]:
            self._settled.clear()
            await self._settled.wait()

    def add(self, line: _Line) -> None:
        """Take note of a connection that has begun."""
        self._lines.add(line)

    def remove(self, line: _Line) -> None:
        """Forget a connection that has ended."""
        self._lines.discard(line)

    def take(self, call: Call, line: _Line) -> None:
        """Pass a call on, and its answer back."""
        self._on_the_way[call.key] += 1
        self._pass_on(call).add_done_callback(partial(self._pass_back, call.key, line))

    def _pass_back(self, key: str | None, line: _Line, answer: asyncio.Future[CallReply]) -> None:
        self._on_the_way[key] -= 1
        if not self._on_the_way[key]:
            del self._on_the_way[key]
            self._settled.set()
        try:
            reply = answer.result()
        except _AWAY as error:
            reply = CallReply(status=_UNAVAILABLE, body=Raw(codec.encode({"detail": str(error)})))
        except ReeveError:
            reply = CallReply(status=NOT_PASSED_ON, body=Raw(b"null"))
        line.answer(reply)


class _Line(asyncio.BufferedProtocol):
    """One connection: calls come one after the other."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._relay.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's name
        return _ROOM  # all lines', for what has come is taken at once

    def buffer_updated(self, nbytes: int) -> None:
        self._data += _ROOM[:nbytes]
        while (size := self._size()) is not None and len(self._data) >= LENGTH_BYTES + size:
            frame = bytes(self._data[LENGTH_BYTES : LENGTH_BYTES + size])
            del self._data[: LENGTH_BYTES + size]
            try:
                self._relay.take(codec.decode(frame, Call), self)
            except msgspec.DecodeError:
                self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's name
        self._transport = None
        self._relay.remove(self)

    def answer(self, reply: CallReply) -> None:
        """Send an answer, if anybody still waits for it."""
        frame = codec.encode(reply)
        if self._transport is not None:
            self._transport.write(len(frame).to_bytes(LENGTH_BYTES) + frame)

    def _size(self) -> int | None:
        if len(self._data) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._data[:LENGTH_BYTES])
        if size > LONGEST:
            self.hang_up()
            return None
        return size

    def hang_up(self) -> None:
        """Close the connection: who waits for an answer asks the server itself."""
        self._data.clear()
        if self._transport is not None:
            self._transport.close()
