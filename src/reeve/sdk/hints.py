"""What is in a type hint: the types it is made of, down to the fields of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from msgspec import Struct


def parts(hint: Any) -> Iterator[Any]:
    """Yield every type in a hint, and in the fields of classes in it; each class once."""
    yield from _parts(hint, set())


def fields(class_: Any) -> Mapping[str, Any]:
    """Return the types of a class's fields by name, in their order.

    Nothing for what has no fields, and where a hint cannot be evaluated here.
    """
    if not isinstance(class_, type):
        return {}
    if hasattr(class_, "model_fields"):  # pydantic
        return {name: one.annotation for name, one in class_.model_fields.items()}
    names = _field_names(class_)
    if not names:
        return {}
    try:
        hints = get_type_hints(class_, include_extras=True)
    except Exception:  # noqa: BLE001  # a hint may be any expression, or a name imported for checkers only
        return {}
    return {name: hints[name] for name in names}


def _parts(hint: Any, seen: set[Any]) -> Iterator[Any]:
    if get_origin(hint) is Literal:
        return
    if isinstance(hint, type):
        if hint in seen:
            return
        seen.add(hint)
    yield hint
    for one in (*get_args(hint), *fields(hint).values()):
        yield from _parts(one, seen)


def _field_names(class_: type) -> tuple[str, ...]:
    if issubclass(class_, Struct):
        return class_.__struct_fields__
    if dataclasses.is_dataclass(class_):
        return tuple(one.name for one in dataclasses.fields(class_))
    if is_typeddict(class_):
        return tuple(class_.__annotations__)
    return getattr(class_, "_fields", ()) if issubclass(class_, tuple) else ()
