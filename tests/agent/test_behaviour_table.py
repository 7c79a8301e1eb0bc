"""docs/guides/agent-behaviour.md and the tests: every number has a line, every test that is named exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "guides" / "agent-behaviour.md"
HERE = "tests/agent/test_behaviour.py"
WEAKNESSES = "tests/interop/weaknesses.py"
_ROW = re.compile(r"\| ([AW]\d+)( †)? \| (.*?) ?\| (.*?) ?\|")
_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
# The numbers that were given: the lists of the 2.20 agent's behaviours have gaps between their sections.
_GIVEN = (
    *(
        f"A{number}"
        for first, last in (
            (1, 8),
            (10, 14),
            (20, 33),
            (40, 47),
            (50, 53),
            (60, 66),
            (70, 78),
            (80, 87),
            (90, 107),
            (110, 123),
            (130, 138),
            (140, 146),
            (150, 162),
            (170, 171),
        )
        for number in range(first, last + 1)
    ),
    *(f"W{number}" for number in range(1, 49)),
)


def rows() -> list[tuple[str, bool, str, list[str]]]:
    """Return number, mark of the interop suite, difference, and tests of each line."""
    found = [_ROW.fullmatch(line) for line in TABLE.read_text().splitlines()]
    return [(row[1], bool(row[2]), row[3], re.findall(r"`([^`]+)`", row[4])) for row in found if row]


@cache
def names_in(path: str) -> frozenset[str]:
    return frozenset(_TEST.findall((ROOT / path).read_text()))


def numbers_of(test: str) -> set[str]:
    """Return the numbers that a test bears in its name: ``test_a23_w5_…``."""
    found = re.match(r"test((?:_[aw]\d+)+)_", test)
    return {number.upper() for number in found[1].split("_") if number} if found else set()


def test_every_number_has_one_line() -> None:
    assert tuple(number for number, *_ in rows()) == _GIVEN


def test_a_line_names_tests_that_there_are_or_says_why_not() -> None:
    for number, _, difference, named in rows():
        assert named or difference, number
        for reference in named:
            path, _, test = reference.rpartition("::")
            assert test in names_in(path or HERE), (number, reference)


def test_a_test_is_in_the_lines_of_its_numbers() -> None:
    lines = {number: set(named) for number, _, _, named in rows()}
    for test in names_in(HERE):
        assert numbers_of(test), f"{test} bears no number"
        for number in numbers_of(test):
            assert test in lines[number], (number, test)


def test_the_marks_are_those_of_the_interop_suite() -> None:
    shown = {number for test in names_in(WEAKNESSES) for number in numbers_of(test)}
    assert {number for number, marked, _, _ in rows() if marked} == shown
