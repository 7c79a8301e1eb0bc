"""What server and agents say of themselves: readable lines on standard error, one set-up for both."""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
CLOCK = "%Y-%m-%d %H:%M:%S"


def set_up(level: str) -> None:
    """Send the records of this process to standard error from ``level`` ("INFO") on.

    Libraries speak from WARNING on, unless everything is asked for. A second call replaces the first.
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line tells of these
    logging._srcfile = None  # noqa: SLF001  # nor of the caller; so its manual says it
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(FORMAT, CLOCK))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level if level == "DEBUG" else max(logging.getLevelName(level), logging.WARNING))
    logging.getLogger("reeve").setLevel(level)


class _Formatter(logging.Formatter):
    """Writes the clock down once for all lines of a second."""

    _second, _clock = -1, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's
        if (second := int(record.created)) != self._second:
            self._second, self._clock = second, super().formatTime(record, datefmt)
        return self._clock
