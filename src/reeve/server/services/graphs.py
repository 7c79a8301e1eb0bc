"""Graphs of flow runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from reeve.core.graphs import Vertex, edges
from reeve.errors import InvalidInputError, NotFoundError
from reeve.server.services.context import Context
from reeve.server.storage import graphs, runs
from reeve.wire.codec import iso, iso_or_none
from reeve.wire.responses import Edge, Graph, GraphArtifact, GraphState, Node

if TYPE_CHECKING:
    from reeve.core.runs import FlowRun, TaskRun
    from reeve.core.states import State
    from reeve.server.storage.store import Transaction

T = TypeVar("T")

MAX_NODES = 10_000  # as 2.20 has it
MAX_ARTIFACTS = 10_000

Artifacts = list[tuple[UUID | None, GraphArtifact]]


class GraphTooLargeError(InvalidInputError):
    """The graph has more nodes than anybody could look at."""


async def dependencies(ctx: Context, run_id: UUID) -> list[TaskRun]:
    """Return the task runs of a flow run; raises NotFoundError, GraphTooLargeError."""

    async def look(tx: Transaction) -> list[TaskRun]:
        if await runs.read(tx, run_id) is None:
            raise NotFoundError(f"Flow run with id {run_id} not found")
        return _bounded(run_id, await graphs.tasks(tx, run_id, MAX_NODES + 1))

    return await ctx.store.read(look)


async def graph(ctx: Context, run_id: UUID, since: datetime | None) -> Graph:
    """Return the graph of a flow run, without the nodes that ended before ``since``.

    Raises NotFoundError, GraphTooLargeError.
    """

    async def look(tx: Transaction) -> Graph:
        run = await runs.read(tx, run_id)
        if run is None:
            raise NotFoundError(f"Flow run {run_id} not found")
        vertices = _bounded(run_id, await graphs.vertices(tx, run_id, MAX_NODES + 1))
        artifacts = await graphs.artifacts(tx, run_id, MAX_ARTIFACTS)
        return _graph(run, vertices, artifacts, await runs.states(tx, run_id), since)

    return await ctx.store.read(look)


def _bounded(run_id: UUID, found: list[T]) -> list[T]:
    if len(found) > MAX_NODES:
        raise GraphTooLargeError(f"The graph of flow run {run_id} has more than {MAX_NODES} nodes.")
    return found


def _graph(
    run: FlowRun, vertices: list[Vertex], artifacts: Artifacts, states: list[State], since: datetime | None
) -> Graph:
    joined = edges(vertices)
    made: dict[UUID | None, list[GraphArtifact]] = defaultdict(list)
    for task_run_id, artifact in artifacts:
        made[task_run_id].append(artifact)
    shown = [
        vertex for vertex in vertices if since is None or vertex.end_time is None or vertex.end_time >= since
    ]
    nodes = [
        Node(
            kind="flow-run" if vertex.is_subflow else "task-run",
            id=vertex.id,
            label=vertex.label,
            state_type=vertex.state_type,
            start_time=iso(vertex.start_time),
            end_time=iso_or_none(vertex.end_time),
            parents=[Edge(id=each) for each in joined.parents[vertex.id]],
            children=[Edge(id=each) for each in joined.children.get(vertex.id, ())],
            artifacts=made[vertex.task_run_id],
        )
        for vertex in shown
    ]
    return Graph(
        start_time=iso_or_none(run.start_time or run.expected_start_time),
        end_time=iso_or_none(run.end_time),
        root_node_ids=[node.id for node in nodes if not node.parents],
        nodes=[(node.id, node) for node in nodes],
        artifacts=made[None],
        states=[
            GraphState(id=state.id, timestamp=iso(state.timestamp), type=state.type, name=state.name)
            for state in states
        ],
    )
