"""What a database must offer to the rest of storage, one sentence per promise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from reeve.errors import ConflictError

T = TypeVar("T")

Listener = Callable[[str], None]


class IntegrityError(ConflictError):
    """A unique or foreign key constraint was violated."""

    code = "integrity"

    def __init__(self) -> None:
        # The sentence of the 2.20 dialect (api-contract §1).
        super().__init__(
            "Data integrity conflict. This usually means a unique or foreign key constraint was violated. "
            "See server logs for details."
        )


class Row(Protocol):
    """One row of an answer, by column name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of ``column``."""
        ...


class Transaction(Protocol):
    """One transaction. Statements are PostgreSQL's SQL with ``$1`` parameters; see dialects/sqlite.py.

    Parameters are text, numbers, booleans, UUIDs, JSON as text, and lists of text or UUIDs for ``any``.
    """

    async def now(self) -> datetime:
        """Return the instant of this transaction, the same for all of it, by the database's clock."""
        ...

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows of a statement."""
        ...

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        """Return the first row, if any."""
        ...

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row, or None."""
        ...

    async def pages(self, sql: str, *args: Any) -> int:
        """Run a statement that reads, and return how many pages it touched; 0 where no dead rows are met."""
        ...

    async def execute(self, sql: str, *args: Any) -> int:
        """Run a statement and return how many rows it touched; raises IntegrityError."""
        ...

    async def executemany(self, sql: str, args: list[tuple[Any, ...]]) -> None:
        """Run a statement once for each tuple of parameters; raises IntegrityError."""
        ...

    def wake(self, topic: str) -> None:
        """Tell the listeners of all servers about ``topic`` once this transaction is committed."""
        ...


class Store(Protocol):
    """A database with reeve's schema."""

    name: str

    async def write(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``body`` in a transaction and return its value after the COMMIT has returned.

        An error that ``body`` raises rolls back its own work alone. Raises UnavailableError when the
        database could not commit.
        """
        ...

    async def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``body``, which only reads, on one snapshot of what is committed."""
        ...

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called on the event loop with each topic that was woken."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database; closed twice is fine."""
        ...
