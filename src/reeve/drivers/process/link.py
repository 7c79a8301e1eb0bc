"""The driver's end of the line to one shim."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from reeve.drivers.process import messages
from reeve.errors import ReeveError


class LinkLostError(ReeveError):
    """The connection to the shim was lost before it answered."""

    code = "link_lost"


class RefusedError(ReeveError):
    """The shim refused a request; ``reason`` is its code."""

    code = "refused_by_shim"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Link:
    """One connection: questions are answered by number, exits come unasked."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_exit: Callable[[dict[str, Any]], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_exit = on_exit
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self.greeting: dict[str, Any] = {}
        self.lost = asyncio.Event()
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, line: socket.socket, on_exit: Callable[[dict[str, Any]], None]) -> Link:
        """Take a connected socket into use and greet the shim.

        Raises LinkLostError, or RefusedError when the shim speaks another protocol.
        """
        reader, writer = await asyncio.open_unix_connection(sock=line)
        link = cls(reader, writer, on_exit)
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
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = answer
        self._writer.write(messages.encode({"id": self._next, "do": do, **fields}))
        return await answer

    async def close(self) -> None:
        """Hang up. Twice is fine."""
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        lines = messages.Lines()
        try:
            while data := await self._reader.read(1 << 20):
                for message in lines.feed(data):
                    self._take(message)
        except (OSError, ValueError):
            pass  # lost, like at the end of what comes
        finally:
            self._lose()

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
        self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LinkLostError())
        self._waiting.clear()
