"""Requests in batches: what gathers while one is on its way goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MOST = 100  # items of one request: the server answers it in one piece
_LONGEST_PAUSE = 0.05  # seconds: a server that takes long needs fewer requests, and a run needs an answer


class Batches(Generic[Item, Answer]):
    """``send`` takes items and returns an answer to each, in their order; what it raises all of them hear.

    ``gather``: for how many seconds a request waits for others to go with it. ``pause``: how long one waits
    that has gathered while the last was on its way, in times of what the last one took; the first goes at
    once, so that nothing waits which comes one after the other.

    What is not urgent is put with ``patience``: it goes with what is, or alone after so many seconds.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        gather: float = 0.0,
        pause: float = 0.0,
    ) -> None:
        self._send = send
        self._gather = gather
        self._pause = pause
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._is_urgent = False  # something waits that is, or was put too long ago
        self._at_last: asyncio.TimerHandle | None = None  # when what waits becomes urgent
        self._sender: asyncio.Task[None] | None = None

    def put(self, item: Item, *, patience: float = 0.0) -> asyncio.Future[Answer]:
        """Send an item with the next request; the future is of the answer to it.

        One whose sender gives up waiting is sent all the same.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        if not patience:
            self._hurry()
        elif self._at_last is None:
            self._at_last = loop.call_later(patience, self._hurry)
        return answer

    async def close(self) -> None:
        """Send no more; nobody waits for an answer any longer."""
        self._forget_timer()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def _hurry(self) -> None:
        self._is_urgent = True
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_waiting())

    def _forget_timer(self) -> None:
        if self._at_last is not None:
            self._at_last.cancel()
            self._at_last = None

    async def _send_waiting(self) -> None:
        time, pause = asyncio.get_running_loop().time, self._gather
        try:
            while self._is_urgent:
                if pause and len(self._waiting) < _MOST:
                    await asyncio.sleep(pause)
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                self._is_urgent = bool(self._waiting)
                self._forget_timer()
                sent_at = time()
                await self._answer(batch)
                pause = self._gather + min((time() - sent_at) * self._pause, _LONGEST_PAUSE)
        finally:
            self._sender = None

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, all who wait must hear of it
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():  # else whoever asked was cancelled
                waiting.set_result(answer)
