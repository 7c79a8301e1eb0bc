"""Artifacts: what runs leave for people to look at."""

from __future__ import annotations

from reeve.server.storage import rows
from reeve.server.storage.store import Transaction
from reeve.wire.codec import parse
from reeve.wire.responses import Artifact


async def insert(tx: Transaction, artifact: Artifact) -> None:
    """Store a new artifact."""
    await tx.execute(
        "insert into artifacts (id, created, updated, key, type, description, data, metadata_, flow_run_id,"
        " task_run_id) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        artifact.id,
        rows.micros(parse(artifact.created)),
        rows.micros(parse(artifact.updated)),
        artifact.key,
        artifact.type,
        artifact.description,
        rows.json_or_none(artifact.data),
        rows.json_or_none(artifact.metadata_),
        artifact.flow_run_id,
        artifact.task_run_id,
    )
