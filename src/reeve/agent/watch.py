"""Watch: learn how attempts end, bring about the end that is asked for, say in words what happened."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from reeve.drivers.base import Driver, ExitRecord, Handle, cause, crash_message, crash_reason
from reeve.wire.requests import Exited

TAIL_LINES = 20
_TAIL_BYTES = 8192  # of a line without end there is no more to see
_AFTER_GRACE_SECONDS = 5.0  # for SIGKILL to work, before the server is told that it does not

log = logging.getLogger("reeve.agent")


class Exits:
    """The ends of attempts, as the driver tells them."""

    def __init__(self, driver: Driver, stray: Callable[[ExitRecord], None]) -> None:
        self._driver = driver
        self._stray = stray  # takes those that nobody waits for
        self._waiting: dict[UUID, asyncio.Future[ExitRecord]] = {}

    def expect(self, attempt_id: UUID) -> asyncio.Future[ExitRecord]:
        """Return a future of an attempt's end; to be asked for before it can come."""
        return self._waiting.setdefault(attempt_id, asyncio.get_running_loop().create_future())

    def forget(self, attempt_id: UUID) -> None:
        """Wait no more for an attempt."""
        self._waiting.pop(attempt_id, None)

    async def run(self) -> None:
        """Hand out exits until the driver is closed."""
        async for record in self._driver.exits():
            exit_ = self._waiting.get(record.attempt)
            if exit_ is None:
                self._stray(record)
            elif not exit_.done():
                exit_.set_result(record)


async def end(
    driver: Driver, handle: Handle, grace_seconds: float, failed: Callable[[str], Awaitable[None]]
) -> None:
    """Have an attempt ended; to be cancelled when its exit is seen, for until then it goes on trying.

    ``failed`` is told each new reason why the end is not reached (protocol §8).
    """
    told: str | None = None
    while True:
        try:
            await driver.stop(handle, grace_seconds)
            await asyncio.sleep(grace_seconds + _AFTER_GRACE_SECONDS)
            (seen,) = await driver.observe([handle])
            if seen.detail and seen.detail != told:
                told = seen.detail
                await failed(told)
        except Exception:
            log.exception("Attempt %s could not be told to end; trying again", handle.attempt)
            await asyncio.sleep(_AFTER_GRACE_SECONDS)
        grace_seconds = 0.0


def exited(record: ExitRecord, handle: Handle, reason: str | None) -> Exited:
    """Return the report of an end, not numbered yet; ``reason`` says why the agent asked for it."""
    return Exited(
        seq=0,
        exit_code=record.code,
        signal=record.signal,
        cause=in_words(record, reason),
        stopped=record.stopped_by in {"agent", "server"},
        cpu_seconds=record.cpu_seconds,
        max_rss_kib=record.max_rss_kib,
        output_tail=tail(handle.output_dir) if handle.output_dir else None,
        reason=crash_reason(record),
        overran=record.stopped_by == "time",
        output_lost_bytes=record.output_lost_bytes,
    )


def in_words(record: ExitRecord, reason: str | None = None) -> str:
    """Say how an attempt ended: 2.20's sentence where it has one (A105), and what it does not say."""
    words = cause(record)
    if reason and record.stopped_by == "agent":
        words = f"{words} ({reason})"
    status = record.status_code
    if not status:
        return words
    plain = record.signal is None and not record.stopped_by
    return crash_message(status) if plain else f"{crash_message(status)} Cause: {words}."


def tail(output_dir: Path) -> str | None:
    """Return the last lines a run wrote: of its errors, or of its output when it wrote no errors."""
    for stream in ("stderr", "stdout"):
        if lines := _last_lines(f"{output_dir}/{stream}"):
            return "\n".join(lines)
    return None


def _last_lines(path: str) -> deque[str]:
    try:
        if not (size := os.stat(path).st_size):  # noqa: PTH116  # a Path costs more than the question
            return deque()
        with open(path, "rb") as file:  # noqa: PTH123  # see above
            file.seek(max(size - _TAIL_BYTES, 0))
            data = file.read()
    except OSError:
        return deque()
    return deque(data.decode(errors="replace").rstrip().splitlines(), maxlen=TAIL_LINES)
