"""Secrets in a flow's hands: texts that hide themselves, in blocks and as parameters."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args, get_type_hints

from msgspec import Struct

from reeve.core.sealing import HIDDEN


class Secret:
    """A text that is shown to nobody by accident: printed, formatted or logged it is ``********``.

    As a parameter's type it has the server seal what is given: no page, answer or log shows it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{HIDDEN}')"

    def __str__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def holds_secret(hint: Any) -> bool:
    """Whether a value of this type has a ``Secret`` in it anywhere."""
    return _holds(hint, set())


def _holds(hint: Any, seen: set[Any]) -> bool:
    if hint is Secret:
        return True
    if isinstance(hint, type) and hint not in seen and _has_fields(hint):
        seen.add(hint)
        try:
            hints = get_type_hints(hint, include_extras=True)
        except Exception:  # noqa: BLE001  # a hint may be any expression, or a name imported for checkers only
            return False
        return any(_holds(one, seen) for one in hints.values())
    return any(_holds(one, seen) for one in get_args(hint))


def _has_fields(hint: type) -> bool:
    return issubclass(hint, Struct) or dataclasses.is_dataclass(hint)


def shown(value: Any) -> Any:
    """Return what is told of a value that JSON has no words for: its ``repr``, and stars for a secret."""
    return HIDDEN if isinstance(value, Secret) else repr(value)


def revealed(value: Any) -> Any:
    """Return what is sent to the server of a value that JSON has no words for; raises TypeError."""
    if isinstance(value, Secret):
        return value.get_secret_value()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has words for")
