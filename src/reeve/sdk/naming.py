"""Names of runs that their code makes: a text with placeholders, or a function."""

from __future__ import annotations

import inspect
import logging
import string
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from reeve.errors import InvalidInputError

RunName: TypeAlias = str | Callable[[], str]


def checked_placeholders(owner: str, option: str, template: object, known: Mapping[str, object]) -> None:
    """Raise InvalidInputError for a template whose placeholders are no parameters."""
    if not isinstance(template, str):
        return
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise InvalidInputError(f"{owner}: {option} {template!r}: {error}", field=option) from None
    for field in fields:
        name = field.split(".")[0].split("[")[0]
        if name not in known:
            has = ", ".join(map(repr, known)) or "none"
            message = f"{owner}: {option} names {{{field}}}; the parameters are: {has}"
            raise InvalidInputError(message, field=option)


def run_name(
    owner: str, name: RunName | None, parameters: Mapping[str, Any], log: logging.Logger
) -> str | None:
    """Return the name a run is to have; None for the usual one, which a faulty name gives way to."""
    if name is None:
        return None
    try:
        made = name.format_map(parameters) if isinstance(name, str) else name()
    except Exception as error:  # noqa: BLE001  # a name is not worth a run
        log.warning("%s: the run keeps its usual name, since its own raised %r.", owner, error)
        return None
    return str(made) or None


def named(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return all parameters by name, those that were left out with their defaults."""
    complete = inspect.BoundArguments(bound.signature, bound.arguments.copy())
    complete.apply_defaults()
    return dict(complete.arguments)
