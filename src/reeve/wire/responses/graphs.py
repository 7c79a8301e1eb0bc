"""Graphs of flow runs: what their tasks and subflows took from one another."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.core.states import StateType
from reeve.wire.codec import Timestamp
from reeve.wire.responses.states import State


class Edge(Struct, kw_only=True):
    """The other end of an edge."""

    id: UUID


class GraphArtifact(Struct, kw_only=True):
    """An artifact as a graph shows it."""

    id: UUID
    created: Timestamp
    key: str | None
    type: str | None
    is_latest: bool


class GraphState(Struct, kw_only=True):
    """A state as a graph shows it."""

    id: UUID
    timestamp: Timestamp
    type: StateType
    name: str


class Node(Struct, kw_only=True):
    """A task run, or the flow run in its place: ``kind`` is "task-run" or "flow-run"."""

    kind: str
    id: UUID
    label: str
    state_type: StateType
    start_time: Timestamp
    end_time: Timestamp | None
    parents: list[Edge]
    children: list[Edge]
    artifacts: list[GraphArtifact]


class Graph(Struct, kw_only=True):
    """``Graph``: the answer of ``/flow_runs/{id}/graph-v2``."""

    start_time: Timestamp | None
    end_time: Timestamp | None
    root_node_ids: list[UUID]
    nodes: list[tuple[UUID, Node]]
    artifacts: list[GraphArtifact]
    states: list[GraphState]


class Upstream(Struct, kw_only=True):
    """``TaskRunResult``: a task run whose result another one took."""

    id: UUID
    input_type: str = "task_run"


class Dependency(Struct, kw_only=True):
    """``DependencyResult``: a task run in the answer of ``/flow_runs/{id}/graph``."""

    id: UUID
    name: str
    upstream_dependencies: list[Upstream]
    state: State | None
    expected_start_time: Timestamp | None
    start_time: Timestamp | None
    end_time: Timestamp | None
    total_run_time: float
    estimated_run_time: float
    untrackable_result: bool
