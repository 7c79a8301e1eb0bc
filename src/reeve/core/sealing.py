"""Secret parameters: which of a flow's they are, and how their sealed values look (decision 0025).

Sealed, a value is ``{"$sealed": {"id": …, "key_id": …, "text": …}}`` in the parameters of a run, a deployment
or a schedule: whatever copies parameters copies it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "********"  # what stands for a secret in an answer (api-contract §2)
SEALED = "$sealed"


def secret_names(schema: object) -> frozenset[str]:
    """Return the parameters that hold a secret anywhere, by the JSON Schema of all parameters.

    A secret has ``writeOnly`` or the format ``password``, as msgspec and pydantic write it.
    """
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping):
        return frozenset()
    return frozenset(
        name for name, one in properties.items() if any(map(_is_secret, _parts(one, schema, set())))
    )


def has_secret(schema: object) -> bool:
    """Whether there is a secret anywhere in a JSON Schema."""
    return any(map(_is_secret, _parts(schema, schema, set())))


def is_sealed(value: object) -> bool:
    """Whether a parameter's value is a sealed one."""
    return isinstance(value, Mapping) and value.keys() == {SEALED}


def is_hidden(value: object) -> bool:
    """Whether a value is what was shown in the place of a secret: stars, ours or those of pydantic."""
    return isinstance(value, str) and len(value) >= len(HIDDEN) and not value.strip("*")


def shown(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are shown: what is sealed is hidden."""
    return {name: HIDDEN if is_sealed(value) else value for name, value in parameters.items()}


def told_apart(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with the id of a sealed value in its place: a new key changes the text, not that."""
    return {name: value[SEALED]["id"] if is_sealed(value) else value for name, value in parameters.items()}


def sealing_keys(parameters: Mapping[str, Any]) -> set[str]:
    """Return the ids of the keys that values are sealed with."""
    return {value[SEALED]["key_id"] for value in parameters.values() if is_sealed(value)}


def _is_secret(part: Mapping[str, Any]) -> bool:
    return part.get("writeOnly") is True or part.get("format") == "password"


def _parts(part: object, root: object, seen: set[str]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and all within it, through its references."""
    if isinstance(part, list):
        for one in part:
            yield from _parts(one, root, seen)
    if not isinstance(part, Mapping):
        return
    yield part
    for key, value in part.items():
        if key == "$ref" and isinstance(value, str):
            if value not in seen:
                seen.add(value)
                yield from _parts(_referred(value, root), root, seen)
        elif key not in {"default", "example", "examples", "enum", "const"}:
            yield from _parts(value, root, seen)


def _referred(reference: str, root: object) -> object:
    """Return what ``#/definitions/Login`` means; None for what is not in the schema."""
    found = root
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found
