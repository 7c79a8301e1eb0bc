"""A call of the API as values: the request to send, and what the reply to it means. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import msgspec
from msgspec import Struct

from reeve.decoders import decoder
from reeve.errors import (
    AttemptSupersededError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ReeveError,
    UnauthorizedError,
    UnavailableError,
)
from reeve.wire import codec
from reeve.wire.codec import encode

if TYPE_CHECKING:  # whoever calls has the table already; the shells need not pay for it
    from reeve.wire.endpoints import Endpoint

Req = TypeVar("Req")
Res = TypeVar("Res")

VERSION = "0.1.0"  # a test compares it with the package's metadata, whose reader costs each run 15 ms
API_VERSION = "0.8.4"  # api-contract §1
RETRIED = frozenset({408, 429, 502, 503, 504})  # api-contract §1; 504 is how a proxy ends a long poll

_ERRORS: dict[int, type[ReeveError]] = {
    400: InvalidInputError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidInputError,
    **dict.fromkeys(RETRIED, UnavailableError),
}


class ServerUnreachableError(ReeveError):
    """No reeve server answers. Start one with: reeve up"""  # noqa: D400  # a command ends without a full stop

    code = "server_unreachable"

    @classmethod
    def at(cls, url: str, cause: object) -> ServerUnreachableError:
        """Name the address that was tried and what the network said."""
        return cls(f"No reeve server answers at {url} ({cause}). Start one with: reeve up")


class ServerTimeoutError(ReeveError):
    """The server did not answer in time."""

    code = "server_timeout"

    @classmethod
    def at(cls, url: str, seconds: float) -> ServerTimeoutError:
        """Name the address and how long it was waited for."""
        return cls(f"The server at {url} did not answer within {seconds:g} s")


class ApiError(ReeveError):
    """The server answered with an error that has no class of its own.

    ``status`` is that of HTTP; ``retry_after`` the seconds the server asked for, if it did (423: the
    limit is full, api-contract §2).
    """

    code = "api_error"

    def __init__(
        self, message: str | None = None, *, status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Address(Struct, frozen=True):
    """Where the API is: ``prefix`` is the path its endpoints are relative to."""

    url: str
    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def origin(self) -> str:
        """Return the part before the path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Request(Struct, frozen=True):
    """What is sent; ``timeout`` in seconds without a byte from the server, ``path`` relative to the API."""

    method: str
    path: str
    key: str | None
    body: bytes | None
    timeout: float
    address: Address

    @property
    def target(self) -> str:
        """Return path and query as the server is to see them."""
        return self.address.prefix + self.path

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers, for who speaks HTTP: a line of the agent's needs none."""
        headers = {
            "User-Agent": f"reeve/{VERSION}",
            "X-PREFECT-API-VERSION": API_VERSION,
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # inflating small bodies costs more than it saves
        }
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        return headers


class Reply(Struct, frozen=True):
    """What came back; ``retry_after`` and ``location`` are the headers of these names."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None


class _Problem(Struct):
    """An error's body, in 2.20's words (api-contract §1) and in reeve's."""

    detail: Any = None
    exception_message: str | None = None
    exception_detail: Any = None
    code: str | None = None
    field: str | None = None


# Most addresses. What urllib does to find out the same costs each run some thirty pages.
_PLAIN = re.compile(r"(https?)://([a-z0-9.-]+):([1-9][0-9]{0,3})((?:/[A-Za-z0-9._~-]+)*)/*")


@cache
def address(url: str) -> Address:
    """Take the API's address apart; InvalidInputError names what is wrong with it."""
    if plain := _PLAIN.fullmatch(url):
        scheme, host, port, prefix = plain.groups()
        return Address(url, scheme, host, int(port), prefix)
    return _taken_apart(url)


def _taken_apart(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInputError(f"The API's address {url!r} is no URL: {error}", field="api_url") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"The API's address must look like http://127.0.0.1:4200/api, not {url!r}"
        raise InvalidInputError(message, field="api_url")
    default = 443 if parts.scheme == "https" else 80
    return Address(url, parts.scheme, parts.hostname, port or default, parts.path.rstrip("/"))


def prepare(
    endpoint: Endpoint[Req, Res],
    body: Req | None,
    *,
    path: Mapping[str, object],
    query: Mapping[str, object] | None,
    address: Address,
    key: str | None,
    timeout: float,
) -> Request:
    """Build the request of one call: parameters quoted into the path, the body as JSON."""
    where = endpoint.path
    for name, value in path.items():
        text = str(value) if type(value) is UUID else quote(str(value), safe="")
        where = where.replace("{" + name + "}", text)
    if query:
        where += "?" + urlencode({name: str(value) for name, value in query.items() if value is not None})
    sent = None if body is None else encode(body)
    return Request(endpoint.method, where, key, sent, timeout, address)


def interpret(endpoint: Endpoint[Req, Res], request: Request, reply: Reply) -> Res:
    """Return the answer's value, or raise the ReeveError the reply stands for."""
    if not 200 <= reply.status < 300:
        raise problem(request, reply)
    if endpoint.response is None:
        return None  # type: ignore[return-value]  # Res is None here
    if endpoint.response is bytes:
        return reply.body  # type: ignore[return-value]  # read_input answers plain text (api-contract §2)
    try:
        return decoder(endpoint.response).decode(reply.body)  # type: ignore[no-any-return]  # response is Any
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"{request.address.url} answered {endpoint.name} with something else than expected: {error}"
        raise ApiError(f"{message}. Is this the API's address?", status=reply.status) from None


def problem(request: Request, reply: Reply) -> ReeveError:
    """Return the error that a reply other than 2xx stands for, in the server's own sentence."""
    said = _problem(reply.body)
    sentence = _sentence(said)
    if sentence is None:
        asked = f"{request.method} {request.target}"
        sentence = f"{request.address.url} answered {reply.status} {_reason(reply)} to {asked}"
    if reply.status == HTTPStatus.UNAUTHORIZED:
        sentence = _no_entry(request)
    error = _error(reply, said, sentence)
    if said.code is not None:
        error.code = said.code
    return error


def retry_after(reply: Reply) -> float | None:
    """Return the seconds of ``Retry-After``; a date there is rare, and read as absent."""
    try:
        return max(float(reply.retry_after or ""), 0.0)
    except ValueError:
        return None


def _error(reply: Reply, said: _Problem, sentence: str) -> ReeveError:
    if said.code == AttemptSupersededError.code:
        return AttemptSupersededError(sentence)
    kind = _ERRORS.get(reply.status)
    if kind is None:
        return ApiError(sentence, status=reply.status, retry_after=retry_after(reply))
    if kind is InvalidInputError:
        return InvalidInputError(sentence, field=_field(said))
    return kind(sentence)


def _problem(body: bytes) -> _Problem:
    try:
        return codec.decode(body, _Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy's page, or nothing at all
        return _Problem()


def _sentence(said: _Problem) -> str | None:
    if isinstance(said.detail, str) and said.detail:
        return said.detail
    named = (
        ": ".join(part for part in (_place(fault), str(fault.get("msg", ""))) if part)
        for fault in _faults(said)
    )
    return "; ".join(named) or said.exception_message or None


def _field(said: _Problem) -> str | None:
    """Return the field at fault, if there is just one."""
    faults = _faults(said)
    return said.field or (_place(faults[0]) or None if len(faults) == 1 else None)


def _faults(said: _Problem) -> list[dict[str, Any]]:
    """Return the entries of a 422: each has ``loc`` and ``msg`` (api-contract §1)."""
    faults = said.exception_detail if isinstance(said.exception_detail, list) else []
    return [fault for fault in faults if isinstance(fault, dict)]


def _place(fault: dict[str, Any]) -> str:
    return ".".join(str(step) for step in fault.get("loc") or () if step != "body")


def _reason(reply: Reply) -> str:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        return ""
    return f"{phrase} ({reply.location})" if reply.location else phrase


def _no_entry(request: Request) -> str:
    fault = "wants a key" if request.key is None else "does not know this key"
    return (
        f"The server at {request.address.url} {fault}. Set REEVE_API_KEY, or use the machine and user that "
        "started the server."
    )
