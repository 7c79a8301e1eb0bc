"""Log lines of runs, in the order in which they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from reeve.core.logs import LogLine
from reeve.server.storage import rows
from reeve.server.storage.store import Transaction

INSERT = """
insert into logs (id, created, name, level, message, timestamp, flow_run_id, task_run_id, attempt_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


async def insert(tx: Transaction, lines: Sequence[LogLine], attempt_id: UUID | None) -> None:
    """Store lines under the attempt that said them, if one did."""
    for line in lines:
        tx.later(
            INSERT,
            line.id,
            rows.micros(line.created),
            line.name,
            line.level,
            line.message,
            rows.micros(line.timestamp),
            line.flow_run_id,
            line.task_run_id,
            attempt_id,
        )


async def after(tx: Transaction, run_id: UUID, cursor: int, limit: int) -> list[tuple[int, LogLine]]:
    """Return lines of a run behind a cursor in the order in which they came, each with its own cursor."""
    found = await tx.fetch(
        "select * from logs where flow_run_id = $1 and cursor > $2 order by cursor limit $3",
        run_id,
        cursor,
        limit,
    )
    return [(row["cursor"], rows.log_line(row)) for row in found]


async def after_with_subflows(
    tx: Transaction, run_id: UUID, cursor: int, limit: int
) -> list[tuple[int, LogLine]]:
    """Return lines of a run, and of subflows of the same process at any depth, as ``after`` does.

    Those of other processes are left out: their lines may become visible later than ones behind them.
    """
    found = await tx.fetch(
        "with recursive tree (id) as (select id from flow_runs where id = $1 union all"
        " select c.id from tree join task_runs t on t.flow_run_id = tree.id"
        " join flow_runs c on c.parent_task_run_id = t.id where c.deployment_id is null)"
        " select l.* from logs l where l.flow_run_id in (select id from tree) and l.cursor > $2"
        " order by l.cursor limit $3",
        run_id,
        cursor,
        limit,
    )
    return [(row["cursor"], rows.log_line(row)) for row in found]


async def prune(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` lines older than ``before``; return how many."""
    return await tx.execute(
        "delete from logs where cursor in (select cursor from logs where timestamp < $1 limit $2)",
        rows.micros(before),
        limit,
    )
