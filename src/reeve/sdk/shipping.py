"""The lines that runs log, on their way to the server."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from reeve.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ReeveError,
    UnauthorizedError,
)
from reeve.wire import requests

_SHIP_SECONDS = 0.5  # how long a line waits for company
_RETRY_SECONDS = 1.0
_BATCH_LINES = 500
_BATCH_CHARACTERS = 1_000_000
_LINE_CHARACTERS = 100_000  # what is longer is cut, and says so
_BUFFER_CHARACTERS = 16_000_000  # what a run keeps while the server is away; the oldest lines go first

_HOPELESS = (ConflictError, ForbiddenError, InvalidInputError, NotFoundError, UnauthorizedError)


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
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        try:
            line = self._line(record)
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
            self._news.notify()

    def finish(self, seconds: float) -> None:
        """Send what there is, for at most ``seconds``; write the rest to standard error."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread is None:
            return
        self._thread.join(seconds)
        with self._news:
            left = [*self._flying, *self._waiting]
            self._waiting.clear()
        if left or self._dropped:
            _write_out(f"{len(left) + self._dropped} log lines did not reach the server", left)

    def _line(self, record: logging.LogRecord) -> requests.LogCreate:
        message = self.format(record)
        if len(message) > _LINE_CHARACTERS:
            message = f"{message[:_LINE_CHARACTERS]}… ({len(message) - _LINE_CHARACTERS} characters cut)"
        return requests.LogCreate(
            name=record.name,
            level=record.levelno,
            message=message,
            timestamp=datetime.fromtimestamp(record.created, UTC),
            flow_run_id=getattr(record, "flow_run_id", None),
            task_run_id=getattr(record, "task_run_id", None),
        )

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
        return self._closing or self._characters >= _BATCH_CHARACTERS or len(self._waiting) >= _BATCH_LINES

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

    def _put_back(self) -> None:
        with self._news:
            self._waiting.extendleft(reversed(self._flying))
            self._characters += sum(len(line.message) for line in self._flying)
            self._flying = []
            self._drop_oldest()
        time.sleep(_RETRY_SECONDS)


def _write_out(why: str, lines: list[requests.LogCreate]) -> None:
    """Leave lines that cannot be sent to whoever keeps the process's standard error."""
    told = [f"reeve: {why}", *(f"{line.timestamp.isoformat()} {line.message}" for line in lines)]
    print(*told, sep="\n", file=sys.stderr)  # noqa: T201  # not to the log that fails
