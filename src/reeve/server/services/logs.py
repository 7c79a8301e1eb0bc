"""Log lines that loggers of runs send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reeve.core.logs import LogLine
from reeve.ids import new_id
from reeve.server.services.context import Context, Principal
from reeve.server.services.hub import run_topic
from reeve.server.services.scope import check_writes
from reeve.server.storage import attempts, logs

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import LogCreate


async def create(ctx: Context, principal: Principal, body: Sequence[LogCreate]) -> None:
    """Store lines, and wake who follows their runs; raises ForbiddenError for those of another attempt."""

    async def insert(tx: Transaction) -> None:
        await check_writes(
            tx, principal, (line.flow_run_id for line in body), (line.task_run_id for line in body)
        )
        now = await tx.now()
        lines = [
            LogLine(
                id=new_id(),
                created=now,
                name=line.name,
                level=line.level,
                message=line.message,
                timestamp=line.timestamp,
                flow_run_id=line.flow_run_id,
                task_run_id=line.task_run_id,
            )
            for line in body
        ]
        await logs.insert(tx, lines, principal.attempt_id)
        said_of = {line.flow_run_id for line in lines if line.flow_run_id}
        if principal.attempt_id is not None and (own := await attempts.read(tx, principal.attempt_id)):
            said_of.add(own.flow_run_id)  # whoever follows it follows its subflows too
        for run_id in said_of:
            tx.wake(run_topic(run_id))

    await ctx.store.write(insert)
