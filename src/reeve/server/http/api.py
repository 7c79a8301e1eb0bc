"""The API as an ASGI application: find the route, see who asks, read, have it served, answer.

Raw ASGI, because routing and wrapping by a framework cost two thirds of the requests (libraries.md §2).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Raw

from reeve.errors import InvalidInputError, ReeveError
from reeve.server.http import body, problems
from reeve.server.http.auth import Doors
from reeve.server.http.body import InvalidRequestError, TooLongError
from reeve.server.http.probes import PROBES
from reeve.server.http.reply import TEXT, Reply, json
from reeve.server.http.request import Answer, ApiVersion, Request, Route, serves
from reeve.server.http.router import Elsewhere, Found, Router, WrongMethod
from reeve.server.http.routes import ROUTES
from reeve.server.http.subscriptions import Subscriptions
from reeve.server.services.context import Context
from reeve.wire.endpoints import Endpoint, relay_calls
from reeve.wire.requests import Call, Calls
from reeve.wire.responses import NOT_PASSED_ON, CallReply, Fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/api"
LONGEST_BODY = 64 * 1024 * 1024  # bytes: sixteen times the largest batch of logs (api-contract §2)
LATEST: ApiVersion = (0, 8, 4)
OLDEST: ApiVersion = (0, 8, 0)

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


class ApiVersionError(InvalidInputError):
    """The request's API version is none that this server serves."""


class ClientGoneError(ReeveError):
    """The client closed the connection."""


class Api:
    """Serves ``wire.endpoints`` under ``/api`` to whom ``doors`` admit."""

    def __init__(self, context: Context, doors: Doors) -> None:
        self._context = context
        self._doors = doors
        self._router = Router((*ROUTES, serves(relay_calls)(self._relay)))
        self._subscriptions = Subscriptions(context, doors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request, or a websocket (ASGI)."""
        if scope["type"] == "websocket":
            await self._subscriptions(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            reply = await self._serve(scope, headers, receive)
        except ClientGoneError:
            return
        await reply.send(send, headers)

    async def _serve(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Reply:
        path: str = scope["raw_path"].decode("latin-1")
        try:
            self._doors.check_names(headers)
        except ReeveError as error:
            return problems.reply(error, None, b"")
        if not path.startswith(f"{PREFIX}/"):
            return await self._probe(path if scope["method"] == "GET" else "", headers)
        match self._router.find(scope["method"], path.removeprefix(PREFIX)):
            case Found() as found:
                return await self._found(found, scope, headers, receive)
            case WrongMethod(allowed):
                allow = (b"allow", ", ".join(allowed).encode())
                return json(405, {"detail": "Method Not Allowed"}, allow)
            case Elsewhere(other):
                query = scope["query_string"].decode("latin-1")
                return Reply(
                    307, b"", ((b"location", f"{PREFIX}{other}{'?' * bool(query)}{query}".encode()),)
                )
        return json(404, {"detail": "Not Found"})

    async def _probe(self, path: str, headers: Mapping[bytes, bytes]) -> Reply:
        if path not in PROBES:
            return json(404, {"detail": "Not Found"})
        door, probe = PROBES[path]
        try:
            self._doors.admit(door, headers)
        except ReeveError as error:
            return problems.reply(error, None, b"")
        return await probe(self._context)

    async def _found(
        self, found: Found, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Reply:
        route, raw = found.route, b""
        endpoint = route.endpoint
        try:
            principal = self._doors.admit(endpoint.door, headers)
            version = _api_version(headers) if endpoint.dialect else LATEST
            path = found.path()
            raw = await _read(receive)
            request = Request(
                context=self._context,
                principal=principal,
                body=_decoded(route, raw),
                path=path,
                query=_query(scope),
                headers=headers,
                api_version=version,
                raw=raw,
            )
            serving = route.handler(request)
            return _reply(endpoint, await (_until_gone(serving, receive) if route.held else serving))
        except ClientGoneError:
            raise
        except ApiVersionError as error:
            return json(400, {"detail": error.message})
        except Exception as error:  # noqa: BLE001  # the border: each becomes an answer, a bug is logged there
            return problems.reply(error, endpoint, raw)

    async def _relay(self, request: Request[Calls]) -> list[CallReply]:
        """Serve what an agent passes on, each under its own key; what is alike by one transaction."""
        calls = request.body.calls
        replies: dict[int, Reply | None] = {}
        asked: dict[Route, dict[int, Request[Any]]] = {}
        for place, call in enumerate(calls):
            read = self._read_call(call)
            if isinstance(read, tuple):
                asked.setdefault(read[0], {})[place] = read[1]
            else:
                replies[place] = read
        for group, answers in zip(asked.values(), await _all_served(asked), strict=True):
            replies.update(zip(group, answers, strict=True))
        return [_passed_on(replies[place]) for place in range(len(calls))]

    def _read_call(self, call: Call) -> tuple[Route, Request[Any]] | Reply | None:
        """Return what a call asks of whom, or else its answer; None: it is not passed on."""
        found = self._router.find(call.method, call.path)
        if not isinstance(found, Found) or not _may_be_relayed(found.route):
            return None
        route, raw = found.route, bytes(call.body)
        try:
            headers = {b"authorization": b"Bearer " + call.key.encode()} if call.key else {}
            request = Request(
                context=self._context,
                principal=self._doors.admit(route.endpoint.door, headers),
                body=_decoded(route, raw),
                path=found.path(),
                query={},
                headers=headers,
                api_version=LATEST,
                raw=raw,
            )
        except Exception as error:  # noqa: BLE001  # the border, as for a request that comes by itself
            return problems.reply(error, route.endpoint, raw)
        return route, request


async def _all_served(asked: Mapping[Route, Mapping[int, Request[Any]]]) -> list[list[Reply]]:
    serving = [_served(route, [*group.values()]) for route, group in asked.items()]
    if len(serving) == 1:  # as nearly always: no task of its own
        return [await serving[0]]
    return await asyncio.gather(*serving)


async def _served(route: Route, asked: Sequence[Request[Any]]) -> list[Reply]:
    """Serve requests of one kind."""
    if route.together is not None and len(asked) > 1:
        answers = await route.together(asked)
    else:
        answers = await asyncio.gather(*map(route.handler, asked), return_exceptions=True)
    return [_answered(route, request.raw, answer) for request, answer in zip(asked, answers, strict=True)]


def _answered(route: Route, raw: bytes, answer: Any) -> Reply:
    if isinstance(answer, Exception):
        return problems.reply(answer, route.endpoint, raw)
    if isinstance(answer, BaseException):
        raise answer
    return _reply(route.endpoint, answer)


def _passed_on(reply: Reply | None) -> CallReply:
    if reply is None:
        return CallReply(status=NOT_PASSED_ON, body=Raw(b"null"))
    asked = dict(reply.headers).get(b"retry-after") if reply.headers else None
    return CallReply(
        status=reply.status,
        body=Raw(reply.body or b"null"),
        retry_after=asked.decode() if asked else None,
    )


def _may_be_relayed(route: Route) -> bool:
    """Whether it waits for nothing but the database, and answers in JSON."""
    return not route.held and route.endpoint.response is not bytes and route.endpoint is not relay_calls


def _decoded(route: Route, raw: bytes) -> Any:
    if route.decoder is None:
        return None
    if route.endpoint.body_optional and raw.strip() in {b"", b"null"}:
        raw = route.endpoint.empty_body
    elif not raw:
        raise InvalidRequestError(Fault(("body",), "field required", "value_error.missing"))
    return body.decode(raw, route.decoder)


def _reply(endpoint: Endpoint[Any, Any], value: Any) -> Reply:
    status = endpoint.status
    if isinstance(value, Answer):
        value, status = value.value, value.status
    if status == 204:
        return Reply(204, b"")
    if endpoint.response is bytes:
        return Reply(status, value, media=TEXT)
    return json(status, value)


def _query(scope: Scope) -> dict[str, str]:
    text = scope["query_string"]
    return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True)) if text else {}


def _api_version(headers: Mapping[bytes, bytes]) -> ApiVersion:
    """Return the version that the client speaks; none, or an empty one, means the latest (contract §1)."""
    given = headers.get(b"x-prefect-api-version")
    if not given or given == b"0.8.4":
        return LATEST
    text = given.decode("latin-1")
    parts = _VERSION.fullmatch(text)
    if parts is None:
        raise ApiVersionError(
            "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' "
            f"but received {text}"
        )
    version = (int(parts[1]), int(parts[2]), int(parts[3]))
    if version < OLDEST:
        raise ApiVersionError(
            f"The request specified API version {text} but this server requires version "
            f"{'.'.join(map(str, OLDEST))} or higher."
        )
    return version


async def _read(receive: Receive) -> bytes:
    """Return the whole body; raises TooLongError, ClientGoneError."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    if not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        return whole
    parts, size = [message["body"]], len(message["body"])
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LONGEST_BODY:
            raise TooLongError(f"The body is longer than {LONGEST_BODY} bytes; send it in parts.")
    return b"".join(parts)


async def _until_gone(serving: Awaitable[Any], receive: Receive) -> Any:
    """Wait for news for as long as the client does: nothing is to be granted to one that is gone."""
    answer = asyncio.ensure_future(serving)
    gone = asyncio.ensure_future(receive())  # with the body read, all that can come is the disconnect
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientGoneError
        return answer.result()
    finally:
        gone.cancel()
        answer.cancel()
