"""The fate of an open attempt, by its lease alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reeve.core.attempts import Attempt, AttemptKind, AttemptState, Fate, LeaseTerms, fate
from reeve.core.work import Limit, OnLost, Rooms, grantable

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TERMS = LeaseTerms()  # lease 20, margin 2, grace 3, lost after 300


def attempt(over_for: float | None, *, launched: bool = True, unreachable: bool = False) -> Attempt:
    return Attempt(
        id=UUID(int=1),
        flow_run_id=UUID(int=2),
        number=1,
        kind=AttemptKind.LEASED,
        state=AttemptState.LAUNCHED,
        opened=NOW,
        launched=NOW if launched else None,
        unreachable=unreachable,
        lease_until=None if over_for is None else NOW - timedelta(seconds=over_for),
    )


def unstoppable(failed_for: float) -> Attempt:
    return replace(attempt(-1), stop_failed=NOW - timedelta(seconds=failed_for))


def judged(held: Attempt, *, returns: int = 0, on_lost: OnLost = OnLost.WAIT, slack: float = 0) -> Fate:
    held = replace(held, on_lost=on_lost)
    return fate(held, returns=returns, terms=TERMS, now=NOW, slack=timedelta(seconds=slack))


@pytest.mark.parametrize(
    ("held", "facts", "expected"),
    [
        (attempt(None), {}, Fate.KEEP),
        (attempt(-1), {}, Fate.KEEP),
        (attempt(2.9), {}, Fate.KEEP),
        (attempt(3), {}, Fate.UNREACHABLE),
        (attempt(3, unreachable=True), {}, Fate.KEEP),
        (attempt(299), {}, Fate.UNREACHABLE),
        (attempt(300), {}, Fate.LOSE),
        (attempt(300), {"slack": 60}, Fate.UNREACHABLE),
        (attempt(4.9), {"on_lost": OnLost.REPLACE}, Fate.UNREACHABLE),
        (attempt(5), {"on_lost": OnLost.REPLACE}, Fate.LOSE),
        (attempt(3, launched=False), {}, Fate.RETURN),
        (attempt(3, launched=False), {"returns": 1}, Fate.RETURN),
        (attempt(3, launched=False), {"returns": 2}, Fate.GIVE_UP),
        (replace(attempt(3, launched=False), started=NOW), {}, Fate.UNREACHABLE),
        (unstoppable(299), {}, Fate.KEEP),
        (unstoppable(300), {}, Fate.RELEASE),
        (unstoppable(300), {"slack": 60}, Fate.KEEP),
    ],
)
def test_fate(held: Attempt, facts: dict[str, Any], expected: Fate) -> None:
    assert judged(held, **facts) is expected


@given(st.floats(-1000, 2.99), st.booleans(), st.sampled_from(OnLost), st.integers(0, 5))
def test_nothing_happens_before_lease_and_grace_are_over(
    over_for: float, launched: bool, on_lost: OnLost, returns: int
) -> None:
    assert judged(attempt(over_for, launched=launched), on_lost=on_lost, returns=returns) is Fate.KEEP


KEYS = [UUID(int=number) for number in range(4)]


@given(
    st.dictionaries(st.sampled_from(KEYS), st.tuples(st.none() | st.integers(0, 5), st.integers(0, 6))),
    st.lists(st.none() | st.sampled_from(KEYS)),
)
def test_a_line_is_admitted_in_order_until_each_deployment_is_full(
    limits: dict[UUID, tuple[int | None, int]], line: list[UUID | None]
) -> None:
    made = {key: Limit("l", size, occupied) for key, (size, occupied) in limits.items()}
    rooms = Rooms(made)
    admitted = [rooms.admit(key) for key in line]
    for key in KEYS:
        free = made[key].free if key in made else None
        own = [answer for one, answer in zip(line, admitted, strict=True) if one == key]
        room = len(own) if free is None else min(free, len(own))
        assert own == [True] * room + [False] * (len(own) - room)
        assert (key in rooms.open) == (free is not None and free > room)
    assert all(answer for one, answer in zip(line, admitted, strict=True) if one is None)


@given(st.integers(0, 50), st.lists(st.tuples(st.none() | st.integers(0, 50), st.integers(0, 60))))
def test_grants_never_pass_a_limit(wanted: int, limits: list[tuple[int | None, int]]) -> None:
    made = [Limit("l", size, occupied) for size, occupied in limits]
    granted = grantable(wanted, *made)
    assert 0 <= granted <= wanted
    for limit in made:
        assert limit.size is None or granted == 0 or limit.occupied + granted <= limit.size
