"""``house`` as a fixture of pytest: ``pytest_plugins = ["reeve.testing.fixtures"]`` in your conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reeve.testing.house import House
from reeve.testing.house import house as opened


@pytest.fixture
def house() -> Iterator[House]:
    """A house of this test's own."""
    with opened() as one:
        yield one
