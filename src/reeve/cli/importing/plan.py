"""What an import wants: objects by kind and name, in the order in which they can be made. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from reeve.core.blocks import reference
from reeve.core.jobs import resolve
from reeve.core.work import AGENT_POOL_TYPE
from reeve.errors import InvalidInputError

PROCESS = "process"
_LOOKED_UP = re.compile(r"\{\{\s*(prefect\.|\$)")  # by a worker of 2.20 before it starts a run
SERVED_TYPES = (PROCESS, AGENT_POOL_TYPE)  # of pools whose runs reeve's agents launch


class Kind(StrEnum):
    """What an object is, as the report calls it."""

    BLOCK_TYPE = "block type"
    BLOCK = "block"
    VARIABLE = "variable"
    TAG_LIMIT = "tag limit"
    LIMIT = "concurrency limit"
    POOL = "work pool"
    QUEUE = "work queue"
    NOTIFICATION = "notification"
    AUTOMATION = "automation"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True)
class BlockRef:
    """A block by type and name: its id is another on each server."""

    slug: str
    name: str

    def __str__(self) -> str:
        return f"{self.slug}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Item:
    """An object to be made. ``fields`` are what can differ from one of this name that is there already.

    ``given`` is what only making it needs. Both may hold BlockRefs.
    """

    kind: Kind
    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What cannot be carried over, why, and what to do instead."""

    kind: Kind
    name: str
    why: str
    remedy: str


Plan: TypeAlias = list[Item | Refusal]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user chose for deployments. ``command``: of runs whose deployment says none."""

    paused: bool = False
    command: str | None = None

    def job_variables(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return a deployment's job variables, with the chosen command where they name none."""
        return {"command": self.command, **said} if self.command else dict(said)

    def apart(self, fields: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return both with all made paused, if so chosen: one that was resumed since is no other for it."""
        if not self.paused:
            return fields, given
        return {name: one for name, one in fields.items() if name != "paused"}, {**given, "paused": True}


# --- references


def with_refs(value: Any, ref_of: Callable[[UUID], BlockRef]) -> Any:
    """Return a value with BlockRefs in the place of the ids of ``{"$ref": {"block_document_id": …}}``."""
    if isinstance(value, list):
        return [with_refs(one, ref_of) for one in value]
    if not isinstance(value, Mapping):
        return value
    target = reference(value)
    if target is not None:
        return {"$ref": {"block_document_id": ref_of(target)}}
    return {key: with_refs(one, ref_of) for key, one in value.items()}


def with_ids(value: Any, id_of: Callable[[BlockRef], UUID]) -> Any:
    """Return a value with ids in the place of its BlockRefs."""
    if isinstance(value, BlockRef):
        return str(id_of(value))
    if isinstance(value, list):
        return [with_ids(one, id_of) for one in value]
    if isinstance(value, Mapping):
        return {key: with_ids(one, id_of) for key, one in value.items()}
    return value


def ids_in(value: Any) -> Iterator[UUID]:
    """Give the ids of the blocks that a value refers to."""
    if isinstance(value, list):
        for one in value:
            yield from ids_in(one)
    elif isinstance(value, Mapping):
        target = reference(value)
        if target is not None:
            yield target
        else:
            for one in value.values():
                yield from ids_in(one)


# --- what both sources have to say


def pool_notes(type_: str, template: Any) -> tuple[str, ...]:
    """Say which runs of a pool will not start, and of what its job template will not be filled."""
    notes = []
    if type_ not in SERVED_TYPES:
        notes.append(
            f"its type is {type_!r}, and reeve's agents start processes: a Prefect worker of that type must "
            "serve it, with this server as its PREFECT_API_URL"
        )
    return (*notes, *_placeholder_notes("its job template", template))


def job_notes(base: Mapping[str, Any] | None, overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what is wrong with the job of a deployment. ``base`` None: what it starts from is not known."""
    notes = _placeholder_notes("its job variables", dict(overrides))
    if base is None:
        return notes
    try:
        resolve(base, overrides)
    except InvalidInputError as error:
        return (*notes, f"its runs will not start until its job variables are mended: {error.message}")
    return notes


def _placeholder_notes(where: str, value: Any) -> tuple[str, ...]:
    if not any(_LOOKED_UP.search(text) for text in _texts(value)):
        return ()
    return (f"{where} name blocks or variables in {{{{ … }}}}, which reeve's agents hand on as they stand",)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
