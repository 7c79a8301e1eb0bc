"""Requests about variables."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from reeve.core import names

# api-contract §1
LONGEST_NAME = 255
LONGEST_VALUE = 5000

VariableName = Annotated[str, Meta(max_length=LONGEST_NAME, pattern=names.VARIABLE)]
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
