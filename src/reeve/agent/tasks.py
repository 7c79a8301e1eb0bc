"""How the agent's tasks live together: the first that ends decides, and no error of one ends the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from reeve.agent.link import SupersededError

_AGAIN_SECONDS = 5.0  # before what failed for an unknown reason is tried again

log = logging.getLogger("reeve.agent")


async def first(*works: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of several to end, and cancel the others; raises what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel(tasks)


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended; what they raise is dropped."""
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def persist(work: Callable[[], Awaitable[None]]) -> None:
    """Do work until it succeeds: an error is logged, and the work begun again (W1)."""
    while True:
        try:
            await work()
        except SupersededError:
            raise
        except Exception:
            log.exception("Something went wrong; going on")
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return
