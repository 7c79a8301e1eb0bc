"""The logger of the run that is being executed, and where its lines go without a server."""

from __future__ import annotations

import logging

from reeve.sdk.context import NoActiveRunError, current_scope

_ROOT = "reeve"


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
