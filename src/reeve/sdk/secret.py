"""Secrets in a flow's hands: texts that hide themselves, in blocks and as parameters."""

from __future__ import annotations

from typing import Any

from reeve.core.sealing import HIDDEN
from reeve.sdk.hints import parts


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
    return any(one is Secret for one in parts(hint))


def shown(value: Any) -> Any:
    """Return what is told of a value that JSON has no words for: its ``repr``, and stars for a secret."""
    return HIDDEN if isinstance(value, Secret) else repr(value)


def revealed(value: Any) -> Any:
    """Return what is sent to the server of a value that JSON has no words for; raises TypeError."""
    if isinstance(value, Secret):
        return value.get_secret_value()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has words for")
