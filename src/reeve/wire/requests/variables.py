"""Requests about variables."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

# api-contract §1
LONGEST_NAME = 255
LONGEST_VALUE = 5000
NAME = r"^[a-z0-9_]+\Z"

VariableName = Annotated[str, Meta(max_length=LONGEST_NAME, pattern=NAME)]
VariableValue = Annotated[str, Meta(max_length=LONGEST_VALUE)]


class VariableCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /variables/``."""

    name: VariableName
    value: VariableValue
    tags: list[str] | None = field(default_factory=list)


class VariableUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /variables/{id}`` and ``PATCH /variables/name/{name}``."""

    name: VariableName | None | UnsetType = UNSET
    value: VariableValue | None | UnsetType = UNSET
    tags: list[str] | None | UnsetType = UNSET
