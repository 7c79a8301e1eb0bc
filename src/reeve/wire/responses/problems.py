"""What answers say that are none: the shapes of 2.20 (api-contract §1), and reeve's own."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Problem(Struct, kw_only=True):
    """A refusal on a path of reeve's own: a sentence, its stable code, and the field at fault."""

    detail: str
    code: str
    field: str | None = None


class Refusal(Struct, omit_defaults=True):
    """A refusal in the dialect; ``code`` where 2.20 has no such answer."""

    detail: str
    code: str | None = None


class Missing(Struct):
    """Something is not there, as 2.20 says it where it finds that out below its routes."""

    exception_message: str


class Unavailable(Struct):
    """The server cannot answer just now."""

    exception_message: str
    detail: str


class Fault(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request, where, and its kind in 2.20's words; ``ctx``: what it names."""

    loc: tuple[str | int, ...]
    msg: str
    type: str
    ctx: Any = None


class Invalid(Struct):
    """A request cannot be read; ``request_body`` is what was sent."""

    exception_message: str
    exception_detail: tuple[Fault, ...]
    request_body: Any
