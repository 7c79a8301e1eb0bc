"""Notification policies: whom to tell of which states of which runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from reeve.core.notifications import check_template
from reeve.errors import NotFoundError
from reeve.ids import new_id
from reeve.server.services.context import Context
from reeve.server.storage import notifications
from reeve.wire.codec import iso
from reeve.wire.responses import NotificationPolicy

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import NotificationPolicyCreate, NotificationPolicyUpdate

MISSING = "flow run notification policy not found"
# 2.20 names its own function here (as in PATCH /work_queues/{id}, api-contract §2).
NOT_UPDATED = "Flow run notification policy <built-in function id> not found"


async def create(ctx: Context, body: NotificationPolicyCreate) -> NotificationPolicy:
    """Make a policy; raises InvalidInputError for its template, IntegrityError for an unknown block."""
    if body.message_template is not None:
        check_template(body.message_template)

    async def insert(tx: Transaction) -> NotificationPolicy:
        now = iso(await tx.now())
        policy = NotificationPolicy(
            id=new_id(),
            created=now,
            updated=now,
            is_active=body.is_active,
            state_names=body.state_names,
            tags=body.tags,
            block_document_id=body.block_document_id,
            message_template=body.message_template,
        )
        await notifications.insert_policy(tx, policy)
        return policy

    return await ctx.store.write(insert)


async def read(ctx: Context, policy_id: UUID) -> NotificationPolicy:
    """Return a policy; raises NotFoundError."""
    policy = await ctx.store.read(lambda tx: notifications.read_policy(tx, policy_id))
    if policy is None:
        raise NotFoundError(MISSING)
    return policy


async def update(ctx: Context, policy_id: UUID, body: NotificationPolicyUpdate) -> None:
    """Change what was sent; null takes away the template, and leaves the rest.

    Raises NotFoundError, InvalidInputError for the template, IntegrityError for an unknown block.
    """
    if isinstance(body.message_template, str):
        check_template(body.message_template)

    async def change(tx: Transaction) -> None:
        policy = await notifications.lock_policy(tx, policy_id)
        if policy is None:
            raise NotFoundError(NOT_UPDATED)
        template = body.message_template
        changed = replace(
            policy,
            updated=iso(await tx.now()),
            is_active=_sent(body.is_active, policy.is_active),
            state_names=_sent(body.state_names, policy.state_names),
            tags=_sent(body.tags, policy.tags),
            block_document_id=_sent(body.block_document_id, policy.block_document_id),
            message_template=policy.message_template if template is UNSET else template,
        )
        await notifications.update_policy(tx, changed)

    await ctx.store.write(change)


async def delete(ctx: Context, policy_id: UUID) -> None:
    """Delete a policy; raises NotFoundError."""
    if not await ctx.store.write(lambda tx: notifications.delete_policy(tx, policy_id)):
        raise NotFoundError(MISSING)


def _sent(value: Any, current: Any) -> Any:
    return current if value is UNSET or value is None else value
