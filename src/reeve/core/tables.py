"""Tables of artifacts: as they are given, and as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec


class Table(NamedTuple):
    """The names of columns, and rows of as many texts."""

    columns: list[str]
    rows: list[list[str]]


def read_table(data: Any) -> Table | None:
    """Read a table in any of its forms: rows as mappings or lists, or columns by name; also as JSON text.

    None for what is none of them.
    """
    if isinstance(data, str):
        try:
            data = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return None
    if isinstance(data, Mapping) and all(map(_is_row, data.values())):
        return _table(data, zip_longest(*data.values()))
    if not _is_row(data):
        return None
    if all(isinstance(row, Mapping) for row in data):
        columns = dict.fromkeys(name for row in data for name in row)
        return _table(columns, ([row.get(name) for name in columns] for row in data))
    if all(map(_is_row, data)):
        width = max(map(len, data))
        return _table(range(1, width + 1), ([*row, *[None] * (width - len(row))] for row in data))
    return None


def as_text(table: Table) -> list[str]:
    """Return the lines of a table, the names of its columns first."""
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (table.columns, *table.rows)
    ]


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _table(columns: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Table:
    return Table([str(name) for name in columns], [[_cell(value) for value in row] for row in rows])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
