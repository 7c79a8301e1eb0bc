"""``log_prints``: what a run prints becomes lines of its log."""

from __future__ import annotations

import builtins
import io
import sys
from typing import Any

from reeve.sdk.context import current_scope

_print = builtins.print


def capture() -> None:
    """From now on look at who prints: runs that want it log instead, all others print as ever."""
    builtins.print = _print_or_log


def _print_or_log(*values: Any, file: Any = None, **options: Any) -> None:
    scope = current_scope()
    if scope is None or not scope.around.log_prints or file not in (None, sys.stdout):
        _print(*values, file=file, **options)
        return
    text = io.StringIO()
    _print(*values, file=text, sep=options.get("sep"), end="")
    scope.run.log.info("%s", text.getvalue())
