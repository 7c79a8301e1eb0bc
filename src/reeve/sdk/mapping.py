"""What ``map`` makes of its arguments: those of each call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reeve.sdk.futures import allow_failure, elements, unmapped


def rows(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Give the arguments of each call of a task; ValueError for iterables of several lengths, or none."""
    given: dict[int | str, Any] = dict(enumerate(args))
    given.update(kwargs)
    columns = {key: elements(value) for key, value in given.items()}
    lengths = {len(column) for column in columns.values() if column is not None}
    if len(lengths) != 1:
        found = "none was given" if not lengths else f"they have {sorted(lengths)} elements"
        raise ValueError(f"Task '{name}': map needs iterables of one length, but {found}.")
    for index in range(lengths.pop()):
        row = {key: _same(given[key]) if one is None else one[index] for key, one in columns.items()}
        yield [row[place] for place in range(len(args))], {key: row[key] for key in kwargs}


def _same(value: Any) -> Any:
    if isinstance(value, allow_failure):
        return allow_failure(_same(value.value))
    return value.value if isinstance(value, unmapped) else value
