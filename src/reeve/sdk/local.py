"""Where a run begins that nobody has asked a server for: plain Python, called by plain Python."""

from __future__ import annotations

import os
from contextvars import ContextVar
from functools import cache

from reeve.errors import ReeveError
from reeve.sdk.context import Surroundings, current_scope
from reeve.sdk.home import is_told_to_report
from reeve.sdk.logging import log_to_console

# Set while code is imported for its flow: who calls a flow then would have it run twice. It is set and reset
# by hand, since what ``with`` needs costs a run five pages.
importing: ContextVar[bool] = ContextVar("reeve_importing", default=False)


class CalledDuringImportError(ReeveError):
    """A flow or task was called while its code was imported. Put it under ``if __name__ == "__main__":``."""

    code = "called_during_import"


def results_place() -> str:
    """Return where results are persisted unless a flow or task says otherwise: REEVE_RESULTS."""
    return os.environ.get("REEVE_RESULTS") or _results_of_home(os.environ.get("REEVE_HOME"))


@cache
def _results_of_home(home: str | None) -> str:
    from reeve.settings import load  # few runs persist a result

    return load(os.environ, {"home": home}).results


def refuse_while_importing() -> None:
    """Raise CalledDuringImportError while code is imported for its flow."""
    if importing.get():
        raise CalledDuringImportError


def surroundings(*, of_flow: bool = False) -> Surroundings:
    """Return what the caller has around it; outside of any run: rules, but nobody who hears of the run.

    Of a flow that is called there the server hears, where the settings say so. Raises
    CalledDuringImportError.
    """
    refuse_while_importing()
    scope = current_scope()
    if scope is not None:
        return scope.around
    log_to_console()
    if of_flow and is_told_to_report():
        from reeve.sdk.own_attempt import OwnAttempt

        return Surroundings(reporter=OwnAttempt())
    from reeve.sdk.engine.nowhere import Nowhere  # a run with a server does without

    return Surroundings(reporter=Nowhere())
