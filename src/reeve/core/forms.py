"""Do the values of a form fit its schema? What 2.20's page for a run's parameters asks as somebody types.

A value may be written in another way than as itself: ``{"__prefect_kind": "json", "value": "[1]"}``, and in
like manner a template or the name of a variable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reeve.core.parameters import validator_of
from reeve.core.templates import flaw
from reeve.errors import InvalidInputError

if TYPE_CHECKING:
    from jsonschema import ValidationError

KIND = "__prefect_kind"

Path = tuple[str | int, ...]


class _Open(Struct, frozen=True):
    """A value that is not known: a template's, or one that cannot be read because of ``fault``."""

    fault: str | None = None


_LEFT_OUT = object()  # written as if it were there, but without its content


def variable_names(value: Any) -> set[str]:
    """Return the names of the variables that values refer to."""
    match value:
        case {"__prefect_kind": "workspace_variable", "variable_name": str(name)}:
            return {name}
        case dict():
            return {name for each in value.values() for name in variable_names(each)}
        case list():
            return {name for each in value for name in variable_names(each)}
    return set()


def errors(schema: Mapping[str, Any], values: Mapping[str, Any], variables: Mapping[str, str]) -> list[Any]:
    """Return what is wrong with values: sentences about all, and ``{"property"|"index", "errors"}`` below.

    ``variables`` are those that are known, by name. Raises InvalidInputError for what is not JSON Schema.
    """
    validator = validator_of(json.dumps(schema))
    if validator is None:
        raise InvalidInputError("Invalid schema: it is not JSON Schema")
    read = _read(dict(values), variables)
    found: list[Any] = []
    for path, fault in _faults(read):
        _add(found, path, fault)
    if isinstance(read, dict):
        required = schema.get("required", ())
        read = {name: each for name, each in read.items() if each is not None or name in required}
    for path, message in _misfits(validator.iter_errors(read)):
        _add(found, path, message)
    return found


def _misfits(wrong: Iterator[ValidationError]) -> list[tuple[Path, str]]:
    from referencing.exceptions import Unresolvable

    try:
        return [(_place(error), error.message) for error in wrong if not _is_open(error)]
    except (Unresolvable, re.error, RecursionError) as error:
        raise InvalidInputError(f"Invalid schema: {error}") from error


def _place(error: ValidationError) -> Path:
    """Return where an error belongs; a missing property is told at its own place."""
    path = tuple(error.absolute_path)
    if error.validator == "required":
        required: Any = error.validator_value
        return (*path, next(name for name in required if error.message == f"{name!r} is a required property"))
    return path


def _is_open(error: ValidationError) -> bool:
    """Whether an error is about a value that is not known."""
    if isinstance(error.instance, _Open):
        return True
    return error.validator in {"anyOf", "oneOf", "allOf"} and any(_opens(error.instance))


def _read(value: Any, variables: Mapping[str, str]) -> Any:
    """Return values as they will be once they are used."""
    match value:
        case {"__prefect_kind": kind}:
            return _told(kind, value, variables)
        case dict():
            read = {name: _read(each, variables) for name, each in value.items()}
            return {name: each for name, each in read.items() if each is not _LEFT_OUT}
        case list():
            listed = [_read(each, variables) for each in value]
            return [each for each in listed if each is not _LEFT_OUT]
    return value


def _told(kind: Any, value: Mapping[str, Any], variables: Mapping[str, str]) -> Any:  # noqa: PLR0911 - a table
    match kind, value:
        case "none", {"value": plain}:
            return plain
        case "none", _:
            return _Open("Missing 'value' key in __prefect object")
        case "json", {"value": text}:
            return _json(text)
        case "workspace_variable", {"variable_name": name}:
            return variables.get(name, _Open(f"Variable '{name}' not found in workspace."))
        case (("json" | "workspace_variable"), _):
            return _LEFT_OUT
        case "jinja", {"template": str(template)}:
            wrong = flaw(template)
            return _Open(f"Invalid jinja: {wrong.message}" if wrong else None)
        case "jinja", _:
            return _Open("Missing 'template' key in __prefect object")
    return _Open()


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        return _Open(f"Invalid JSON: {error}")


def _faults(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    match value:
        case _Open(fault=str(fault)):
            yield path, fault
        case dict():
            for name, each in value.items():
                yield from _faults(each, (*path, name))
        case list():
            for place, each in enumerate(value):
                yield from _faults(each, (*path, place))


def _opens(value: Any) -> Iterator[bool]:
    match value:
        case _Open():
            yield True
        case dict():
            for each in value.values():
                yield from _opens(each)
        case list():
            for each in value:
                yield from _opens(each)


def _add(found: list[Any], path: Path, message: str) -> None:
    """Put a sentence at its place; errors below one property are together, those about itself are not."""
    for depth, step in enumerate(path):
        key = "index" if isinstance(step, int) else "property"
        last = depth == len(path) - 1
        known = next((each for each in found if isinstance(each, dict) and each.get(key) == step), None)
        if known is None or last:
            known = {key: step, "errors": []}
            found.append(known)
        found = known["errors"]
    found.append(message)
