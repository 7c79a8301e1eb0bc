"""The short form of every promise, on both databases; scripts/chaos runs the full counts."""

from __future__ import annotations

import pytest
from tests.chaos import frame


@pytest.mark.parametrize("promise", frame.names())
def test_promise_is_kept(promise: str, database_url: str) -> None:
    row = frame.keep(promise, database_url, seed=1, counts=frame.SHORT)
    assert row.trials
    assert not row.failures, "\n".join(row.failures)
