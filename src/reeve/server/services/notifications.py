"""Notifications: queued in the transaction that enters a state, sent after its commit, until they arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from reeve.core.notifications import next_try, rendered
from reeve.errors import ReeveError
from reeve.server.services import blocks, notify
from reeve.server.services.context import Context
from reeve.server.services.hub import NOTIFICATIONS_TOPIC
from reeve.server.storage import notifications

if TYPE_CHECKING:
    from reeve.core.runs import FlowRun
    from reeve.server.storage.notifications import Notification
    from reeve.server.storage.store import Transaction

BATCH = 20  # sent at a time
LEASE = timedelta(seconds=60)  # longer than a receiver is waited for: afterwards another server may try

log = logging.getLogger(__name__)


async def queue(tx: Transaction, entered: Sequence[FlowRun], now: datetime) -> None:
    """Queue what the policies in force want to be told about runs that entered their states."""
    policies = await notifications.active(tx)
    queued = [
        (policy.id, run.state.id)
        for run in entered
        for policy in policies
        if run.state is not None and policy.wants(run.state.name, run.tags)
    ]
    if queued:
        await notifications.insert(tx, queued, now)
        tx.wake(NOTIFICATIONS_TOPIC)


async def send_due(ctx: Context, *, page: str, private: bool) -> int:
    """Send the first notifications that are due and return how many these were.

    ``page`` is where people find the server, ``private`` allows receivers in this network. One that fails
    is tried again later, and given up in the end. One may arrive twice, if this server ends in between.
    """

    async def claim(tx: Transaction) -> list[Notification]:
        return await notifications.claim(tx, await tx.now(), BATCH, LEASE)

    claimed = await ctx.store.write(claim)
    await asyncio.gather(*(_settle(ctx, each, page, private=private) for each in claimed))
    return len(claimed)


async def _settle(ctx: Context, due: Notification, page: str, *, private: bool) -> None:
    try:
        await _send(ctx, due, page, private=private)
    except Exception as error:  # noqa: BLE001  # whatever a receiver or its block does, the others get theirs
        # Of an error that is not ours only the kind: its words may show the block's secrets.
        reason = error if isinstance(error, ReeveError) else type(error).__name__
        wait = next_try(due.tries)
        ending = "given up" if wait is None else f"tried again in {wait.total_seconds():g} s"
        told = "notification of run %s by policy %s was not sent, try %s, %s: %s"
        log.warning(told, due.flow_run_id, due.policy_id, due.tries, ending, reason)
        if wait is not None:
            await ctx.store.write(partial(_postpone, cursor=due.cursor, wait=wait))
            return
    await ctx.store.write(lambda tx: notifications.drop(tx, due.cursor))


async def _postpone(tx: Transaction, cursor: int, wait: timedelta) -> None:
    await notifications.postpone(tx, cursor, await tx.now() + wait)


async def _send(ctx: Context, due: Notification, page: str, *, private: bool) -> None:
    document = await blocks.document(ctx, due.block_document_id, secrets=True)
    assert document.block_type is not None
    values = {**due.values, "flow_run_url": f"{page}/flow-runs/flow-run/{due.flow_run_id}"}
    subject = f"{values['flow_name']}/{values['flow_run_name']}: {values['flow_run_state_name']}"
    message = notify.Message(" ".join(subject.split()), rendered(due.template, values))
    await notify.send(document.block_type.slug, document.data, message, private=private)
