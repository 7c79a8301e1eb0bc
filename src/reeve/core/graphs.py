"""The graph of a flow run: which task or subflow took the result of which other one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.states import StateType


class Vertex(Struct, frozen=True, kw_only=True):
    """A task run that has begun, with the flow run that it started, if it started one.

    ``id`` is that of the flow run then, and so are its label, state and times.
    """

    task_run_id: UUID
    id: UUID
    label: str
    state_type: StateType
    start_time: datetime
    end_time: datetime | None
    inputs: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def is_subflow(self) -> bool:
        """Whether the task run only stands for a flow run."""
        return self.id != self.task_run_id


class Edges(Struct, frozen=True):
    """The ends of the edges at each vertex, by its id and in the order of the vertices."""

    parents: Mapping[UUID, list[UUID]]
    children: Mapping[UUID, list[UUID]]


def upstream(inputs: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[UUID]:
    """Return the task runs whose results are among these inputs, each once."""
    named = [
        _id(each.get("id"))
        for values in inputs.values()
        for each in values
        if each.get("input_type") == "task_run"
    ]
    return list(dict.fromkeys(each for each in named if each is not None))


def _id(value: object) -> UUID | None:
    """Read the id of an input; what a client wrote there is stored as it came."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def edges(vertices: Sequence[Vertex]) -> Edges:
    """Join vertices by their inputs; who took the result of a subflow's task took that of the subflow.

    A task run that is no vertex, because it has not begun, has no edges.
    """
    ids = {vertex.task_run_id: vertex.id for vertex in vertices}
    places = {vertex.id: place for place, vertex in enumerate(vertices)}
    parents: dict[UUID, list[UUID]] = {}
    children: dict[UUID, list[UUID]] = defaultdict(list)
    for vertex in vertices:
        known = [ids[each] for each in upstream(vertex.inputs) if each in ids]
        parents[vertex.id] = sorted(known, key=places.__getitem__)
        for parent in known:
            children[parent].append(vertex.id)
    return Edges(parents, children)
