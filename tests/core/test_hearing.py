"""What a server knows of its own hearing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reeve.core.hearing import Hearing

START = datetime(2026, 3, 1, tzinfo=UTC)
LONGEST = 6.0


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def heard_at(*moments: float) -> Hearing:
    hearing = Hearing(timedelta(seconds=LONGEST))
    for moment in moments:
        hearing.heard(after(moment))
    return hearing


def test_a_gap_is_told_when_it_ends() -> None:
    hearing = heard_at(0, 5)
    gap = hearing.heard(after(15))
    assert gap is not None
    assert (gap.start, gap.length) == (after(5), timedelta(seconds=10))
    assert hearing.heard(after(16)) is None


def test_only_what_lies_after_the_last_sign_is_missed() -> None:
    hearing = heard_at(0, 10, 11, 31)
    assert [hearing.missed(after(since)).total_seconds() for since in (-5, 4, 10.5, 21, 31)] == [
        30,
        26,
        20,
        10,
        0,
    ]
    assert hearing.total == timedelta(seconds=1)


def test_a_leap_of_the_clock_is_a_gap_and_its_way_back_is_followed() -> None:
    hearing = heard_at(0, 1, 601, 1)
    assert hearing.total == timedelta(seconds=1)
    assert hearing.missed(after(-1000)) == timedelta(seconds=600)
    assert hearing.missed(after(1)) == timedelta()


@given(st.lists(st.floats(0.1, 30), min_size=1), st.floats(0, 100), st.floats(0, 500))
def test_what_is_forgotten_would_have_decided_nothing(
    steps: list[float], since: float, longest_wait: float
) -> None:
    moments = [sum(steps[:count]) for count in range(len(steps) + 1)]
    hearing, wait = heard_at(*moments), timedelta(seconds=longest_wait)
    now = after(moments[-1])
    left = now - after(since) - hearing.missed(after(since))
    hearing.forget(wait)
    left_after = now - after(since) - hearing.missed(after(since))
    assert left_after == left or min(left, left_after) > wait


@given(st.lists(st.floats(0.1, 30), min_size=1))
def test_time_is_either_heard_or_missed(steps: list[float]) -> None:
    hearing = heard_at(*(sum(steps[:count]) for count in range(len(steps) + 1)))
    passed = after(sum(steps)) - START
    assert hearing.total + hearing.missed(START) == passed
