"""Digests of values and of functions: equal for equal ones, in every process, and different for others.

Each value is hashed with its type, so that 1, True, 1.0 and "1" are four values; the order of mappings and
sets does not count.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import os
import pickle
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

import msgspec

from reeve.errors import ReeveError

_CONSTANT = (type(None), bool, int, float, complex, str, bytes, Enum)


class NoDigestError(ReeveError):
    """A value has nothing by which it could be told from others."""

    code = "no_digest"


def digest(value: Any) -> str:
    """Return 64 hexadecimal digits; NoDigestError for a value that cannot be told from others."""
    try:
        return _of(value).hex()
    except RecursionError:
        raise NoDigestError(f"A value of type {type(value).__name__} contains itself") from None


def function_digest(function: Any) -> str:
    """Return a digest of a function's code, defaults and the constants around it, but not of its callees."""
    return _function(function).hex()


def _of(value: Any) -> bytes:
    kind = type(value)
    if kind in _EXACT:
        return _EXACT[kind](kind, value)
    mark = next((mark for fits, mark in _KINDS if fits(value)), _pickled)
    return mark(kind, value)


def _pickled(kind: type, value: Any) -> bytes:
    # Two pickles of equal values may differ: then something is computed twice, but nothing is mistaken.
    try:
        return _leaf(kind, pickle.dumps(value, protocol=5))
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001  # the value's own methods take part
        raise NoDigestError(f"A value of type {kind.__name__} cannot be told from others: {error}") from None


def _mapping(kind: type, value: Mapping[Any, Any]) -> bytes:
    return _node(kind, sorted(_of(key) + _of(one) for key, one in value.items()))


def _leaf(kind: type, content: bytes) -> bytes:
    return sha256(b"%s\0%s" % (_name(kind), content)).digest()


def _node(kind: type, parts: Iterable[bytes]) -> bytes:
    hashed = sha256(b"%s\0[" % _name(kind))
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def _name(kind: type) -> bytes:
    return f"{kind.__module__}.{kind.__qualname__}".encode()


def _function(function: Any) -> bytes:
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:  # a callable object: its type's own code is out of sight
        return _pickled(type(function), function)
    cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
    around = {name: _content(cell) for name, cell in cells}
    defaults = (function.__defaults__, function.__kwdefaults__)
    return _node(FunctionType, (_code(code), _of(defaults), _of(around)))


def _content(cell: Any) -> Any:
    """Return what a function finds around itself, if that is the same at every call."""
    try:
        value = cell.cell_contents
    except ValueError:  # not assigned yet
        return None
    if isinstance(value, _CONSTANT):
        return value
    return _code(value.__code__) if isinstance(value, FunctionType) else None


def _code(code: CodeType) -> bytes:
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return _node(CodeType, (_of(shape), _of(code.co_code), _of(code.co_names), _of(code.co_consts)))


def _by_repr(kind: type, value: Any) -> bytes:
    return _leaf(kind, repr(value).encode())


def _in_order(kind: type, value: Iterable[Any]) -> bytes:
    return _node(kind, map(_of, value))


def _in_any_order(kind: type, value: Iterable[Any]) -> bytes:
    return _node(kind, sorted(map(_of, value)))


_Mark: TypeAlias = Callable[[type, Any], bytes]

# Types whose subclasses may be other things: a bool is an int, and a named tuple is more than its values.
_EXACT: dict[type, _Mark] = {
    int: lambda kind, value: _leaf(kind, b"%x" % value),  # decimal digits have a limit
    str: lambda kind, value: _leaf(kind, value.encode("utf-8", "surrogatepass")),
    bytes: _leaf,
    bytearray: _leaf,
    list: _in_order,
    tuple: _in_order,
    set: _in_any_order,
    frozenset: _in_any_order,
    dict: _mapping,
    **dict.fromkeys((type(None), bool, float, complex, range), _by_repr),
    **dict.fromkeys((dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone), _by_repr),
    **dict.fromkeys((decimal.Decimal, fractions.Fraction, uuid.UUID), _by_repr),
}

# The first that fits.
_KINDS: tuple[tuple[Callable[[Any], bool], _Mark], ...] = (
    (lambda it: isinstance(it, Enum), lambda kind, it: _leaf(kind, it.name.encode())),
    (lambda it: isinstance(it, type), lambda _, it: _leaf(type, _name(it))),
    (
        lambda it: isinstance(it, MethodType),
        lambda kind, it: _node(kind, (_of(it.__self__), _function(it.__func__))),
    ),
    (lambda it: isinstance(it, FunctionType), lambda _, it: _function(it)),
    (lambda it: isinstance(it, CodeType), lambda _, it: _code(it)),
    (lambda it: isinstance(it, os.PathLike), lambda kind, it: _leaf(kind, os.fsencode(it))),
    (lambda it: isinstance(it, tuple) and hasattr(it, "_fields"), _in_order),
    (is_dataclass, lambda kind, it: _mapping(kind, {one.name: getattr(it, one.name) for one in fields(it)})),
    (
        lambda it: isinstance(it, msgspec.Struct),
        lambda kind, it: _mapping(kind, {name: getattr(it, name) for name in it.__struct_fields__}),
    ),
    (lambda it: hasattr(it, "model_dump"), lambda kind, it: _mapping(kind, it.model_dump())),
)
