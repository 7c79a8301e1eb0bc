"""The loggers of runs."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from functools import cache
from typing import Any
from uuid import UUID

from reeve.sdk.context import NoActiveRunError, current_scope

FLOW_LOGGER = "reeve.flow_runs"
TASK_LOGGER = "reeve.task_runs"
_ROOT = "reeve"


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines carry the ids of their run."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to what the caller gave as ``extra``."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def run_logger(name: str, run: str, flow_run_id: UUID | None, task_run_id: UUID | None) -> RunLogger:
    """Make the logger of one run."""
    extra = {"run": run, "flow_run_id": flow_run_id, "task_run_id": task_run_id}
    return RunLogger(_logger(name), extra)


@cache
def _logger(name: str) -> logging.Logger:
    return logging.getLogger(name)


def get_run_logger() -> logging.LoggerAdapter[logging.Logger]:
    """Return the logger of the innermost run; NoActiveRunError outside of any run.

    With a server its lines become the run's log. Without one they go where Python's logging sends them:
    to standard error, unless the program has set up handlers of its own.
    """
    scope = current_scope()
    if scope is None:
        raise NoActiveRunError
    return scope.run.log


def log_to_console() -> None:
    """Show the lines of runs on standard error, if the program has not set up logging itself."""
    logger = logging.getLogger(_ROOT)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(run)s: %(message)s", defaults={"run": _ROOT})
    )
    logger.addHandler(handler)
