"""Tables of artifacts are read in each of their forms, and shown alike."""

from __future__ import annotations

from typing import Any

import pytest

from reeve.core.tables import Table, as_text, read_table


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        ([{"a": 1, "b": "x"}, {"b": None, "c": 2.5}], ["a", "b", "c"], [["1", "x", ""], ["", "", "2.5"]]),
        ({"a": [1, 2], "b": ["x"]}, ["a", "b"], [["1", "x"], ["2", ""]]),
        ([[1, True], ["x"]], ["1", "2"], [["1", "true"], ["x", ""]]),
        ('[{"a":[1,{"b":2}]}]', ["a"], [['[1,{"b":2}]']]),
        ([], [], []),
        ({}, [], []),
    ],
)
def test_each_form_has_columns_and_rows(data: Any, columns: list[str], rows: list[list[str]]) -> None:
    assert read_table(data) == Table(columns, rows)


@pytest.mark.parametrize("data", [None, 3, "no JSON", '"text"', {"a": "text"}, [1, 2], [{"a": 1}, [2]]])
def test_what_is_no_table_is_none(data: Any) -> None:
    assert read_table(data) is None


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert as_text(Table(["id", "name"], [["1", "x"], ["100", ""]])) == ["id   name", "1    x", "100"]
