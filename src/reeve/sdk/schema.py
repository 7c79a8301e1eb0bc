"""A flow's parameters as JSON Schema, in the shape of 2.20's ``parameter_openapi_schema``."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import os
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import msgspec

from reeve.sdk.hints import fields, parts
from reeve.sdk.parameters import Parameters
from reeve.sdk.secret import holds_secret, is_secret

_SECRET = {"writeOnly": True, "format": "password"}
_REFERENCE = "#/definitions/{name}"
# msgspec names them only where a zone is asked for; the server checks what is named.
_FORMATS: dict[Any, str] = {dt.datetime: "date-time", dt.time: "time"}
_PRESENCE = (Required, NotRequired)  # of a field of a TypedDict; what is in them is its type


def parameter_schema(parameters: Parameters) -> dict[str, Any]:
    """Return title, type, ``properties`` with their positions, ``required`` and ``definitions``.

    A type that JSON Schema has no words for accepts anything.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    required: list[str] = []
    for position, (name, parameter) in enumerate(parameters.signature.parameters.items()):
        schema, used = type_schema(parameters.types[name])
        definitions.update(used)
        properties[name] = {"title": name, "position": position, **_referred(schema), **_default(parameter)}
        if parameter.default is inspect.Parameter.empty and parameter.kind not in {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }:
            required.append(name)
    return {
        "title": "Parameters",
        "type": "object",
        "properties": properties,
        "required": required,
        "definitions": definitions,
    }


def type_schema(type_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON Schema of a type, and the definitions it refers to; an empty one allows anything."""
    nested = list(_with_times(type_))
    # All in one call, so that each definition has one name.
    wanted = [_with_format(type_), *(class_ for class_, _, _ in nested), *(hint for _, _, hint in nested)]
    try:
        (schema, *shown), used = msgspec.json.schema_components(
            wanted, schema_hook=_foreign_schema, ref_template=_REFERENCE
        )
    except (TypeError, NotImplementedError):  # a type, or a union, that msgspec does not know
        return ({"writeOnly": True} if holds_secret(type_) else {}), {}
    for (_, place, _), owner, field in zip(nested, shown, shown[len(nested) :], strict=False):
        described = used[owner["$ref"].rpartition("/")[2]]
        described["properties" if isinstance(place, str) else "prefixItems"][place].update(field)
    return schema, used


def _with_times(type_: Any) -> Iterator[tuple[type, str | int, Any]]:
    """Yield fields of classes in a type whose format is to be named: class, place in its schema, type."""
    for class_ in parts(type_):
        for number, (name, hint) in enumerate(fields(class_).items()):
            formatted = _with_format(hint)
            if formatted is not hint:
                yield class_, number if _is_array(class_) else _renamed(class_, name), formatted


def _is_array(class_: type) -> bool:
    return issubclass(class_, tuple) or (
        issubclass(class_, msgspec.Struct) and class_.__struct_config__.array_like
    )


def _renamed(class_: type, name: str) -> str:
    if not issubclass(class_, msgspec.Struct):
        return name
    return class_.__struct_encode_fields__[class_.__struct_fields__.index(name)]


def _with_format(type_: Any) -> Any:
    """Have the format of dates with times named, in the type itself and in what it is a list, … of."""
    if isinstance(type_, type) and type_ in _FORMATS:
        return Annotated[type_, msgspec.Meta(extra_json_schema={"format": _FORMATS[type_]})]
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return Annotated[(_with_format(args[0]), *args[1:])]
    inner = tuple(_with_format(one) for one in args)
    if origin in _PRESENCE:
        return type_ if inner == args else inner[0]
    if origin in {None, Literal} or inner == args:
        return type_
    return Union[inner] if origin is UnionType else origin[inner]  # noqa: UP007  # it is built here


def _foreign_schema(type_: type) -> dict[str, Any]:
    if is_secret(type_):
        return {"type": "string", **_SECRET}
    if issubclass(type_, os.PathLike):
        return {"type": "string", "format": "path"}
    raise NotImplementedError


def _referred(schema: dict[str, Any]) -> dict[str, Any]:
    """Wrap a bare reference: beside ``$ref`` readers of older JSON Schema drafts ignore all other keys."""
    return {"allOf": [schema]} if "$ref" in schema else schema


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default in (inspect.Parameter.empty, None):
        return {}
    try:
        value = msgspec.to_builtins(parameter.default, enc_hook=_plain)
        return {"default": json.loads(json.dumps(value))}  # as the server returns it: a tuple is a list there
    except (TypeError, NotImplementedError):  # the form cannot show it
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NotImplementedError
