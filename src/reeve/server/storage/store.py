"""The store: transactions as functions, run by whichever database is configured.

A transaction is an ``async`` function of a ``Transaction`` that awaits nothing else. On PostgreSQL it runs
on the event loop; on SQLite the one writer thread steps it, together with whatever else has arrived.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reeve.errors import InvalidInputError
from reeve.server.storage.dialects.base import Row, Store, Transaction

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Body", "Row", "Store", "Transaction", "open_store"]

Body = Callable[[Transaction], Awaitable[object]]


async def open_store(url: str, *, alone: bool = False) -> Store:
    """Connect to the database at ``url`` and bring its schema up to date.

    ``sqlite:///path`` (three slashes and a relative path, four and an absolute one) or ``postgresql://…``.
    ``alone``: no server may have it open meanwhile, which a SQLite file never allows; one that starts waits.
    Raises InvalidInputError for another scheme, ConflictError when another server holds the SQLite file or
    what is wanted alone, UnavailableError when the database cannot be reached.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from reeve.server.storage.dialects.sqlite import SqliteStore

        return await SqliteStore.open(sqlite_path(url))
    if scheme in {"postgresql", "postgres"}:
        from reeve.server.storage.dialects.postgres import PostgresStore

        return await PostgresStore.open(url, alone=alone)
    raise InvalidInputError(
        f"database URL {url!r}: the scheme must be sqlite or postgresql, "
        "for example sqlite:////var/lib/reeve/reeve.db or postgresql://user@host/reeve",
        field="database_url",
    )


def sqlite_path(url: str) -> Path:
    """Return the file that a ``sqlite:///`` URL names."""
    from pathlib import Path

    return Path(url.removeprefix("sqlite:///")).expanduser()
