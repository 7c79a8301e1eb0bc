"""Artifacts: what runs leave for people to look at.

A collection is a key with its newest artifact: read from the artifacts each time, so it is never out of date.
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, UUID, uuid5

from reeve.server.storage import rows
from reeve.server.storage.store import Row, Transaction
from reeve.wire.codec import iso, parse
from reeve.wire.responses import Artifact, ArtifactCollection

# The newest artifact of each key, and since when there is the key. Its table is "a".
LATEST = "select a.*, (select min(x.created) from artifacts x where x.key = a.key) as began from artifacts a"


async def insert(tx: Transaction, artifact: Artifact) -> None:
    """Store a new artifact."""
    tx.later(
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


async def read(tx: Transaction, artifact_id: UUID) -> Artifact | None:
    """Return an artifact."""
    row = await tx.fetchrow("select * from artifacts where id = $1", artifact_id)
    return None if row is None else artifact(row)


async def lock(tx: Transaction, artifact_id: UUID) -> Artifact | None:
    """Return an artifact that nobody else changes until this transaction ends."""
    row = await tx.fetchrow("select * from artifacts where id = $1 for no key update", artifact_id)
    return None if row is None else artifact(row)


async def latest(tx: Transaction, key: str) -> Artifact | None:
    """Return the newest artifact of a key."""
    row = await tx.fetchrow(
        "select * from artifacts where key = $1 order by created desc, id desc limit 1", key
    )
    return None if row is None else artifact(row)


async def update(tx: Transaction, artifact: Artifact) -> None:
    """Store what may change of an artifact."""
    await tx.execute(
        "update artifacts set updated = $2, description = $3, data = $4, metadata_ = $5 where id = $1",
        artifact.id,
        rows.micros(parse(artifact.updated)),
        artifact.description,
        rows.json_or_none(artifact.data),
        rows.json_or_none(artifact.metadata_),
    )


async def delete(tx: Transaction, artifact_id: UUID) -> bool:
    """Delete an artifact; False when there is none."""
    return bool(await tx.execute("delete from artifacts where id = $1", artifact_id))


def artifact(row: Row) -> Artifact:
    """Read an artifact."""
    return Artifact(
        id=rows.uuid(row["id"]),
        created=iso(rows.instant(row["created"])),
        updated=iso(rows.instant(row["updated"])),
        key=row["key"],
        type=row["type"],
        description=row["description"],
        data=rows.loaded(row["data"]),
        metadata_=rows.loaded(row["metadata_"]),
        flow_run_id=rows.uuid_or_none(row["flow_run_id"]),
        task_run_id=rows.uuid_or_none(row["task_run_id"]),
    )


def collection(row: Row) -> ArtifactCollection:
    """Read a row of ``LATEST``; a collection's id follows from its key, and so stays what it is."""
    newest = artifact(row)
    assert newest.key is not None
    return ArtifactCollection(
        id=uuid5(NAMESPACE_OID, newest.key),
        created=iso(rows.instant(row["began"])),
        updated=newest.updated,
        key=newest.key,
        latest_id=newest.id,
        type=newest.type,
        description=newest.description,
        data=newest.data,
        metadata_=newest.metadata_,
        flow_run_id=newest.flow_run_id,
        task_run_id=newest.task_run_id,
    )
