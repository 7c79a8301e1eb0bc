"""The API for threads, over the standard library: it runs inside every run, so its imports stay few."""

from __future__ import annotations

import os
import random
import select
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from reeve.client.calls import (
    RETRIED,
    Reply,
    Request,
    ServerTimeoutError,
    ServerUnreachableError,
    address,
    interpret,
    prepare,
)
from reeve.client.retry import Effect, Outcome, Wait, converse
from reeve.errors import ReeveError

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from reeve.client.local import LocalLine
    from reeve.wire.endpoints import Endpoint

Req = TypeVar("Req")
Res = TypeVar("Res")

CONNECT_SECONDS = 10.0  # a machine that is there takes milliseconds; one that is not must not hold a run


class Client:
    """Calls of one server; safe for threads, each call has a connection to itself.

    ``timeout``: seconds without a byte from the server. ``patience``: seconds after a call's first
    fault in which it is repeated; None repeats for ever. ``notice`` hears of each fault that is waited
    out, with the seconds of the wait. ``local``: a line that is tried first, for requests that wait for
    nothing but the database.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,  # the 2.20 client's (api-contract §1)
        patience: float | None = 30.0,  # a server's restart, not its absence
        notice: Callable[[ReeveError, float], None] | None = None,
        local: LocalLine | None = None,
    ) -> None:
        self._address = address(url)
        self._key = key
        self._timeout = timeout
        self._patience = patience
        self._notice = notice
        self._local = local
        self._idle: list[HTTPConnection] = []
        self._owner = os.getpid()

    @property
    def url(self) -> str:
        """The API's address."""
        return self._address.url

    @property
    def key(self) -> str | None:
        """The key that the calls carry."""
        return self._key

    def call(
        self,
        endpoint: Endpoint[Req, Res],
        body: Req | None = None,
        *,
        query: Mapping[str, object] | None = None,
        timeout: float | None = None,
        **path: object,
    ) -> Res:
        """Ask for one operation and return its answer; ``path`` are the parameters in its braces.

        ``timeout`` replaces the client's own: a long poll's must exceed its hold. Raises the ReeveError
        that the server's answer stands for, ServerUnreachableError or ServerTimeoutError.
        """
        request = prepare(
            endpoint,
            body,
            path=path,
            query=query,
            address=self._address,
            key=self._key,
            timeout=self._timeout if timeout is None else timeout,
        )
        outcome: Outcome = None if self._local is None else self._local.exchange(request)
        if outcome is None:
            outcome = self._send(request)
        if isinstance(outcome, Reply) and outcome.status not in RETRIED:  # as nearly always: no script
            return interpret(endpoint, request, outcome)
        script = converse(
            endpoint,
            request,
            patience=self._patience,
            clock=time.monotonic,
            dice=random.random,
            outcome=outcome,
        )
        effect = next(script)
        try:
            while True:
                effect = script.send(self._perform(effect))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration forgets the script's type

    def close(self) -> None:
        """Close the connections that no call holds; the next call opens a new one."""
        while self._idle:
            self._idle.pop().close()
        if self._local is not None:
            self._local.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, effect: Effect) -> Outcome:
        if not isinstance(effect, Wait):
            reply = None if self._local is None else self._local.exchange(effect)
            return self._send(effect) if reply is None else reply
        if self._notice is not None:
            self._notice(effect.error, effect.seconds)
        time.sleep(effect.seconds)
        return None

    def _send(self, request: Request) -> Outcome:
        from http.client import HTTPException  # most processes of runs need none of it

        try:
            return self._exchange(request)
        except TimeoutError:
            return ServerTimeoutError.at(self.url, request.timeout)
        except (OSError, HTTPException) as error:
            return ServerUnreachableError.at(self.url, getattr(error, "strerror", None) or error)

    def _exchange(self, request: Request) -> Reply:
        while (connection := self._reusable()) is not None:
            try:
                return self._talk(connection, request)
            except ConnectionError:  # the server closed it while it lay idle: no fault of today
                continue
        return self._talk(self._connect(), request)

    def _talk(self, connection: HTTPConnection, request: Request) -> Reply:
        try:
            connection.sock.settimeout(request.timeout)
            connection.request(request.method, request.target, request.body, request.headers)
            with connection.getresponse() as response:
                body = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return Reply(
            response.status, body, response.headers.get("Retry-After"), response.headers.get("Location")
        )

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        where = self._address
        kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
        connection = kind(where.host, where.port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except TimeoutError:
            message = f"no connection within {CONNECT_SECONDS:g} s"
            raise ConnectionError(message) from None
        return connection

    def _reusable(self) -> HTTPConnection | None:
        """Take an idle connection of this process whose server has not hung up."""
        if self._owner != os.getpid():  # a fork: the parent still talks on these
            self._owner = os.getpid()
            self._idle = []
        while self._idle:
            connection = self._idle.pop()
            if not _has_news(connection):
                return connection
            connection.close()
        return None


def _has_news(connection: HTTPConnection) -> bool:
    """Say whether an idle connection can be read: then it has ended, for nothing was asked of it."""
    poll = select.poll()  # select.select fails on descriptors above 1023
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
