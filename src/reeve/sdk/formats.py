"""How a result is written down, such that it comes back as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import NoneType
from typing import Any, get_type_hints

import msgspec

from reeve.core.results import ResultFormat
from reeve.decoders import read_type
from reeve.errors import InvalidInputError, ReeveError
from reeve.sdk.parameters import convert

_ANY: tuple[Any, ...] = (Any, object)


class UnsuitableResultError(ReeveError):
    """A value cannot be written down in the format that was chosen."""

    code = "unsuitable_result"


def checked_format(owner: str, format_: str | None) -> ResultFormat | None:
    """Return the format if it is one."""
    if format_ is None:
        return None
    if format_ not in list(ResultFormat):
        message = f"{owner}: result_format must be 'json' or 'pickle', got {format_!r}"
        raise InvalidInputError(message, field="result_format")
    return ResultFormat(format_)


def result_type(function: Callable[..., Any]) -> Any:
    """Return what a function says that it returns; Any if it does not, or nothing that can be evaluated."""
    try:
        hint = get_type_hints(function, include_extras=True).get("return", Any)
    except Exception:  # noqa: BLE001  # a hint may be any expression; most often a name imported for checkers only
        return Any
    return None if hint is NoneType else hint


def encode(value: Any, format_: ResultFormat, hint: Any) -> bytes:
    """Write a value down. UnsuitableResultError, with the remedy, if it would not come back as it is."""
    if format_ is ResultFormat.PICKLE:
        return _pickled(value)
    try:
        content = msgspec.json.encode(value, enc_hook=_foreign)
        back = decode(content, format_, hint)
        same = bool(back == value)
    except Exception as error:  # noqa: BLE001  # the value's own methods take part
        raise UnsuitableResultError(f"JSON has no words for {_kind(value)} ({error}). {_REMEDY}") from None
    if not same:
        raise UnsuitableResultError(f"{_kind(value)} does not come back from JSON as it is. {_REMEDY}")
    return content


def decode(content: bytes, format_: ResultFormat, hint: Any) -> Any:
    """Read what ``encode`` wrote, as the type that the hint says."""
    if format_ is ResultFormat.PICKLE:
        import pickle

        return pickle.loads(content)  # noqa: S301  # asked for by who reads: sdk.persistence
    if hint in _ANY:
        return msgspec.json.decode(content)
    read_type(hint)
    try:
        return msgspec.json.decode(content, type=hint, dec_hook=_typed)
    except (TypeError, msgspec.ValidationError):  # what ``convert`` has words for, and msgspec has not
        return convert(msgspec.json.decode(content), hint)


_REMEDY = "Annotate what the function returns, or choose result_format='pickle'"


def _pickled(value: Any) -> bytes:
    import pickle

    try:
        return pickle.dumps(value)
    except Exception as error:  # noqa: BLE001  # the value's own methods take part
        raise UnsuitableResultError(f"{_kind(value)} cannot be pickled: {error!r}") from None


def _foreign(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise NotImplementedError(f"no JSON for objects of type {type(value).__name__}")


def _typed(wanted: type, value: Any) -> Any:
    return convert(value, wanted)


def _kind(value: Any) -> str:
    kind = type(value)
    return f"a value of type {kind.__name__}"
