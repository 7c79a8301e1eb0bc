"""Values come back from storage as they were given."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from reeve.server.storage import rows

INSTANTS = st.datetimes(timezones=st.just(UTC))
NEAR = st.integers(-1000, 1000)


@given(at=INSTANTS)
def test_an_instant_of_any_year(at: datetime) -> None:
    assert rows.instant(rows.micros(at)) == at
    assert rows.instant(rows.micros(at)).tzinfo is UTC


@given(stored=st.one_of(st.integers(0, rows.EXACT), NEAR, NEAR.map(lambda near: rows.EXACT + near)))
def test_each_microsecond_is_another(stored: int) -> None:
    assert rows.micros(rows.instant(stored)) == stored
