"""What the graph of a flow run shows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from reeve.core.graphs import Vertex
from reeve.core.runs import TaskRun
from reeve.core.states import StateType
from reeve.server.storage import rows
from reeve.server.storage.rows import TASK_RUN
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso
from reeve.wire.responses import GraphArtifact

# Task runs of a run; where one started a subflow, the subflow in its place. The order is theirs in time.
VERTICES = """
select t.id as task_run_id, coalesce(c.id, t.id) as id, t.task_inputs,
    case when c.id is null then t.name else f.name || ' / ' || c.name end as label,
    coalesce(c.state_type, t.state_type) as state_type,
    coalesce(c.start_time, c.expected_start_time, t.start_time, t.expected_start_time) as began,
    case when c.id is null then t.end_time else c.end_time end as ended
from task_runs t
left join flow_runs c on c.parent_task_run_id = t.id
left join flows f on f.id = c.flow_id
where t.flow_run_id = $1 and t.state_type <> 'PENDING' and t.expected_start_time is not null
order by began, task_run_id, id
limit $2
"""

# Artifacts that people look at: results, which no one named, are not among them. The newest of its key is
# the latest one, whatever run it belongs to; one without a key always is.
ARTIFACTS = """
select a.id, a.created, a.key, a.type, a.task_run_id,
    a.key is null or not exists (select 1 from artifacts n where n.key = a.key
        and (n.created > a.created or (n.created = a.created and n.id > a.id))) as is_latest
from artifacts a
where a.flow_run_id = $1 and a.type <> 'result'
order by a.created, a.id
limit $2
"""


async def vertices(tx: Transaction, run_id: UUID, limit: int) -> list[Vertex]:
    """Return what has begun inside a flow run, in order."""
    return [_vertex(row) for row in await tx.fetch(VERTICES, run_id, limit)]


async def artifacts(tx: Transaction, run_id: UUID, limit: int) -> list[tuple[UUID | None, GraphArtifact]]:
    """Return the artifacts of a flow run, the oldest first, each with its task run if it has one."""
    return [
        (
            rows.uuid_or_none(row["task_run_id"]),
            GraphArtifact(
                id=rows.uuid(row["id"]),
                created=iso(rows.instant(row["created"])),
                key=row["key"],
                type=row["type"],
                is_latest=bool(row["is_latest"]),
            ),
        )
        for row in await tx.fetch(ARTIFACTS, run_id, limit)
    ]


async def tasks(tx: Transaction, run_id: UUID, limit: int) -> list[TaskRun]:
    """Return the task runs of a flow run, begun or not, in the order in which they were made."""
    found: Sequence[Row] = await tx.fetch(
        f"{TASK_RUN} where r.flow_run_id = $1 order by r.created, r.id limit $2", run_id, limit
    )
    return [rows.task_run(row) for row in found]


def _vertex(row: Row) -> Vertex:
    return Vertex(
        task_run_id=rows.uuid(row["task_run_id"]),
        id=rows.uuid(row["id"]),
        label=row["label"],
        state_type=StateType(row["state_type"]),
        start_time=rows.instant(row["began"]),
        end_time=rows.instant_or_none(row["ended"]),
        inputs=rows.loaded(row["task_inputs"]),
    )
