"""Values come back from storage as they were given."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

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


def test_an_id_that_is_read_again_is_the_same_object() -> None:
    """A dict finds it without a comparison."""
    text = str(uuid4())
    assert rows.uuid(text) == UUID(text)
    assert rows.uuid(str(UUID(text))) is rows.uuid(text)
    assert rows.uuid_or_none(None) is None
