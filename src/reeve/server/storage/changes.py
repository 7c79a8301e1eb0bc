"""What has changed of a row, and nothing else, is what is written of it.

Each column that a statement names costs an entry in each of its indexes, even with the value that it had: of
a run that keeps its state that is most of its update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from reeve.server.storage.store import Transaction

S = TypeVar("S", bound=Struct)

UNKNOWN = repeat(object())  # is no value of any field
Columns = Mapping[str, Callable[[Any], Any]]  # a column, and how it follows from the value of a field


class Changes(Generic[S]):
    """How the columns of a table that may change follow from the fields of a noun."""

    def __init__(self, table: str, fields: Mapping[str, Columns], *, where: str = "id = $1") -> None:
        self._table = table
        self._fields = fields
        self._where = where
        self._values = attrgetter(*fields)
        self._stored = [(name, tuple(columns.values())) for name, columns in fields.items()]
        self._texts: dict[tuple[str, ...], str] = {}

    def store(self, tx: Transaction, noun: S) -> None:
        """Store what a noun has become; all that may have changed where the transaction does not know it."""
        id_ = noun.id  # type: ignore[attr-defined]  # every noun has one, and no common base
        earlier = tx.changed.get(id_)
        before = earlier.before if earlier else tx.known.get(id_)
        tx.known[id_] = noun
        tx.change(id_, _Change(self, id_, before, noun))

    def statement(self, id_: UUID, before: S | None, noun: S) -> tuple[str, tuple[Any, ...]] | None:
        """Return what writes the columns that differ, and its parameters; None if there are none."""
        changed: list[str] = []
        values: list[Any] = [id_]
        then = UNKNOWN if before is None else self._values(before)
        for (name, columns), value, old in zip(self._stored, self._values(noun), then, strict=False):
            if old is value or old == value:
                continue
            changed.append(name)
            values += [stored(value) for stored in columns]
        return (self._text(tuple(changed)), tuple(values)) if changed else None

    def _text(self, changed: tuple[str, ...]) -> str:
        found = self._texts.get(changed)
        if found is None:
            columns = [column for name in changed for column in self._fields[name]]
            sets = ", ".join(f"{column} = ${place}" for place, column in enumerate(columns, start=2))
            found = self._texts[changed] = f"update {self._table} set {sets} where {self._where}"
        return found


class _Change(Generic[S]):
    def __init__(self, changes: Changes[S], id_: UUID, before: S | None, noun: S) -> None:
        self._changes = changes
        self._id = id_
        self.before = before
        self._noun = noun

    def statement(self) -> tuple[str, tuple[Any, ...]] | None:
        return self._changes.statement(self._id, self.before, self._noun)


def as_it_is(value: Any) -> Any:
    """Return a value that is stored as it is."""
    return value
