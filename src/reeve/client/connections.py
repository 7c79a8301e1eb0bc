"""HTTP/1.1 for event loops: a connection for each call that is under way, kept for the next one.

httptools, which the server parses requests with, parses the answers. A general client costs an agent 15 times
the CPU of a call (libraries.md §5), and of that an agent makes several for each run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from reeve.client.calls import Address, Reply, Request

if TYPE_CHECKING:
    import ssl

IDLE_SECONDS = 4.0  # given up before uvicorn's 5 s, so that a call seldom meets a connection being closed


class BrokenAnswerError(OSError):
    """What came is no answer, or only a part of one."""


class Connections:
    """Those to one server. They belong to one event loop."""

    def __init__(self, address: Address, connect_seconds: float) -> None:
        self._address = address
        self._connect_seconds = connect_seconds
        self._tls: ssl.SSLContext | None = None
        if address.scheme == "https":
            import ssl

            self._tls = ssl.create_default_context()
        self._idle: list[_Connection] = []

    async def exchange(self, request: Request) -> Reply:
        """Send a request and return the answer to it.

        Raises TimeoutError after ``request.timeout`` seconds without a byte, ConnectionError when there is no
        connection in time or it is lost, another OSError for what the network says.
        """
        while (connection := self._reusable()) is not None:
            try:
                return await self._talk(connection, request)
            except ConnectionError:  # the server closed it while it lay idle: no fault of today
                continue
        return await self._talk(await self._connect(), request)

    def close(self) -> None:
        """Close the connections that no call holds."""
        while self._idle:
            self._idle.pop().abort()

    async def _talk(self, connection: _Connection, request: Request) -> Reply:
        try:
            reply = await connection.ask(_packed(request, self._address), request.timeout)
        except BaseException:
            connection.abort()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return reply

    async def _connect(self) -> _Connection:
        loop, where = asyncio.get_running_loop(), self._address
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await loop.create_connection(
                    _Connection, where.host, where.port, ssl=self._tls
                )
        except TimeoutError:
            message = f"no connection within {self._connect_seconds:g} s"
            raise ConnectionError(message) from None
        return connection

    def _reusable(self) -> _Connection | None:
        """Take the connection that was used last, if it was lately; those below it have lain longer."""
        since = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.used_at > since:
                return connection
            connection.abort()
        return None


class _Connection(asyncio.Protocol):
    """One connection. httptools calls the methods that begin with ``on_``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timeout = 0.0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._ends_with_connection = False
        self.used_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes, timeout: float) -> Reply:  # noqa: ASYNC109  # for each byte
        """Send a request and return its answer; raises as ``Connections.exchange`` does."""
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._answer = self._loop.create_future()
        self._timeout = timeout
        self._wait_on()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None
            if self._timer is not None:
                self._timer.cancel()
            self.used_at = self._loop.time()

    def abort(self) -> None:
        """Close it without ceremony."""
        if self._transport is not None:
            self._transport.abort()

    # --- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nothing was asked
            self.abort()
            return
        self._wait_on()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(BrokenAnswerError(f"what answers there is no HTTP server: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._ends_with_connection:
            self._complete()
        self._fail(exc or ConnectionResetError("the connection was closed before the answer was whole"))

    # --- the parser

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._ends_with_connection = not {b"content-length", b"transfer-encoding"} & self._headers.keys()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # more is to come
            return
        keeps = self._parser.should_keep_alive()
        self._complete()
        if not keeps and self._transport is not None:
            self._transport.close()

    # ---

    def _complete(self) -> None:
        headers, body = self._headers, b"".join(self._body)
        self._headers, self._body, self._ends_with_connection = {}, [], False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(
                Reply(
                    self._parser.get_status_code(),
                    body,
                    _text(headers, b"retry-after"),
                    _text(headers, b"location"),
                )
            )

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _wait_on(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._timeout, self._fail, TimeoutError())


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _packed(request: Request, address: Address) -> bytes:
    """Return a request as it is sent."""
    body = request.body or b""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {address.origin.partition('://')[2]}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if body or request.method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
