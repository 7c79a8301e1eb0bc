"""Output: send what a run writes to its standard streams, line by line, from where the server has it."""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from reeve import clock
from reeve.agent.journal import Entry, Journal, JournalError
from reeve.agent.link import Link, SupersededError
from reeve.errors import NotFoundError, ReeveError
from reeve.wire.requests import OutputChunk

PART_BYTES = 128 * 1024  # of each stream; both together are one request
EVERY_SECONDS = 0.5

log = logging.getLogger("reeve.agent")


class Shipper:
    """Sends the output of one attempt from the driver's files; ``directory`` None: the driver keeps none.

    ``echo``: write it to this process's own streams as well (A115).
    ``resumed``: an earlier process may have sent more than it could note. What it sent were whole lines, so
    the first part is sent line by line, and the server passes over those it has (protocol §7).
    ``noted`` is told how much of each stream the server has, once the journal knows it as well.
    """

    def __init__(
        self,
        link: Link,
        journal: Journal,
        entry: Entry,
        directory: Path | None,
        noted: Callable[[Mapping[str, int]], None],
        *,
        resumed: bool,
        echo: bool,
    ) -> None:
        self._link = link
        self._journal = journal
        self._entry = entry
        self._directory = directory
        self._noted = noted
        self._by_line = resumed
        self._echo = echo
        self._next_look: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send what is written, every now and then: a short run has no task of its own for it."""
        if self._directory is None:
            return
        self._next_look = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._begin_look)

    async def finish(self) -> None:
        """Send what is left: nothing more will be written. Raises OSError when it cannot be read."""
        if self._look is not None:
            await self._look
        self.close()
        while await self._send_part(final=True):
            pass

    def close(self) -> None:
        """Send no more. Twice is fine."""
        if self._next_look is not None:
            self._next_look.cancel()
        if self._look is not None:
            self._look.cancel()

    def _begin_look(self) -> None:
        self._look = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while await self._send_part(final=False):
            pass
        self.begin()

    async def _send_part(self, *, final: bool) -> bool:
        """Send the next part of both streams; return whether there was any."""
        if self._directory is None:
            return False
        chunks: list[OutputChunk] = []
        shipped = dict(self._entry.shipped)
        for stream, offset in self._entry.shipped.items():
            data = _read(f"{self._directory}/{stream}", offset)
            size = lines_size(data, final=final)
            chunks += cut(stream, offset, data[:size], clock.now(), by_line=self._by_line)
            shipped[stream] += size
        if not chunks:
            return False
        if self._echo:
            _write(chunks)
        try:
            await self._link.output(self._entry.attempt_id, chunks)
        except NotFoundError:  # the run was deleted
            self._directory = None
            return False
        except SupersededError:
            raise
        except ReeveError as error:  # what is refused once is refused again
            log.error("Output of attempt %s is lost: %s", self._entry.attempt_id, error)  # noqa: TRY400  # see above
        self._by_line = False
        self._entry.shipped = shipped
        try:
            await self._journal.shipped(self._entry)
        except JournalError as error:
            log.error("Output may be sent twice: %s", error)  # noqa: TRY400  # its sentence says it all
        else:
            self._noted(shipped)
        return True


def cut(stream: str, offset: int, data: bytes, now: datetime, *, by_line: bool) -> list[OutputChunk]:
    """Return the chunks of a piece of a stream: one, or one for each of its lines."""
    chunks = []
    for piece in data.splitlines(keepends=True) if by_line else [data][: len(data)]:
        text = piece.decode(errors=_MARKED)
        chunks.append(OutputChunk(stream=stream, offset=offset, text=text, timestamp=now))
        offset += len(piece)
    return chunks


def lines_size(data: bytes, *, final: bool) -> int:
    """Return how many bytes of ``data`` to send: whole lines, or all of a line that is too long or the last.

    A character of several bytes is never cut, unless it is one that never ends.
    """
    if final and len(data) < PART_BYTES:
        return len(data)
    if (end := data.rfind(b"\n") + 1) or len(data) < PART_BYTES:
        return end
    return len(data) - _unfinished(data)


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end begin a UTF-8 character without ending it."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # a first byte: it says how many follow
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < needed else 0
        if byte < 0x80:
            return 0
    return 0


def _read(path: str, offset: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object asks the kernel thrice as much
    except FileNotFoundError:  # not made yet
        return b""
    try:
        return os.pread(file, PART_BYTES, offset)
    finally:
        os.close(file)


def _write(chunks: list[OutputChunk]) -> None:
    """Write output to this process's own streams; one that is closed holds up nothing."""
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}
    for chunk in chunks:
        if (stream := streams.get(chunk.stream)) is None:
            continue
        with suppress(OSError, ValueError):
            stream.write(chunk.text)
            stream.flush()


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Stand in for bytes that are no UTF-8: as many as they were, so that text and bytes are equally long."""
    assert isinstance(error, UnicodeDecodeError)
    return "?" * (error.end - error.start), error.end


_MARKED = "reeve.marked"
codecs.register_error(_MARKED, _mark)
