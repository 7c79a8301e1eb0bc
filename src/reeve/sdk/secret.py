"""Secrets in a flow's hands: texts that hide themselves, in blocks and as parameters."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, get_origin

from reeve.core.sealing import HIDDEN
from reeve.sdk.hints import fields, parts


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


def is_secret(hint: Any) -> bool:
    """Whether this is the type of a secret: ``Secret``, or ``SecretStr`` or ``SecretBytes`` of pydantic."""
    kind = get_origin(hint) or hint
    return isinstance(kind, type) and hasattr(kind, "get_secret_value")


def holds_secret(hint: Any) -> bool:
    """Whether a value of this type has a secret in it anywhere."""
    return any(map(is_secret, parts(hint)))


def read_secret(wanted: type, text: str) -> Any:
    """Make a text the secret that is wanted; raises ValueError if its type does not take it."""
    if wanted is Secret:
        return Secret(text)
    from pydantic import TypeAdapter  # it is there: a type of its is wanted

    return TypeAdapter(wanted).validate_python(text)


def shown(value: Any) -> Any:
    """Return what is told of a value that JSON has no words for: its ``repr``, and stars for a secret."""
    return HIDDEN if is_secret(type(value)) else repr(value)


def revealed(value: Any) -> Any:
    """Return what is sent to the server of a value that JSON has no words for; raises TypeError."""
    if is_secret(type(value)):
        secret = value.get_secret_value()
        return secret.decode() if isinstance(secret, bytes) else secret
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "model_dump"):  # pydantic
        return _with_secrets(value.model_dump(mode="json"), value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON has words for")


def _with_secrets(dumped: Any, value: Any) -> Any:
    """Return what pydantic has made of a value with its secrets in the places of their stars."""
    if is_secret(type(value)):
        return revealed(value)
    if isinstance(dumped, dict) and (names := fields(type(value)).keys() & dumped.keys()):
        return dumped | {name: _with_secrets(dumped[name], getattr(value, name)) for name in names}
    if isinstance(dumped, dict) and isinstance(value, Mapping):
        pairs = zip(dumped.items(), value.values(), strict=True)
        return {name: _with_secrets(one, original) for (name, one), original in pairs}
    if isinstance(dumped, list) and isinstance(value, Collection) and len(value) == len(dumped):
        return [_with_secrets(one, original) for one, original in zip(dumped, value, strict=True)]
    return dumped
