"""Self attempts: a flow that its own process has called, and executes itself (protocol §1)."""

from __future__ import annotations

from datetime import timedelta
from random import randrange
from typing import TYPE_CHECKING
from uuid import UUID

from reeve.core.attempts import Attempt, AttemptKind, AttemptState
from reeve.core.crashes import Crash, CrashReason
from reeve.core.names import slug
from reeve.core.runs import FlowRun, FlowRunPolicy
from reeve.errors import ConflictError, ForbiddenError, NotFoundError
from reeve.ids import new_id
from reeve.server.services import flows
from reeve.server.services.attempts import crash
from reeve.server.services.context import Context, Principal
from reeve.server.services.runs import create_held
from reeve.server.services.tokens import token_of
from reeve.server.storage import attempts
from reeve.wire import project, requests, responses

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction


async def open_(ctx: Context, body: requests.OpenAttempt) -> responses.SelfAttempt:
    """Make a run, Pending, and the attempt of the process that executes it, with a lease.

    Raises InvalidInputError for the flow's name, ConflictError for the key of a run that has ended.
    """
    flow, _ = await flows.create(ctx, requests.FlowCreate(name=body.flow_name))

    async def open_attempt(tx: Transaction) -> responses.SelfAttempt:
        now = await tx.now()
        run = FlowRun(
            id=new_id(),
            created=now,
            updated=now,
            name=body.run_name or slug(randrange),
            flow_id=flow.id,
            flow_version=body.flow_version,
            parameters=body.parameters,
            idempotency_key=body.idempotency_key,
            empirical_policy=body.empirical_policy or FlowRunPolicy(),
            tags=body.tags,
        )
        attempt = Attempt(
            id=new_id(),
            flow_run_id=run.id,
            number=1,
            kind=AttemptKind.SELF,
            state=AttemptState.LAUNCHED,
            opened=now,
            launched=now,
            lease_until=now + timedelta(seconds=ctx.terms.lease),
            handle={"host": body.host, "pid": body.pid},
        )
        run, _ = await create_held(tx, run, attempt, now)
        if run.attempt_id is None:
            raise ConflictError(
                "The run with this idempotency key has ended. Give each call a key of its own."
            )
        return responses.SelfAttempt(
            id=run.attempt_id,
            token=token_of(ctx.secret, run.attempt_id),
            lease_seconds=ctx.terms.lease,
            run=project.flow_run(run, now),
        )

    return await ctx.store.write(open_attempt)


async def end(ctx: Context, principal: Principal, attempt_id: UUID, body: requests.EndAttempt) -> None:
    """Close a self attempt; its run is Crashed with the cause, or Cancelled if it was to be.

    One that is closed stays as it is. Raises NotFoundError, ForbiddenError for any attempt but the caller's.
    """
    if principal.attempt_id not in (None, attempt_id):
        raise ForbiddenError("This key speaks for another attempt.")

    async def close(tx: Transaction) -> None:
        attempt = await attempts.lock(tx, attempt_id)
        if attempt is None:
            raise NotFoundError("There is no such attempt: its run was deleted.")
        if attempt.kind is not AttemptKind.SELF:
            raise ForbiddenError("This attempt is an agent's, which reports its end.")
        if attempt.is_open:
            gone = Crash(cause=body.cause, reason=CrashReason.EXIT_CODE)
            await crash(tx, attempt, AttemptState.CRASHED, gone, await tx.now())

    await ctx.store.write(close)
