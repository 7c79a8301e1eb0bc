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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, CLOCK))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level if level == "DEBUG" else max(logging.getLevelName(level), logging.WARNING))
    logging.getLogger("reeve").setLevel(level)
