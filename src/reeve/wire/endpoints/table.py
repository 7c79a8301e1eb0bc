"""What an operation is: its method, path, bodies and door."""

from __future__ import annotations

from enum import Enum
from types import NoneType
from typing import Any, Generic, TypeVar, get_args

from msgspec import Struct

Req = TypeVar("Req")
Res = TypeVar("Res")


class Door(Enum):
    """Who may come in (protocol §4, §11)."""

    ANYONE = "anyone"  # health and versions
    ATTEMPT = "attempt"  # operators, and an attempt for what its run needs
    OPERATOR = "operator"  # a key of the home


class Endpoint(Struct, Generic[Req, Res], frozen=True):
    """One operation. ``request`` is the body's type (None: no body), ``response`` the answer's."""

    name: str
    method: str
    path: str
    request: Any  # type[Req], which cannot say "or a union"
    response: Any  # type[Res]
    status: int = 200
    again: int | None = None  # the status for what was there already (api-contract §2)
    refusals: tuple[
        int, ...
    ] = ()  # statuses that not every operation of its kind has, which docs/openapi.json says
    door: Door = Door.OPERATOR
    query: tuple[str, ...] = ()
    body_optional: bool = False  # an empty body means an empty object (api-contract §1, /filter), or null
    dialect: bool = True  # part of the 2.20 dialect, and so under its version header

    @property
    def empty_body(self) -> bytes:
        """Return what an empty body stands for where it is optional."""
        return b"null" if NoneType in get_args(self.request) else b"{}"


RUN = Door.ATTEMPT  # the door of everything that a run needs


def filtering(
    name: str, path: str, request: type[Req], response: type[Res], door: Door = RUN
) -> Endpoint[Req, list[Res]]:
    """Build the operation that lists what matches a filter."""
    return Endpoint(name, "POST", path, request, list[response], door=door, body_optional=True)  # type: ignore[valid-type]
