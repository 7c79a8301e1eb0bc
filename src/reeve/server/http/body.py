"""Bodies that come in: JSON to values, and what is wrong with them in 2.20's shape (api-contract §1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from reeve.errors import InvalidInputError, ReeveError
from reeve.server.http.faults import beyond, fault, malformed, steps
from reeve.wire.codec import instant, iso
from reeve.wire.queries import MAX_LIMIT
from reeve.wire.responses import Fault

LARGEST = 2**63 - 1  # what both databases store as an integer
REPAIRS = 64  # unusual instants that one body may have

# Signs of a number or an instant that needs a look: 19 digits, no offset, an end of the calendar. One
# pattern each: alternatives would cost five times as much, and log batches are long.
_ODD = tuple(map(re.compile, (rb"\d{19}", rb':\d\d:\d\d(?:\.\d+)?"', rb'"0001-', rb'"9999-')))

# Substitute, the control character for "there was one that cannot be": of one byte, as NUL is, because
# captured output is counted in bytes (protocol §7).
SUBSTITUTE = "\x1a"


class InvalidRequestError(InvalidInputError):
    """The request cannot be read."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, fault.loc))}: {fault.msg}" for fault in faults))
        self.faults = faults


class TooLongError(ReeveError):
    """The request's body is longer than the server takes."""

    code = "too_long"


def decode(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Return the body as the decoder's type; raises InvalidRequestError.

    What PostgreSQL cannot store (NUL characters, halves of surrogate pairs) is replaced: a log line that
    has one must not cost its whole batch.
    """
    if b"\\u0000" in raw:
        raw = _mended(raw)
    try:
        value = decoder.decode(raw)
    except msgspec.ValidationError as error:
        value = _with_iso_instants(raw, decoder, error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if b"\\ud" not in raw.lower():
            raise InvalidRequestError(malformed(raw)) from None
        raw = _mended(raw)
        value = _decoded_or_fault(raw, decoder)
    odd = any(pattern.search(raw) for pattern in _ODD)
    return _bounded(value, ("body",)) if odd else value


def page(limit: int | None, offset: int | None = None) -> tuple[int, int]:
    """Return the bounds of a listing; raises InvalidInputError with the messages of api-contract §1."""
    if limit is not None and limit > MAX_LIMIT:
        raise InvalidInputError(f"Invalid limit: must be less than or equal to {MAX_LIMIT}.")
    if limit is not None and limit < 0:
        raise InvalidInputError("Invalid limit: must be greater than or equal to 0.")
    if offset is not None and not 0 <= offset < 2**63:
        raise InvalidRequestError(beyond(("body", "offset"), ">=", 0))
    return MAX_LIMIT if limit is None else limit, offset or 0


def _bounded(value: Any, loc: tuple[str | int, ...]) -> Any:
    """Return a value with its instants aware (naive means UTC, api-contract §1), and nothing too large in it.

    User data, which is Any, is left alone: it is stored as JSON. Raises InvalidRequestError.
    """
    match value:
        case msgspec.Struct():
            for name in _declared(type(value)):
                old = getattr(value, name)
                new = _bounded(old, (*loc, name))
                if new is not old:
                    msgspec.structs.force_setattr(value, name, new)
        case list():
            value[:] = [_bounded(item, (*loc, place)) for place, item in enumerate(value)]
        case datetime():
            try:
                return instant(value)
            except OverflowError:
                raise InvalidRequestError(Fault(loc, "invalid datetime", "value_error.datetime")) from None
        case int() if abs(value) > LARGEST:
            raise InvalidRequestError(
                Fault(loc, f"ensure this value is at most {LARGEST}", "value_error.number")
            )
    return value


@cache
def _declared(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a model that have a type."""
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.type is not Any)


def _with_iso_instants(raw: bytes, decoder: msgspec.json.Decoder[Any], error: msgspec.ValidationError) -> Any:
    """Rewrite instants in the ISO forms that 2.20 takes and RFC 3339 does not know, one by one."""
    tree: Any = None
    for _ in range(REPAIRS):
        if "RFC3339" not in str(error):
            break
        tree = msgspec.json.decode(raw) if tree is None else tree
        if not _replaced(tree, steps(error), _rfc3339):
            break
        try:
            return decoder.decode(msgspec.json.encode(tree))
        except msgspec.ValidationError as following:
            error = following
    raise InvalidRequestError(fault(error, raw, decoder.type)) from None


def _rfc3339(value: Any) -> str | None:
    try:
        return iso(instant(datetime.fromisoformat(value)))
    except (ValueError, TypeError, OverflowError):
        return None


def _replaced(tree: Any, steps: list[str | int], change: Callable[[Any], Any]) -> bool:
    """Change the value at a path; False when it stays as it is."""
    try:
        for step in steps[:-1]:
            tree = tree[step]
        value = change(tree[steps[-1]])
    except (KeyError, IndexError, TypeError):
        return False
    if value is None or value == tree[steps[-1]]:
        return False
    tree[steps[-1]] = value
    return True


def _decoded_or_fault(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(fault(error, raw, decoder.type)) from None
    except msgspec.DecodeError:
        raise InvalidRequestError(malformed(raw)) from None


def _mended(raw: bytes) -> bytes:
    try:
        tree = json.loads(raw)
    except ValueError:
        return raw  # whoever decodes it says why
    return msgspec.json.encode(_storable(tree))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\x00", SUBSTITUTE)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value
