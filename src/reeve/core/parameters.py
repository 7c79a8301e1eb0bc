"""Do the parameters of a run fit its flow? The schema is the deployment's ``parameter_openapi_schema``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time
from difflib import get_close_matches
from functools import lru_cache, partial
from reprlib import Repr
from typing import TYPE_CHECKING, Any
from uuid import UUID

from reeve.core.sealing import secret_names
from reeve.errors import InvalidInputError

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_FORMATS = {
    "date": (date.fromisoformat, "a date like 2026-01-31"),
    "date-time": (datetime.fromisoformat, "a time like 2026-01-31T08:30:00+00:00"),
    "time": (time.fromisoformat, "a time of day like 08:30:00"),
    "uuid": (UUID, "a UUID"),
}

_short = Repr()
_short.maxstring = _short.maxother = 80


def check_parameters(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for the first parameter that does not fit, saying what was expected.

    ``schema`` is JSON Schema as pydantic and msgspec write it for a signature, ``parameters`` are JSON
    values; those of secret ones are never quoted. A parameter that the schema does not name is refused unless
    it allows others. Of the formats date, date-time, time and uuid are checked.
    """
    validator = validator_of(json.dumps(schema, sort_keys=True))
    if validator is None:
        raise _broken("it is not JSON Schema")
    _check_names(schema, parameters)
    given = {name: value for name, value in parameters.items() if not _left_out(schema, name, value)}
    error = _first_error(validator, given)
    if error is not None:
        raise _misfit(error, secret_names(schema))


def _left_out(schema: Mapping[str, Any], name: str, value: object) -> bool:
    """Whether None stands for the default: pydantic 1 writes ``Optional[int] = None`` as plain integer."""
    described = schema.get("properties", {}).get(name)
    has_default = isinstance(described, dict) and described.get("default") is not None
    return value is None and name not in schema.get("required", ()) and not has_default


def _check_names(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    properties = schema.get("properties", {})
    closed = "properties" in schema and "patternProperties" not in schema
    for name in parameters:
        if closed and name not in properties and not schema.get("additionalProperties", False):
            raise _error(name, f"parameter '{name}' is unknown; {_instead(name, properties)}")
    for name in schema.get("required", ()):
        if name not in parameters:
            expected = _describe(properties.get(name))
            raise _error(name, f"parameter '{name}' is required: give {expected}")


def _instead(name: str, properties: Mapping[str, Any]) -> str:
    near = get_close_matches(name, properties, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    if not properties:
        return "the flow takes no parameters"
    return f"the flow takes {', '.join(properties)}"


def _first_error(validator: Validator, given: Mapping[str, Any]) -> ValidationError | None:
    from referencing.exceptions import Unresolvable

    try:
        return next(iter(validator.iter_errors(given)), None)
    except (Unresolvable, re.error, RecursionError) as error:
        raise _broken(str(error)) from error


@lru_cache(maxsize=256)
def validator_of(schema_text: str) -> Validator | None:
    """Return the validator of the first dialect in which this is a schema; choosing takes some ms."""
    # Late: only the server checks parameters, and this costs 60 ms and loads socket.
    from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
    from referencing import Registry

    formats = FormatChecker(formats=())
    for name, (read, _) in _FORMATS.items():
        formats.checks(name, raises=ValueError)(partial(_reads, read))
    schema = json.loads(schema_text)
    for dialect in (Draft202012Validator, Draft7Validator):  # pydantic 2; pydantic 1
        if dialect(dialect.META_SCHEMA).is_valid(schema):
            # An empty registry: the default one fetches a foreign $ref over the network.
            return dialect(schema, format_checker=formats, registry=Registry())
    return None


def _reads(read: Callable[[str], object], value: object) -> bool:
    return not isinstance(value, str) or bool(read(value))


def _misfit(error: ValidationError, secret: Collection[str]) -> InvalidInputError:
    # In a union tell the member that fits from outside and not within, else the union as a whole.
    while deeper := [inner for inner in error.context or () if inner.path]:
        error = deeper[0]
    name, *path = error.absolute_path or ("",)
    where = str(name) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    if name in secret or (secret and not name):  # without a name it is about all of them
        wrong = "it does not fit its type; what was given is a secret, and not shown"
    elif error.validator in _DESCRIBED:
        members = [inner.schema for inner in error.context or ()] or [error.schema]
        expected = " or ".join(dict.fromkeys(map(_describe, members)))
        wrong = f"expected {expected}, got {_short.repr(error.instance)}"
    else:
        wrong = error.message
    return _error(str(name), f"parameter '{where}': {wrong}")


# Keywords whose meaning _describe tells; of others the library's own sentence is good.
_DESCRIBED = frozenset({"type", "format", "enum", "const", "anyOf", "oneOf"})


def _describe(schema: object) -> str:  # noqa: PLR0911 - a table of forms
    """Say what a value must be."""
    match schema:
        case {"anyOf": list(members)} | {"oneOf": list(members)}:
            return " or ".join(dict.fromkeys(map(_describe, members)))
        case {"allOf": [member]}:
            return _describe(member)
        case {"enum": list(values)}:
            return f"one of {', '.join(map(repr, values))}"
        case {"const": value}:
            return repr(value)
        case {"$ref": str(target)}:
            return f"a {target.rpartition('/')[2]}"
        case {"format": str(name)} if name in _FORMATS:
            return _FORMATS[name][1]
        case {"type": list(names)}:
            return " or ".join(_TYPES[name] for name in names)
        case {"type": str(name)}:
            return _TYPES[name]
        case _:
            return "a value"


def _error(name: str, message: str) -> InvalidInputError:
    return InvalidInputError(message, field=f"parameters.{name}")


def _broken(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"the parameter schema of the deployment cannot be used: {why}; deploy the flow again,"
        " or set enforce_parameter_schema to false",
        field="parameter_openapi_schema",
    )
