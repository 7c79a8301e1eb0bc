"""Waiting for several futures: for each as it ends, or for all."""

from __future__ import annotations

import queue
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from reeve.sdk.futures import NAP_SECONDS, TaskFuture

T = TypeVar("T")


class as_completed(Generic[T]):  # noqa: N801  # reads as a word in a loop, as in Python's own
    """The futures, each as soon as it has ended: ``for future in as_completed(futures)``.

    In async code: ``async for``. Each future comes once. Raises TimeoutError when not all have ended after
    ``timeout`` seconds.
    """

    def __init__(self, futures: Iterable[TaskFuture[T]], timeout: float | None = None) -> None:
        self._futures = list(dict.fromkeys(futures))
        self._timeout = timeout

    def __iter__(self) -> Iterator[TaskFuture[T]]:
        ended: queue.SimpleQueue[TaskFuture[T]] = queue.SimpleQueue()
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        for future in self._futures:
            future.when_done(ended.put)
        for left in range(len(self._futures), 0, -1):
            yield self._next(ended, deadline, left)

    async def __aiter__(self) -> AsyncIterator[TaskFuture[T]]:
        import asyncio

        loop, ended = asyncio.get_running_loop(), asyncio.Queue[TaskFuture[T]]()
        deadline = None if self._timeout is None else loop.time() + self._timeout

        def tell(future: TaskFuture[T]) -> None:
            if not loop.is_closed():  # nobody waits any more
                loop.call_soon_threadsafe(ended.put_nowait, future)

        for future in self._futures:
            future.when_done(tell)
        for left in range(len(self._futures), 0, -1):
            try:
                async with asyncio.timeout_at(deadline):
                    future = await ended.get()
            except TimeoutError:
                raise self._overdue(left) from None
            yield future

    def _next(
        self, ended: queue.SimpleQueue[TaskFuture[T]], deadline: float | None, left: int
    ) -> TaskFuture[T]:
        while True:
            with suppress(queue.Empty):
                return ended.get_nowait()
            for future in self._futures:
                future.before_waiting()
                if not ended.empty():
                    break
            nap = NAP_SECONDS if deadline is None else min(NAP_SECONDS, deadline - time.monotonic())
            if nap <= 0:
                raise self._overdue(left)
            with suppress(queue.Empty):
                return ended.get(timeout=nap)

    def _overdue(self, left: int) -> TimeoutError:
        return TimeoutError(
            f"{left} of {len(self._futures)} task runs have not ended within {self._timeout:g} s."
        )


class Waited(NamedTuple):
    """What ``wait`` found: the futures that have ended, and those that have not."""

    done: set[TaskFuture[Any]]
    not_done: set[TaskFuture[Any]]


def wait(futures: Iterable[TaskFuture[Any]], timeout: float | None = None) -> Waited:
    """Wait until all futures have ended, at most ``timeout`` seconds; say which have and which have not."""
    given = list(futures)
    with suppress(TimeoutError):
        for _ in as_completed(given, timeout):
            pass
    return Waited({one for one in given if one.done()}, {one for one in given if not one.done()})
