"""The lines that runs log, on their way to the server: by a file of the agent's, or directly."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from reeve import clock
from reeve.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ReeveError,
    UnauthorizedError,
)
from reeve.wire import codec, requests

_SHIP_SECONDS = 0.5  # how long a line waits for company
_RETRY_SECONDS = 1.0
_BATCH_LINES = 500
_BATCH_CHARACTERS = 1_000_000
_LINE_CHARACTERS = 100_000  # what is longer is cut, and says so
_RECORD_BYTES = 120_000  # the agent sends parts of 128 KiB: what is no larger arrives in one piece
QUOTA_BYTES = 100 * 1024 * 1024  # of a run's records, unless its agent says otherwise (protocol §7)
_BUFFER_CHARACTERS = 16_000_000  # what a run keeps while the server is away; the oldest lines go first

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM = "the agent's disk was full."
_SPOOL_FULL = "the agent's spool was full."
_FULL_MARK = ".full"  # beside the file, while there is no room in the spool as a whole
_HOPELESS = (ConflictError, ForbiddenError, InvalidInputError, NotFoundError, UnauthorizedError)


class RecordFile(logging.Handler):
    """Writes lines to a file that the agent sends on, each by one write(2) before the logging call returns.

    So neither an outage nor the death of the process costs a line (protocol §7). What finds no room on the
    disk or in the spool, or exceeds the quota, is counted and told.
    """

    def __init__(self, path: str = "", quota: int = QUOTA_BYTES) -> None:
        super().__init__()
        self.write_to(path, quota)

    def write_to(self, path: str, quota: int) -> None:
        """Begin with this file."""
        self._path = path
        self._file: int | None = None  # opened by the first line: most runs log none
        self._full = path + _FULL_MARK
        self._room = quota
        self._lost = 0
        self._why = _NO_ROOM

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. The handler's lock is held: lines of several threads come one after the other."""
        if self._room <= 0:
            return
        try:
            line = log_line(record, self.format(record))
        except Exception:  # noqa: BLE001  # arguments that do not fit their format are the user's
            self.handleError(record)
            return
        if self._lost and self._put(log_line(record, f"{self._lost} log lines were lost here: {self._why}")):
            self._lost = 0
        self._lost += not self._put(line)
        if self._room <= 0:
            self._put(log_line(record, "The log of this run was cut here: it has reached its quota."))

    def finish(self, _: float) -> None:
        """Say what was lost; the agent sends the rest, in its own time."""
        if self._lost:
            _write_out(f"{self._lost} log lines were lost: {self._why}", [])

    def _put(self, line: requests.LogCreate) -> bool:
        """Write a line; return whether there was room for it."""
        if os.access(self._full, os.F_OK):
            self._why = _SPOOL_FULL
            return False
        data = codec.encode(line)
        if len(data) > _RECORD_BYTES:  # a character takes six bytes at most
            line.message = _cut(line.message, _RECORD_BYTES // 8)
            data = codec.encode(line)
        self._room -= len(data)
        try:
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._file = os.open(self._path, flags, 0o600)
        except OSError as error:  # it was not made, so what is wrong with it is no fault of who logs
            self._why = f"the agent's file could not be opened ({error.strerror})."
            return False
        try:
            # In front too: what a full disk took of an earlier line is a line of its own.
            return os.write(self._file, b"\n%b\n" % data if self._lost else data + b"\n") > len(data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._why = _NO_ROOM
            return False


class LogShipper(logging.Handler):
    """Sends lines in batches from a thread of its own, so that logging neither waits nor fails.

    ``send`` delivers a batch or raises a ReeveError. Lines that could not be delivered wait in a bounded
    buffer; what is left of them at the end goes to standard error, which whoever launched the process keeps.
    """

    def __init__(self, send: Callable[[list[requests.LogCreate]], None]) -> None:
        super().__init__()
        self._send = send
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Start with nothing; a child of a fork has neither the thread nor a right to its parent's lines."""
        self._waiting: deque[requests.LogCreate] = deque()
        self._flying: list[requests.LogCreate] = []
        self._characters = 0
        self._dropped = 0
        self._closing = False
        self._hurried = False
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        try:
            line = log_line(record, _cut(self.format(record), _LINE_CHARACTERS))
        except Exception:  # noqa: BLE001  # arguments that do not fit their format are the user's
            self.handleError(record)
            return
        with self._news:
            self._waiting.append(line)
            self._characters += len(line.message)
            self._drop_oldest()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="reeve-logs", daemon=True)
                self._thread.start()
            self._news.notify_all()  # who waits in ``catch_up`` waits here as well

    def catch_up(self, seconds: float) -> None:
        """Wait until what there is has been sent, for at most ``seconds``."""
        with self._news:
            self._hurried = True
            self._news.notify_all()
            self._news.wait_for(lambda: not (self._waiting or self._flying), seconds)
            self._hurried = False

    def finish(self, seconds: float) -> None:
        """Send what there is, for at most ``seconds``; write the rest to standard error."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        if self._thread is None:
            return
        self._thread.join(seconds)
        with self._news:
            left = [*self._flying, *self._waiting]
            self._waiting.clear()
        if left or self._dropped:
            _write_out(f"{len(left) + self._dropped} log lines did not reach the server", left)

    def _drop_oldest(self) -> None:
        while self._characters > _BUFFER_CHARACTERS:
            self._characters -= len(self._waiting.popleft().message)
            self._dropped += 1

    def _run(self) -> None:
        while self._gather():
            self._deliver()

    def _gather(self) -> bool:
        """Wait for lines and take a batch of them; False when there are none and none will come."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closing)
            self._news.wait_for(self._has_enough, _SHIP_SECONDS)
            size = 0
            while self._waiting and len(self._flying) < _BATCH_LINES and size < _BATCH_CHARACTERS:
                self._flying.append(self._waiting.popleft())
                size += len(self._flying[-1].message)
            self._characters -= size
            return bool(self._flying)

    def _has_enough(self) -> bool:
        hurried = self._closing or self._hurried
        return hurried or self._characters >= _BATCH_CHARACTERS or len(self._waiting) >= _BATCH_LINES

    def _deliver(self) -> None:
        try:
            self._send(self._flying)
        except _HOPELESS as error:
            _write_out(f"the server refused {len(self._flying)} log lines: {error}", self._flying)
        except ReeveError:
            self._put_back()
            return
        with self._news:
            self._flying = []
            self._news.notify_all()

    def _put_back(self) -> None:
        with self._news:
            self._waiting.extendleft(reversed(self._flying))
            self._characters += sum(len(line.message) for line in self._flying)
            self._flying = []
            self._drop_oldest()
        time.sleep(_RETRY_SECONDS)


def log_line(record: logging.LogRecord, message: str) -> requests.LogCreate:
    """Return a line as it crosses the wire."""
    return requests.LogCreate(
        name=record.name,
        level=record.levelno,
        message=message,
        timestamp=clock.at(record.created),
        flow_run_id=getattr(record, "flow_run_id", None),
        task_run_id=getattr(record, "task_run_id", None),
    )


def _cut(message: str, characters: int) -> str:
    if len(message) <= characters:
        return message
    return f"{message[:characters]}… ({len(message) - characters} characters cut)"


def _write_out(why: str, lines: list[requests.LogCreate]) -> None:
    """Leave lines that cannot be sent to whoever keeps the process's standard error."""
    told = [f"reeve: {why}", *(f"{line.timestamp.isoformat()} {line.message}" for line in lines)]
    print(*told, sep="\n", file=sys.stderr)  # noqa: T201  # not to the log that fails
