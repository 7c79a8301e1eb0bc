"""What a database must offer to the rest of storage, one sentence per promise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from reeve.errors import ConflictError

T = TypeVar("T")

Listener = Callable[[str], None]
Read = tuple[Any, ...]  # a statement that reads, and its parameters


class Patient(str):
    """A topic of which listeners of other servers may hear a moment later, with others."""

    __slots__ = ()


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


class Change(Protocol):
    """What a transaction makes of a row that is there."""

    before: Any  # the noun as it is stored; None: unknown

    def statement(self) -> tuple[str, tuple[Any, ...]] | None:
        """Return the statement that writes it, and its parameters; None: it is as before."""
        ...


class Transaction(Protocol):
    """One transaction. Statements are PostgreSQL's SQL with ``$1`` parameters; see dialects/sqlite.py.

    Parameters are text, numbers, booleans, UUIDs, JSON as text, and lists of text or UUIDs for ``any``.

    ``known``: nouns by their ids, as they are stored or will be, of rows that nobody else changes until this
    transaction ends. ``changed``: those of them that are still to be written, before the next statement or
    the commit, all in one go. ``memo``: what was read once and need not be read again. ``written``: how many
    statements have written, those that return rows left out.
    """

    known: dict[UUID, Any]
    changed: dict[UUID, Change]
    memo: dict[Any, Any]
    written: int

    async def now(self) -> datetime:
        """Return the instant of this transaction, the same for all of it, by the database's clock."""
        ...

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows of a statement."""
        ...

    async def aside(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows of a statement that reads nothing which is still to be written."""
        ...

    async def several(self, *reads: Read) -> list[list[Row]]:
        """Return all rows of each of several statements that read, on one snapshot of what is committed.

        On PostgreSQL they are one round trip, which costs more than any of them. ``now``, if not asked
        before, is that of the snapshot.
        """
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

    async def lock(self, sql: str, *args: Any) -> None:
        """Run a statement that locks rows, and reads nothing."""
        ...

    async def locked(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows of a statement that locks them. ``now``, if not asked before, is no earlier."""
        ...

    def later(self, sql: str, *args: Any) -> None:
        """Run a statement before the next other one or the commit, with its like in one go.

        Statements that differ may change their order: what one of them touches must be no matter of another.
        """
        ...

    def change(self, row: UUID, change: Change) -> None:
        """Write a change of a row before the next statement or the commit, in place of an earlier one."""
        ...

    def wake(self, topic: str) -> None:
        """Tell the listeners of all servers about ``topic`` once this transaction is committed."""
        ...


class Kept:
    """What a transaction of either database keeps in memory."""

    def __init__(self) -> None:
        self.known: dict[UUID, Any] = {}
        self.changed: dict[UUID, Change] = {}
        self.memo: dict[Any, Any] = {}
        self.written = 0
        self.topics: list[str] = []
        self._later: dict[str, list[tuple[Any, ...]]] = {}

    def later(self, sql: str, *args: Any) -> None:
        self.written += 1
        self._later.setdefault(sql, []).append(args)

    def change(self, row: UUID, change: Change) -> None:
        self.written += 1
        self.changed[row] = change

    def wake(self, topic: str) -> None:
        self.topics.append(topic)

    def _waiting(self) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
        """Return what could wait until now, by statement; it waits no longer."""
        changed, self.changed = self.changed, {}
        for change in changed.values():
            if statement := change.statement():
                self._later.setdefault(statement[0], []).append(statement[1])
        waiting, self._later = self._later, {}
        return waiting.items()


class Ride(Generic[T]):
    """What waits for a transaction to go along with; in vain, if it is no more than this."""

    async def value(self) -> T | None:
        """Wait no longer; return what it returned, once that is committed; None: it has not run."""
        return None


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

    def along(
        self, topic: str, body: Callable[[Transaction], Awaitable[T]]
    ) -> AbstractContextManager[Ride[T]]:
        """Have ``body`` run in a transaction of somebody else's that wakes ``topic``, if one comes.

        The longest waiting goes along, one for each topic and commit, in a savepoint of its own. On
        PostgreSQL nobody does: locks of two bodies in one transaction have no order.
        """
        ...

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called on the event loop with each topic that was woken."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database; closed twice is fine."""
        ...
