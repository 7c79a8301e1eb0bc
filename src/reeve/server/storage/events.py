"""Events: what happened, written in the transaction in which it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reeve.core.events import Event
from reeve.server.storage import rows
from reeve.server.storage.store import Transaction

INSERT = (
    "insert into events (id, at, kind, flow_run_id, attempt_id, agent_id, payload)"
    " values ($1, $2, $3, $4, $5, $6, $7)"
)


async def record(tx: Transaction, events: Sequence[Event]) -> None:
    """Store events."""
    for event in events:
        tx.later(
            INSERT,
            event.id,
            rows.micros(event.at),
            event.kind,
            event.flow_run_id,
            event.attempt_id,
            event.agent_id,
            rows.json(event.payload),
        )


async def prune(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` events older than ``before``; return how many."""
    return await tx.execute(
        "delete from events where cursor in (select cursor from events where at < $1 limit $2)",
        rows.micros(before),
        limit,
    )
