"""The websocket ``/task_runs/subscriptions/scheduled``, by which 2.20's ``task.serve()`` is told what to run.

Its words (2.20's client and server are the source): the subprotocol ``prefect``; the client says
``{"type": "auth", "token": KEY}``, is told ``auth_success``, says ``{"type": "subscribe", "keys": [...]}``.
It gets task runs, one at a time, and answers each with ``ack``; ``quit`` ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

import msgspec

from reeve import clock
from reeve.errors import ReeveError
from reeve.server.http.auth import Doors
from reeve.server.services.context import Context
from reeve.server.services.subscriptions import Offers, next_task_run, put_back
from reeve.wire import codec, project
from reeve.wire.endpoints import Door

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

PATH = "/api/task_runs/subscriptions/scheduled"
PROTOCOL = "prefect"
# Close codes: RFC 6455 §7.4.1, and 4001 of 2.20's own.
PROTOCOL_ERROR, POLICY_VIOLATION, GOING_AWAY, NOT_UNDERSTOOD = 1002, 1008, 1001, 4001


class _ClosedError(Exception):
    """The conversation is over; ``code`` None: the other side has gone."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Subscriptions:
    """Serves task runs to those who subscribe to their keys."""

    def __init__(self, context: Context, doors: Doors) -> None:
        self._context = context
        self._doors = doors
        self._offers = Offers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket (ASGI)."""
        await receive()  # websocket.connect
        try:
            self._check(scope)
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await self._admit(dict(scope["headers"]), await _heard(receive))
            await _say(send, {"type": "auth_success"})
            await self._feed(_keys(await _heard(receive)), receive, send)
        except _ClosedError as end:
            if end.code is not None:
                await send({"type": "websocket.close", "code": end.code, "reason": end.reason})

    def _check(self, scope: Scope) -> None:
        """Raise _ClosedError for another path, name or protocol: refused before it is accepted."""
        try:
            self._doors.check_names(dict(scope["headers"]))
        except ReeveError as error:
            raise _ClosedError(POLICY_VIOLATION, error.message) from None
        if scope["path"] != PATH or PROTOCOL not in scope["subprotocols"]:
            raise _ClosedError(PROTOCOL_ERROR)

    async def _admit(self, headers: dict[bytes, bytes], said: Mapping[str, Any]) -> None:
        """Raise _ClosedError unless the first message shows an operator's key."""
        if said.get("type") != "auth":
            raise _ClosedError(POLICY_VIOLATION, "Expected 'auth' message")
        shown = {**headers, b"authorization": f"Bearer {said.get('token') or ''}".encode()}
        try:
            self._doors.admit(Door.OPERATOR, shown)
        except ReeveError as error:
            raise _ClosedError(POLICY_VIOLATION, error.code) from None

    async def _feed(self, keys: Sequence[str], receive: Receive, send: Send) -> None:
        """Tell of one task run after the other, until the other side has enough."""
        heard = asyncio.ensure_future(_heard(receive))
        try:
            while True:
                run = await self._next(keys, heard)
                arrived = False
                try:
                    await _say(send, project.task_run(run, clock.now()))
                    said = await heard
                    arrived = said.get("type") == "ack"
                finally:
                    if not arrived:
                        put_back(self._context, self._offers, run)
                if not arrived:
                    raise _ending(said)
                heard = asyncio.ensure_future(_heard(receive))
        finally:
            heard.cancel()

    async def _next(self, keys: Sequence[str], heard: asyncio.Future[Mapping[str, Any]]) -> Any:
        """Return the next task run; raises _ClosedError when the other side, or this server, goes first."""
        coming = asyncio.ensure_future(next_task_run(self._context, self._offers, keys))
        stopping = asyncio.ensure_future(self._context.stopping.wait())
        try:
            first: set[asyncio.Future[Any]] = {coming, heard, stopping}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            raise _ending(heard.result()) if heard.done() else _ClosedError(GOING_AWAY)
        finally:
            coming.cancel()
            stopping.cancel()


async def _heard(receive: Receive) -> Mapping[str, Any]:
    """Return the next message; raises _ClosedError when there comes none, or none that is an object."""
    message = await receive()
    if message["type"] == "websocket.disconnect":
        raise _ClosedError
    try:
        return msgspec.json.decode(message.get("text") or message.get("bytes") or b"", type=dict[str, Any])
    except msgspec.DecodeError:
        raise _ClosedError(NOT_UNDERSTOOD, "Protocol violation: expected an object in JSON") from None


async def _say(send: Send, value: Any) -> None:
    await send({"type": "websocket.send", "text": codec.encode(value).decode()})


def _keys(said: Mapping[str, Any]) -> list[str]:
    """Return the tasks' keys of a subscription."""
    if said.get("type") != "subscribe":
        raise _ClosedError(NOT_UNDERSTOOD, "Protocol violation: expected 'subscribe' message")
    keys = said.get("keys")
    if not keys or not isinstance(keys, list):
        raise _ClosedError(NOT_UNDERSTOOD, "Protocol violation: expected 'keys' in subscribe message")
    return [str(key) for key in keys]


def _ending(said: Mapping[str, Any]) -> _ClosedError:
    """Return the end that a message other than an acknowledgement means."""
    if said.get("type") == "quit":
        return _ClosedError(1000)
    return _ClosedError(NOT_UNDERSTOOD, "Protocol violation: expected 'ack' message")
