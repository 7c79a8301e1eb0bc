"""Blocks: the checksum of a schema, the places of secrets in a document, references to other documents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from reeve.core.names import check_name
from reeve.core.sealing import HIDDEN
from reeve.errors import InvalidFieldsError, InvalidInputError

EVERY = "*"  # a step of a path: everything below

_ALLOWED = re.compile(r"[a-z0-9-]*")


def check_type(name: str, slug: str) -> None:
    """Raise InvalidFieldsError for the name and the slug of a block type, with what is wrong with either."""
    faults = {}
    try:
        check_name("block type", name)
    except InvalidInputError as error:
        faults["name"] = error.message
    if not _ALLOWED.fullmatch(slug):
        faults["slug"] = "Block type slug must only contain lowercase letters, numbers, and dashes."
    if faults:
        raise InvalidFieldsError(faults)


def check_document_name(name: str | None, *, anonymous: bool) -> None:
    """Raise InvalidFieldsError for a name that cannot be used; only an anonymous document may have none.

    To 2.20 a name that cannot be used is wrong, and is missing too.
    """
    faults = {}
    if name and not _ALLOWED.fullmatch(name):
        faults["name"] = "Block document name must only contain lowercase letters, numbers, and dashes."
    if not anonymous and (faults or not name):
        faults["__root__"] = "Names must be provided for block documents."
    if faults:
        raise InvalidFieldsError(faults)


# Schemas


def checksum(fields: Mapping[str, Any]) -> str:
    """Return the checksum of a schema's fields, the same as a 2.20 client computes.

    The rule was found by comparing with the checksums of 25 classes of blocks of 2.20.26 (in part:
    tests/core/test_blocks.py): which fields are secret does not count, nor do definitions that are blocks
    themselves. The rest is hashed as the JSON of a call's positional and named arguments.
    """
    counted = _without_secret_fields(fields)
    definitions = counted.pop("definitions", None) or {}
    plain = {name: one for name, one in definitions.items() if "block_type_slug" not in one}
    if plain:
        counted["definitions"] = plain
    text = json.dumps([[counted], {}], sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def slugs_referred_to(fields: Mapping[str, Any]) -> Iterator[str]:
    """Give the slugs of the block types that a schema's own fields refer to."""
    for reference in (fields.get("block_schema_references") or {}).values():
        for one in reference if isinstance(reference, list) else [reference]:
            if isinstance(one, Mapping) and isinstance(one.get("block_type_slug"), str):
                yield one["block_type_slug"]


def secret_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return the dotted paths of a schema's secrets; what is not a path is left out."""
    listed = fields.get("secret_fields") or ()
    return [path for path in listed if isinstance(path, str)]


def _without_secret_fields(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_secret_fields(item) for key, item in value.items() if key != "secret_fields"}
    if isinstance(value, list):
        return [_without_secret_fields(item) for item in value]
    return value


# Documents


def hidden(data: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return data with the values at dotted paths hidden; from a ``*`` on, all leaves below. Null shows."""
    shown = dict(data)
    for path in paths:
        first, _, rest = path.partition(".")
        if first == EVERY:
            return {key: _leaves_hidden(value) for key, value in shown.items()}
        value = shown.get(first)
        if rest and isinstance(value, Mapping):
            shown[first] = hidden(value, [rest])
        elif value is not None and (not rest or rest.startswith(EVERY)):
            shown[first] = HIDDEN
    return shown


def restored(data: Mapping[str, Any], stored: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return data that a client was shown hidden, with what is stored at the places of secrets."""
    meant = dict(data)
    for path in paths:
        first, _, rest = path.partition(".")
        if first == EVERY:
            return {key: _leaf_restored(value, stored.get(key, value)) for key, value in meant.items()}
        if first not in meant or first not in stored:
            continue
        value, old = meant[first], stored[first]
        if value == HIDDEN:
            meant[first] = old
        elif rest and isinstance(value, Mapping) and isinstance(old, Mapping):
            meant[first] = restored(value, old, [rest])
    return meant


def reference(value: Any) -> UUID | None:
    """Return the id of the document that a value of a document's data stands for, None for plain data.

    Raises InvalidInputError when the id is none.
    """
    match value:
        case {"$ref": {"block_document_id": target}}:
            try:
                return UUID(target)
            except (ValueError, TypeError, AttributeError):
                message = 'A reference reads {"$ref": {"block_document_id": "<id>"}}.'
                raise InvalidInputError(message, field="data") from None
    return None


def references(data: Mapping[str, Any]) -> dict[str, UUID]:
    """Return the documents that a document refers to, by the key of its data; raises InvalidInputError."""
    found = ((key, reference(value)) for key, value in data.items())
    return {key: target for key, target in found if target is not None}


def _leaves_hidden(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _leaves_hidden(item) for key, item in value.items()}
    return HIDDEN


def _leaf_restored(value: Any, stored: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(stored, Mapping):
        return {key: _leaf_restored(item, stored.get(key, item)) for key, item in value.items()}
    return stored if value == HIDDEN else value
