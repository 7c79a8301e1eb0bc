"""Artifacts: what runs leave for people to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from reeve.server.services.context import Context, Principal
from reeve.server.services.scope import check_writes
from reeve.server.storage import artifacts
from reeve.wire.codec import iso
from reeve.wire.responses import Artifact

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import ArtifactCreate


async def create(ctx: Context, principal: Principal, body: ArtifactCreate) -> Artifact:
    """Keep an artifact; raises ForbiddenError for one of another attempt's run."""

    async def insert(tx: Transaction) -> Artifact:
        await check_writes(tx, principal, [body.flow_run_id], [body.task_run_id])
        now = iso(await tx.now())
        artifact = Artifact(
            id=uuid4(),
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
