"""What a flow's source says of it. It is read and not run: its imports need not be here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
    "List": "array",
    "Dict": "object",
}


@dataclass(frozen=True, kw_only=True)
class FlowSource:
    """A flow's name, its docstring, and its parameters in the shape of 2.20's ``parameter_openapi_schema``.

    ``is_certain``: the source was there to be read, and says the name.
    """

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = field(default=None)
    is_certain: bool = True


def flow_source(entrypoint: str, directory: Path) -> FlowSource:
    """Read the flow of ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``, below a directory."""
    code, _, function = entrypoint.rpartition(":")
    for file in _files(code, directory):
        try:
            return parse(file.read_text(encoding="utf-8"), function)
        except (OSError, SyntaxError, UnicodeDecodeError, LookupError):
            continue
    return FlowSource(name=_usual_name(function), is_certain=False)


def parse(text: str, function: str) -> FlowSource:
    """Read a flow out of a module's source. Raises SyntaxError, and LookupError when it is not there."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            name, certain = _name(node)
            return FlowSource(
                name=name, description=ast.get_docstring(node), schema=_schema(node), is_certain=certain
            )
    raise LookupError(function)


def _files(code: str, directory: Path) -> Iterator[Path]:
    if code.endswith(".py"):
        yield directory / code
        return
    below = directory.joinpath(*code.split("."))
    yield below.with_suffix(".py")
    yield below / "__init__.py"


def _usual_name(function: str) -> str:
    return function.replace("_", "-")


def _name(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, bool]:
    """Return the name that ``@flow`` gives, and whether it is known without running anything."""
    for decorator in node.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg == "name":
                value = keyword.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    return value.value, True
                return _usual_name(node.name), False
    return _usual_name(node.name), True


def _schema(node: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any]:
    """Return the parameters; types and defaults where they are plain, or else none: any value will do."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    missing = len(positional) - len(given.defaults)
    defaults: list[ast.expr | None] = [*[None] * missing, *given.defaults, *given.kw_defaults]
    properties = {}
    required = []
    for position, (one, default) in enumerate(zip([*positional, *given.kwonlyargs], defaults, strict=True)):
        known: dict[str, Any] = {"title": one.arg, "position": position}
        if isinstance(one.annotation, ast.Name) and one.annotation.id in _TYPES:
            known["type"] = _TYPES[one.annotation.id]
        if default is None:
            required.append(one.arg)
        else:
            known |= _default(default)
        properties[one.arg] = known
    schema: dict[str, Any] = {"title": "Parameters", "type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _default(node: ast.expr) -> dict[str, Any]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool | None):
        return {"default": node.value}
    return {}
