"""The spool as a whole: what it takes of the disk, what is freed of it, what runs may write (protocol §7).

What the server has is freed once the spool takes a good part of its limit, the oldest attempt first: as holes
in the files, so that an offset stays what it is. What the server has not is kept. When there is nothing to
free, the driver lets runs write no more than the room that is left.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from reeve.agent.journal import STREAMS
from reeve.drivers.base import Capability, Driver

FREE_ABOVE = 0.5  # of the limit: while what the server has is freed, there must be room to write
KEPT_BYTES = 64 * 1024  # of each file, at its end: of it the last lines are reported
EVERY_SECONDS = 1.0
_BLOCK = 4096  # bytes: what is freed begins and ends where a block of most file systems does
_SECTOR = 512  # bytes: in these st_blocks is counted

log = logging.getLogger("reeve.agent")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of output, in bytes. ``quota``: see Launch; ``spool``: what that of all runs may take of the disk."""

    quota: int
    spool: int


class _Files:
    """The output of one attempt. ``sent``: how much of each stream nobody will read again to send it."""

    def __init__(self, directory: Path, sent: Mapping[str, int]) -> None:
        self._paths = {stream: f"{directory}/{stream}" for stream in STREAMS}  # a Path costs 20 times that
        self._freed = dict.fromkeys(STREAMS, 0)
        self.sent: Mapping[str, int] | None = sent  # None: all of it
        self.has_ended = False

    def size(self) -> int:
        """Return the bytes that it takes of the disk."""
        return sum(self._blocks(stream)[1] for stream in STREAMS)

    def free(self, stream: str) -> int:
        """Free what can be of a stream; return how many bytes of the disk that were. Raises OSError."""
        length, before = self._blocks(stream)
        sent = length if self.sent is None else self.sent[stream]
        end = min(sent, length - KEPT_BYTES) // _BLOCK * _BLOCK
        begin = self._freed[stream]
        if end <= begin:
            return 0
        try:
            file = os.open(self._paths[stream], os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # discarded just now
            return 0
        try:
            _punch(file, begin, end - begin)
        finally:
            os.close(file)
        self._freed[stream] = end
        return before - self._blocks(stream)[1]

    def _blocks(self, stream: str) -> tuple[int, int]:
        """Return how long a file is, and how many bytes of the disk it takes."""
        try:
            seen = os.stat(self._paths[stream])  # noqa: PTH116  # see above
        except OSError:  # not made yet, or discarded
            return 0, 0
        return seen.st_size, seen.st_blocks * _SECTOR


class Spool:
    """What attempts have written, in the order in which they were held.

    ``limit``: bytes of disk. ``size``: how many were taken when it was looked at last.
    """

    def __init__(self, driver: Driver, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._driver = driver
        self._files: dict[UUID, _Files] = {}
        self._news = asyncio.Event()
        self._can_free = True
        self._dropped: int | None = None  # for want of room, as the driver said last
        self._is_full = False

    def hold(self, attempt_id: UUID, directory: Path | None, sent: Mapping[str, int] | None = None) -> None:
        """Mind what an attempt writes. ``sent``: see the method of that name; None: nothing yet."""
        known = self._files.get(attempt_id)
        if directory is not None and (known is None or known.has_ended):
            self._files[attempt_id] = _Files(directory, sent or dict.fromkeys(STREAMS, 0))
            self._news.set()

    def sent(self, attempt_id: UUID, sent: Mapping[str, int]) -> None:
        """Take note of what the server has and the journal knows: none of it will be read again."""
        if files := self._files.get(attempt_id):
            files.sent = sent

    def settle(self, attempt_id: UUID) -> None:
        """Take note that an attempt writes no more, and that all that can be sent of it was."""
        if files := self._files.get(attempt_id):
            files.sent, files.has_ended = None, True
            self._news.set()

    def forget(self, attempt_id: UUID) -> None:
        """Take note that the files of an attempt are gone."""
        self._files.pop(attempt_id, None)
        self._news.set()

    async def run(self) -> None:
        """Keep the spool within its limit; where nothing is written, there is nothing to look at.

        No look follows news at once: a run that begins has better things to do with the machine.
        """
        while True:
            self._news.clear()
            await self._look()
            if not self._is_full and all(files.has_ended for files in self._files.values()):
                await self._news.wait()
            await asyncio.sleep(EVERY_SECONDS)

    async def _look(self) -> None:
        excess = self._measure() - int(self.limit * FREE_ABOVE)
        if excess > 0 and self._can_free:
            await asyncio.to_thread(self._free, list(self._files.values()), excess)
        if Capability.BOUNDS_OUTPUT in self._driver.capabilities:
            self._tell(await self._driver.bound_output(self._room))

    def _measure(self) -> int:
        self.size = sum(files.size() for files in self._files.values())
        return self.size

    def _room(self) -> int:
        return max(0, self.limit - self._measure())

    def _free(self, held: list[_Files], excess: int) -> None:
        for files in held:
            for stream in STREAMS:
                if excess <= 0:
                    return
                try:
                    excess -= files.free(stream)
                except OSError as error:
                    self._can_free = False
                    log.warning(
                        "Output that the server has is not freed before its run is over: %s", error.strerror
                    )
                    return

    def _tell(self, dropped: int) -> None:
        """Say that runs are not heard any more, and when they are again."""
        grown = self._dropped is not None and dropped > self._dropped
        self._dropped = dropped
        if grown and not self._is_full:
            self._is_full = True
            log.warning(
                "The spool is full of what the server does not have yet: %d bytes. Runs go on; what they "
                "print now is dropped and counted. REEVE_SPOOL_LIMIT says how much there may be",
                self._measure(),
            )
        elif self._is_full and not grown and self._measure() <= self.limit * FREE_ABOVE:
            self._is_full = False
            log.info("The spool has room again")


def _punch(file: int, offset: int, size: int) -> None:
    """Give a part of a file back to the disk; what follows keeps its place. Raises OSError."""
    import ctypes  # a megabyte, which an agent without such need is spared

    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = getattr(libc, "fallocate64", None) or libc.fallocate  # musl has the one, of 64 bits
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if fallocate(file, _PUNCH_HOLE | _KEEP_SIZE, offset, size) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # of linux/falloc.h
