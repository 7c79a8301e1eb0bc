"""A proxy of TCP that fails on request: it drops answers, cuts the line, or swallows everything in silence.

It knows no HTTP but one thing: bytes of the server that follow bytes of the client begin an answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from random import Random

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing says RST


class Proxy:
    """A line to the server at ``port``; ``dice`` decides which answers are lost. Runs in a thread of its own.

    ``loss`` is the share of answers that the server has given and the client never hears of: its connection
    is reset instead.
    """

    def __init__(self, port: int, dice: Random) -> None:
        self.loss = 0.0
        self.dropped = 0
        self._target = port
        self._dice = dice
        self._is_cut = False
        self._is_hole = False
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()
        self.port = 0
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        """The address of the API by this line."""
        return f"http://127.0.0.1:{self.port}/api"

    def cut(self) -> None:
        """Reset all connections, and each new one, until mended."""
        self._call(self._cut)

    def swallow(self) -> None:
        """Be a black hole until mended: all bytes are taken and none delivered, nothing is closed.

        Connections of this time stay dead for ever, as behind a router that has lost its table.
        """
        self._is_hole = True
        self._call(self._deaden)

    def mend(self) -> None:
        """Serve new connections again."""
        self._is_cut = self._is_hole = False

    def close(self) -> None:
        """End; closed twice is fine."""
        if self._thread.is_alive():
            self._call(self._cut)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _call(self, action: object) -> None:
        done = threading.Event()

        def act() -> None:
            action()  # type: ignore[operator]  # one of the methods below
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait()

    def _cut(self) -> None:
        self._is_cut = True
        for line in list(self._lines):
            line.reset()

    def _deaden(self) -> None:
        for line in self._lines:
            line.is_dead = True

    def loses(self) -> bool:
        """Throw the dice for one answer."""
        lost = self._dice.random() < self.loss
        self.dropped += lost
        return lost

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(self, writer)
        if self._is_cut:
            line.reset()
            return
        line.is_dead = self._is_hole
        self._lines.add(line)
        try:
            await line.serve(reader, self._target)
        finally:
            self._lines.discard(line)


class _Line:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self.is_dead = False
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._has_asked = False

    def reset(self) -> None:
        """Have both ends see a reset."""
        for writer in (self._client, self._server):
            if writer is not None:
                raw: socket.socket = writer.get_extra_info("socket")
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, port: int) -> None:
        try:
            answers, self._server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:  # the server is down; so is the line
            self.reset()
            return
        there = asyncio.create_task(self._ask(reader, self._server))
        back = asyncio.create_task(self._answer(answers))
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        if not self.is_dead:
            there.cancel()
            back.cancel()
            self._client.close()
            self._server.close()
        await asyncio.gather(there, back, return_exceptions=True)

    async def _ask(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not self.is_dead:
                    self._has_asked = True
                    server.write(data)
                    await server.drain()

    async def _answer(self, answers: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await answers.read(65536):
                if self.is_dead:
                    continue
                if self._has_asked and self._proxy.loses():
                    self.reset()
                    return
                self._has_asked = False
                self._client.write(data)
                await self._client.drain()
