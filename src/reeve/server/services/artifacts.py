"""Artifacts: what runs leave for people to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from reeve.core.names import check_key
from reeve.errors import NotFoundError
from reeve.ids import new_id
from reeve.server.services.context import Context, Principal
from reeve.server.services.scope import check_writes
from reeve.server.storage import artifacts
from reeve.wire.codec import iso
from reeve.wire.responses import Artifact

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import ArtifactCreate, ArtifactUpdate

MISSING = "Artifact not found."


async def create(ctx: Context, principal: Principal, body: ArtifactCreate) -> Artifact:
    """Keep an artifact; raises InvalidInputError for its key, ForbiddenError for another attempt's run."""
    if body.key is not None:
        check_key("Artifact key", body.key, "key")

    async def insert(tx: Transaction) -> Artifact:
        await check_writes(tx, principal, [body.flow_run_id], [body.task_run_id])
        now = iso(await tx.now())
        artifact = Artifact(
            id=new_id(),
            created=now,
            updated=now,
            key=body.key,
            type=body.type,
            description=body.description,
            data=body.data,
            metadata_=body.metadata_,
            flow_run_id=body.flow_run_id,
            task_run_id=body.task_run_id,
        )
        await artifacts.insert(tx, artifact)
        return artifact

    return await ctx.store.write(insert)


async def read(ctx: Context, artifact_id: UUID) -> Artifact:
    """Return an artifact; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: artifacts.read(tx, artifact_id)))


async def latest(ctx: Context, key: str) -> Artifact:
    """Return the newest artifact of a key; raises NotFoundError."""
    return _found(await ctx.store.read(lambda tx: artifacts.latest(tx, key)))


async def update(ctx: Context, principal: Principal, artifact_id: UUID, body: ArtifactUpdate) -> None:
    """Change what was sent; raises NotFoundError, and ForbiddenError for one of another attempt's run."""

    async def change(tx: Transaction) -> None:
        artifact = _found(await artifacts.lock(tx, artifact_id))
        await check_writes(tx, principal, [artifact.flow_run_id], [artifact.task_run_id])
        changed = replace(
            artifact,
            updated=iso(await tx.now()),
            data=artifact.data if body.data is UNSET else body.data,
            description=artifact.description if body.description is UNSET else body.description,
            metadata_=artifact.metadata_ if body.metadata_ is UNSET else body.metadata_,
        )
        await artifacts.update(tx, changed)

    await ctx.store.write(change)


async def delete(ctx: Context, artifact_id: UUID) -> None:
    """Delete an artifact; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: artifacts.delete(tx, artifact_id)):
        raise NotFoundError(MISSING)


def _found(artifact: Artifact | None) -> Artifact:
    if artifact is None:
        raise NotFoundError(MISSING)
    return artifact
