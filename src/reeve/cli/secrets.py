"""Secret parameters from the command line, past the history of the shell and the list of processes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from reeve.cli.values import parameters
from reeve.core.sealing import secret_names
from reeve.errors import InvalidInputError
from reeve.wire.responses import DeploymentResponse

STDIN = "-"


def given_parameters(deployment: DeploymentResponse, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters that a user gives a run.

    A secret text that is required and nowhere given is asked for, if there is somebody to ask. Raises
    InvalidInputError for a file that cannot be read.
    """
    schema = deployment.parameter_openapi_schema or {}
    given = read_parameters(schema, pairs)
    if sys.stdin.isatty():
        for name in _plain_texts(schema) & set(schema.get("required", ())):
            if name not in given and name not in deployment.parameters:
                given[name] = click.prompt(name, hide_input=True, err=True)
    return given


def read_parameters(schema: dict[str, Any], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return parameters as values; those that the schema calls secret are read from where ``@FILE`` says.

    Raises InvalidInputError for a file that cannot be read.
    """
    secret, texts = secret_names(schema), _plain_texts(schema)
    found: dict[str, Any] = {}
    for name, said in pairs:
        text = _read(name, said[1:]) if name in secret and said.startswith("@") else said
        found |= (
            {name: text} if name in texts else parameters([(name, text)])
        )  # a password of digits is no number
    return found


def _plain_texts(schema: dict[str, Any]) -> set[str]:
    """Return the parameters that are one secret text, or null, and not a mapping with secrets in it."""
    return {name for name, one in schema.get("properties", {}).items() if _is_text(one)}


def _is_text(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    if members := schema.get("anyOf"):
        return all(one == {"type": "null"} or _is_text(one) for one in members)
    return schema.get("format") == "password"


def _read(name: str, source: str) -> str:
    """Return a file's text without the end of its last line; ``-``: that of the standard input."""
    try:
        text = sys.stdin.read() if source == STDIN else Path(source).read_text()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInputError(
            f"The parameter '{name}' is secret, and @{source} a file to read it from: {reason}", field=name
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
