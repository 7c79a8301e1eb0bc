"""A flow's parameters as JSON Schema, in the shape of 2.20's ``parameter_openapi_schema``."""

from __future__ import annotations

import datetime as dt
import inspect
import os
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from reeve.sdk.parameters import Parameters
from reeve.sdk.secret import Secret, holds_secret

_SECRET = {"writeOnly": True, "format": "password"}
_REFERENCE = "#/definitions/{name}"
# msgspec names them only where a zone is asked for; the server checks what is named.
_FORMATS: dict[Any, str] = {dt.datetime: "date-time", dt.time: "time"}


def parameter_schema(parameters: Parameters) -> dict[str, Any]:
    """Return title, type, ``properties`` with their positions, ``required`` and ``definitions``.

    A type that JSON Schema has no words for accepts anything.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    required: list[str] = []
    for position, (name, parameter) in enumerate(parameters.signature.parameters.items()):
        schema, used = _schema(parameters.types[name])
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


def _schema(type_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        (schema,), used = msgspec.json.schema_components(
            [_with_format(type_)], schema_hook=_foreign_schema, ref_template=_REFERENCE
        )
    except (TypeError, NotImplementedError):  # a type, or a union, that msgspec does not know
        return (dict(_SECRET) if holds_secret(type_) else {}), {}
    return schema, used


def _with_format(type_: Any) -> Any:
    """Have the format of dates with times named, in the type itself and in what it is a list, … of."""
    if type_ in _FORMATS:
        return Annotated[type_, msgspec.Meta(extra_json_schema={"format": _FORMATS[type_]})]
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return Annotated[(_with_format(args[0]), *args[1:])]
    inner = tuple(_with_format(one) for one in args)
    if origin in {None, Literal} or inner == args:
        return type_
    return Union[inner] if origin is UnionType else origin[inner]  # noqa: UP007  # it is built here


def _foreign_schema(type_: type) -> dict[str, Any]:
    if issubclass(type_, Secret):
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
        return {"default": msgspec.to_builtins(parameter.default, enc_hook=_plain)}
    except (TypeError, NotImplementedError):  # the form cannot show it
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NotImplementedError
