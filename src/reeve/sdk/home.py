"""Which server user code speaks to: its run's, or the one that the settings of this process name."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from reeve.sdk.context import current_scope

if TYPE_CHECKING:
    from reeve.client.sync import Client


PATIENCE_SECONDS = 3.0  # plain code with no server at all is to be told so while somebody looks on


def client(*, patient: bool = False) -> Client:
    """Return calls of the run's server; where no server hears of a run, or there is none, of the settings'.

    A run waits for its server for as long as it takes. So does plain code that is ``patient``; else it is
    told after a few seconds that none answers.
    """
    return reporting() or _settings_client(None if patient else PATIENCE_SECONDS)


def reporting() -> Client | None:
    """Return calls of the server that hears of the run that is executed here; None if there is none."""
    scope = current_scope()
    found: Client | None = getattr(scope.around.reporter, "client", None) if scope else None
    return found


def catching_up() -> Callable[[], None]:
    """Return what waits until that server has heard what the run has done so far."""
    scope = current_scope()
    found: Callable[[], None] = getattr(scope.around.reporter, "catch_up", _nothing) if scope else _nothing
    return found


def _nothing() -> None:
    return


def is_told_to_report() -> bool:
    """Whether a flow that is called directly is to be a run on the server (the setting ``report``).

    Never in a process that an agent launched: it has its run. The settings are read only where they can say
    so, since plain calls shall cost nothing.
    """
    if "REEVE_RUN_ID" in os.environ:
        return False
    if "REEVE_REPORT" not in os.environ and not os.path.exists(_settings_file()):  # noqa: PTH110  # pathlib costs 5 ms
        return False
    from reeve.settings import load

    return load(os.environ).report == "server"


def _settings_file() -> str:
    return os.path.join(os.path.expanduser(os.environ.get("REEVE_HOME") or "~/.reeve"), "settings.toml")  # noqa: PTH111, PTH118  # as above


def _settings_client(patience: float | None) -> Client:
    from reeve.settings import load  # its import costs each run 5 ms, and a launched one needs no settings

    chosen = load(os.environ)
    return _client(chosen.api_url, chosen.api_key, patience)


@cache
def _client(url: str, key: str | None, patience: float | None) -> Client:
    from reeve.client.sync import Client

    made = Client(url, key, patience=patience)
    _made.append(made)
    return made


def hang_up() -> None:
    """Close the connections to the servers of the settings; the next question opens new ones."""
    while _made:
        _made.pop().close()
    _client.cache_clear()


_made: list[Client] = []
