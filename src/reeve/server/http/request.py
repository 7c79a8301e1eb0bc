"""What a handler is given, what it gives back, and how it says which endpoint it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from reeve.server.http.body import InvalidRequestError
from reeve.server.services.context import Context, Principal
from reeve.wire.codec import parse
from reeve.wire.endpoints import Endpoint
from reeve.wire.responses import Fault

Req = TypeVar("Req")
Res = TypeVar("Res")

ApiVersion = tuple[int, int, int]

_NO = frozenset({"0", "false", "off", "no", "f", "n"})
_YES = frozenset({"1", "true", "on", "yes", "t", "y"})


@dataclass(frozen=True, slots=True)
class Request(Generic[Req]):
    """One call: who asks, with which body, under which path and headers.

    ``path`` has the parameters by name, UUIDs as such; ``raw`` is the body as it came.
    """

    context: Context
    principal: Principal
    body: Req
    path: Mapping[str, Any]
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    api_version: ApiVersion
    raw: bytes = b""

    @property
    def sent(self) -> frozenset[str]:
        """Return the keys of the body: what a default fills in was not sent."""
        keys: dict[str, msgspec.Raw] = msgspec.json.decode(self.raw or b"{}", type=dict[str, msgspec.Raw])
        return frozenset(keys)

    def uuid_query(self, name: str) -> UUID:
        """Return a query parameter that must be there and a UUID; raises InvalidRequestError."""
        text = self.query.get(name)
        if text is None:
            raise InvalidRequestError(Fault(("query", name), "field required", "value_error.missing"))
        return as_uuid(text, "query", name)

    def instant_query(self, name: str) -> datetime | None:
        """Return a query parameter that is an instant, None if absent; raises InvalidRequestError."""
        text = self.query.get(name)
        try:
            # A plus sign that was not escaped has become a blank.
            return None if text is None else parse(text.replace(" ", "+") if "T" in text else text)
        except (ValueError, OverflowError):
            fault = Fault(("query", name), "invalid datetime format", "value_error.datetime")
            raise InvalidRequestError(fault) from None

    def flag_query(self, name: str) -> bool:
        """Return a query parameter that is yes or no, absent: no; raises InvalidRequestError."""
        text = self.query.get(name, "false").lower()
        if text not in _YES | _NO:
            fault = Fault(("query", name), "value could not be parsed to a boolean", "type_error.bool")
            raise InvalidRequestError(fault)
        return text in _YES


@dataclass(frozen=True, slots=True)
class Answer(Generic[Res]):
    """A value with a status other than the endpoint's own."""

    value: Res
    status: int


Handler = Callable[[Request[Any]], Awaitable[Any]]
Together = Callable[[Sequence[Request[Any]]], Awaitable[Sequence[Any | BaseException]]]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """An endpoint and who serves it. ``held``: it waits for news, and ends when the client has gone.

    ``together``: serves many requests at once, and says of each what was answered or raised.
    """

    endpoint: Endpoint[Any, Any]
    handler: Handler
    held: bool = False
    together: Together | None = None
    decoder: msgspec.json.Decoder[Any] | None = field(default=None)


def serves(
    endpoint: Endpoint[Req, Res], *, held: bool = False, together: Together | None = None
) -> Callable[[Callable[[Request[Req]], Awaitable[Res | Answer[Res]]]], Route]:
    """Make a handler the route of ``endpoint``."""
    decoder = None if endpoint.request is None else msgspec.json.Decoder(endpoint.request)

    def route(handler: Callable[[Request[Req]], Awaitable[Res | Answer[Res]]]) -> Route:
        return Route(endpoint, handler, held, together, decoder)

    return route


def created(value: Res, new: bool) -> Answer[Res]:
    """Answer 201 for what was created, 200 for what was there already."""
    return Answer(value, 201 if new else 200)


def as_uuid(text: str, *place: str) -> UUID:
    """Read a UUID of the address; raises InvalidRequestError that names its place."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequestError(Fault(place, "value is not a valid uuid", "type_error.uuid")) from None
