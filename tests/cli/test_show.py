"""How values look, and how typed ones are read."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve.cli import show
from reeve.cli.values import DURATION, INSTANT, LIMIT, PAIR, parameters
from reeve.wire import codec


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (3.44, "3.4 s"),
        (59.94, "59.9 s"),
        (60, "1m 0s"),
        (320, "5m 20s"),
        (7380, "2h 3m"),
        (350_000, "4d 1h"),
        (-0.004, "-4 ms"),
    ],
)
def test_a_length_of_time_has_the_precision_that_matters(seconds: float, text: str) -> None:
    assert show.took(seconds) == text


@given(st.floats(0, 1e9))
def test_a_length_of_time_is_short(seconds: float) -> None:
    assert 0 < len(show.took(seconds)) <= 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86400), ("1h30m", 5400), ("0.5s", 0.5), ("90", 90)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@given(st.text(st.characters(codec="ascii"), max_size=6))
def test_a_duration_is_above_nothing_or_refused(text: str) -> None:
    with contextlib.suppress(click.BadParameter):
        assert DURATION.convert(text, None, None) > 0


def test_instants_are_on_the_readers_clock_unless_they_say() -> None:
    assert INSTANT.convert("2026-01-31T03:00+01:00", None, None) == datetime(2026, 1, 31, 2, tzinfo=UTC)
    assert INSTANT.convert("2026-01-31", None, None) == datetime(2026, 1, 31).astimezone()


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("n=3", 3),
        ("n=2026-01-31", "2026-01-31"),
        ('n="3"', "3"),
        ("n=[1, 2]", [1, 2]),
        ("n=true", True),
        ("n=null", None),
        ("n=a=b", "a=b"),
        ("n=", ""),
        ("n=NaN", "NaN"),
    ],
)
def test_parameters_are_json_or_text(typed: str, value: Any) -> None:
    assert parameters([PAIR.convert(typed, None, None)]) == {"n": value}


def test_the_last_of_a_name_counts() -> None:
    assert parameters([("n", "1"), ("n", "2")]) == {"n": 2}


def test_a_limit_is_a_number_or_none() -> None:
    assert LIMIT.convert("0", None, None) == 0
    assert LIMIT.convert("none", None, None) is None


def test_a_plain_table_can_be_cut_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("a", "long"), [("x", None), ("yyy", 3)], empty="none")
    assert capsys.readouterr().out == "a    long\nx\nyyy  3\n"


def test_an_empty_table_prints_nothing_to_count(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("a",), [], empty="No rows.")
    assert capsys.readouterr() == ("", "No rows.\n")


def test_times_are_on_the_readers_clock() -> None:
    now = datetime.now(UTC)
    assert show.when(codec.iso(now)) == f"{now.astimezone():%Y-%m-%d %H:%M:%S}"
    assert show.when(None) == ""
    assert show.between("2026-01-31T03:00:00+00:00", "2026-01-31T03:00:00.012+00:00") == "12 ms"
    assert show.between(None, "2026-01-31T03:00:00+00:00") == ""
    assert show.since(None) == "never"
