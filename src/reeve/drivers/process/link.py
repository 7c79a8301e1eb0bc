"""The driver's end of the line to one shim."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, cast

import msgspec

from reeve.drivers.process import messages
from reeve.errors import ReeveError

# All links', for what has come is taken at once. asyncio would ask for 256 KiB with each part that comes:
# what remains of these rends the memory.
_ROOM = memoryview(bytearray(64 << 10))


class LinkLostError(ReeveError):
    """The connection to the shim was lost before it answered."""

    code = "link_lost"


class RefusedError(ReeveError):
    """The shim refused a request; ``reason`` is its code."""

    code = "refused_by_shim"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Link(asyncio.BufferedProtocol):
    """One connection: questions are answered by number, exits come unasked.

    What is asked at once is sent together: so a shim starts the runs of one moment together, too.
    """

    def __init__(self, on_exit: Callable[[dict[str, Any]], None]) -> None:
        self.greeting: dict[str, Any] = {}
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        self._transport: asyncio.WriteTransport | None = None
        self._lines = messages.Lines(_decode)
        self._unsent: list[bytes] = []
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0

    @classmethod
    async def open(cls, line: socket.socket, on_exit: Callable[[dict[str, Any]], None]) -> Link:
        """Take a connected socket into use and greet the shim.

        Raises LinkLostError, or RefusedError when the shim speaks another protocol.
        """
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(on_exit), sock=line)
        try:
            link.greeting = await link.ask("hello", protocol=messages.PROTOCOL)
            if not messages.speaks(link.greeting["protocol"]):
                raise RefusedError("protocol", f"The shim speaks protocol {link.greeting['protocol']}.")
        except ReeveError:
            await link.close()
            raise
        return link

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Return the shim's answer. Raises RefusedError or LinkLostError."""
        if self.lost.is_set():
            raise LinkLostError
        self._next += 1
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting[self._next] = answer
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(_encode({"id": self._next, "do": do, **fields}))
        return await answer

    async def close(self) -> None:
        """Hang up. Twice is fine."""
        if self._transport is not None:
            self._transport.close()
        await self.lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection: asyncio's."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by name

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's name
        """Say where to put what comes: asyncio's."""
        return _ROOM

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come: asyncio's."""
        try:
            for message in self._lines.feed(bytes(_ROOM[:nbytes])):
                self._take(message)
        except ValueError:
            self._lose()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's name
        """Give up: asyncio's."""
        self._lose()

    def _send(self) -> None:
        unsent, self._unsent = b"".join(self._unsent), []
        if self._transport is not None and not self.lost.is_set():
            self._transport.write(unsent)

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event") == "exited":
            self._on_exit(message["record"])
            return
        answer = self._waiting.pop(message["id"])
        if answer.cancelled():
            return
        if error := message.get("error"):
            answer.set_exception(RefusedError(error["code"], error["message"]))
        else:
            answer.set_result(message["ok"])

    def _lose(self) -> None:
        self.lost.set()
        if self._transport is not None:
            self._transport.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LinkLostError())
        self._waiting.clear()


def _encode(message: dict[str, Any]) -> bytes:
    """Do what ``messages.encode`` does, in a tenth of the time but for what is not UTF-8."""
    try:
        return msgspec.json.encode(message) + b"\n"
    except UnicodeEncodeError:
        return messages.encode(message)


def _decode(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:  # perhaps what is not UTF-8
        return json.loads(line)
