"""What commands start with: the settings in force, and a client of the server they name."""

from __future__ import annotations

import os

from reeve.client.sync import Client
from reeve.errors import ReeveError
from reeve.settings import Settings, load

# One that is not there is to be told at once; a busy one's Retry-After is waited for once in any case.
PATIENCE_SECONDS = 0.3


def settings(**options: object) -> Settings:
    """Return the settings, with what the command's options say above all else."""
    return load(os.environ, options)


def connect() -> Client:
    """Return a client for one question."""
    chosen = settings()
    return Client(chosen.api_url, chosen.api_key, patience=PATIENCE_SECONDS)


def connect_for_long() -> Client:
    """Return a client that outlives the server's restarts, and says once that it waits for one."""
    from reeve.cli import show

    chosen = settings()
    told: set[str] = set()

    def tell(error: ReeveError, _seconds: float) -> None:
        if error.message not in told:
            told.add(error.message)
            show.notice(f"{error.message}. Waiting for it …")

    return Client(chosen.api_url, chosen.api_key, patience=None, notice=tell)
