"""What a server's figures count: agents, open attempts, runs that wait."""

from __future__ import annotations

from datetime import datetime

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction
from reeve.server.storage.waiting import WAITS

COUNTED_RUNS = 10_000  # a longer line is counted as this: its length must not make the figures dear


async def agents_by_status(tx: Transaction) -> dict[str, int]:
    """Count agents by what the server hears of them."""
    found = await tx.fetch("select status, count(*) as agents from agents group by status")
    return {row["status"]: row["agents"] for row in found}


async def open_attempts(tx: Transaction) -> int:
    """Count the open attempts."""
    count: int = await tx.fetchval("select count(*) from attempts where closed is null")
    return count


async def due(tx: Transaction, now: datetime) -> tuple[int, datetime | None]:
    """Count the due runs that nothing holds, COUNTED_RUNS at the most; and say since when the first waits."""
    row = await tx.fetchrow(
        "select count(*) as runs, min(next_scheduled_start_time) as first from"
        f" (select next_scheduled_start_time from flow_runs where {WAITS}"
        " and next_scheduled_start_time <= $1"
        f" order by next_scheduled_start_time limit {COUNTED_RUNS}) line",
        rows.micros(now),
    )
    assert row is not None
    return row["runs"], rows.instant_or_none(row["first"])
