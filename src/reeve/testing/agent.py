"""An agent in this process: the real one, which launches each run as a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from reeve.agent import Agent
from reeve.settings import Settings


@contextmanager
def serving(pool: str, settings: Settings, limit: int | None) -> Iterator[None]:
    """Have an agent serve a pool from a thread; its runs may finish when the block ends."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    failed: list[BaseException] = []

    async def live() -> None:
        over = asyncio.Event()
        async with Agent(work_pool_name=pool, limit=limit, name="house", settings=settings):
            ready.set_result((asyncio.get_running_loop(), over))
            await over.wait()

    def work() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # noqa: BLE001  # raised where the agent was asked for
            failed.append(error)
            if not ready.done():
                ready.set_exception(error)

    thread = threading.Thread(target=work, name="reeve-agent", daemon=True)
    thread.start()
    loop, over = ready.result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
    if failed:
        raise failed[0]
