"""Follow a run: its new states and log lines, as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from reeve.errors import NotFoundError
from reeve.server.services.context import Context
from reeve.server.services.hub import run_topic, woken
from reeve.server.storage import logs, runs
from reeve.wire import project, responses

if TYPE_CHECKING:
    from reeve.server.storage.store import Transaction
    from reeve.wire.requests import Follow

PAGE = 500
HOLD_SECONDS = 25.0  # a held answer never outlasts a client's or a proxy's time-out
# Without a wake-up (its server died between commit and notice) news is found after this.
LOOK_AGAIN_SECONDS = 5.0


async def follow(ctx: Context, run_id: UUID, body: Follow) -> responses.Followed:
    """Return what is new behind the cursors, waiting for it if need be. Raises NotFoundError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(body.hold_seconds, HOLD_SECONDS)
    with ctx.hub.waiting(run_topic(run_id)) as event:
        while True:
            event.clear()
            found = await ctx.store.read(lambda tx: _news(tx, run_id, body))
            left = deadline - loop.time()
            if found.states or found.logs or found.final or left <= 0 or ctx.stopping.is_set():
                return found
            await woken(event, min(left, LOOK_AGAIN_SECONDS))


async def _news(tx: Transaction, run_id: UUID, body: Follow) -> responses.Followed:
    run = await runs.read(tx, run_id)
    if run is None:
        raise NotFoundError("Flow run not found")
    states = await runs.states_after(tx, run_id, body.state_cursor, PAGE)
    lines_after = logs.after_with_subflows if body.with_subflows else logs.after
    lines = await lines_after(tx, run_id, body.log_cursor, PAGE)
    ended = run.state is not None and run.state.is_final and run.attempt_id is None
    return responses.Followed(
        run=project.flow_run(run, await tx.now()),
        states=[project.state(state) for _, state in states],
        logs=[project.log(line) for _, line in lines],
        state_cursor=max((cursor for cursor, _ in states), default=body.state_cursor),
        log_cursor=max((cursor for cursor, _ in lines), default=body.log_cursor),
        final=ended and len(lines) < PAGE,
    )
