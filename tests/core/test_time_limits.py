"""Time limits: when each is over, which is the next, and the words for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from reeve.core.attempts import Attempt, AttemptKind, AttemptState, deadline, overdue, timed
from reeve.core.runs import FlowRun
from reeve.core.time_limits import TimeLimit, TimeLimits, in_words

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = TimeLimits(
    max_pending=TimeLimit(seconds=10), max_run=TimeLimit(seconds=60), must_start_by=TimeLimit(seconds=30)
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def attempt(**fields: Any) -> Attempt:
    about: dict[str, Any] = {
        "id": UUID(int=1),
        "flow_run_id": UUID(int=2),
        "number": 1,
        "kind": AttemptKind.LEASED,
    }
    return Attempt(**about, state=AttemptState.CLAIMED, opened=NOW, limits=LIMITS, **fields)


def run(due: float = 0, **fields: Any) -> FlowRun:
    about: dict[str, Any] = {
        "id": UUID(int=2),
        "created": NOW,
        "updated": NOW,
        "name": "r",
        "flow_id": UUID(int=3),
    }
    return FlowRun(**about, expected_start_time=after(due), **fields)


@pytest.mark.parametrize(
    ("held", "of", "at"),
    [
        (attempt(), run(), after(10)),
        (attempt(), run(due=-25), after(5)),
        (attempt(launched=after(1)), run(due=-25), after(5)),
        (attempt(launched=after(1), started=after(2)), run(due=-25, start_time=after(2)), after(61)),
        (attempt(), run(due=-100, start_time=after(-50)), after(10)),  # a second attempt is no late start
        (attempt(started=after(2)), run(start_time=after(2)), None),  # its launch is not reported yet
    ],
)
def test_the_next_limit(held: Attempt, of: FlowRun, at: datetime | None) -> None:
    found = deadline(held, of)
    assert (found.at if found else None) == at
    assert timed(held, of).expires == at
    if at:
        assert overdue(held, of, at) == found
        assert overdue(held, of, at - timedelta(microseconds=1)) is None


def test_without_limits_nothing_is_overdue() -> None:
    held = attempt(launched=NOW)
    assert (
        overdue(
            Attempt(
                id=held.id,
                flow_run_id=held.flow_run_id,
                number=1,
                kind=held.kind,
                state=held.state,
                opened=NOW,
            ),
            run(),
            after(10**9),
        )
        is None
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "0.5 s"),
        (2, "2 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86400, "1 d"),
        (90061, "1 d 1 h 1 min 1 s"),
    ],
)
def test_lengths_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_each_limit_has_its_sentence() -> None:
    assert [one.message for one in (LIMITS.pending(NOW), LIMITS.running(NOW), LIMITS.start(NOW)) if one] == [
        "It was not Running within 10 s of its claim.",
        "It ran longer than its limit of 1 min.",
        "It did not start within 30 s of when it was due.",
    ]
