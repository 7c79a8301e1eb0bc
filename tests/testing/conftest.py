"""Houses, as a user's tests have them."""

from __future__ import annotations

import pytest
from tests.testing import flows

from reeve.testing.fixtures import house

__all__ = ["house"]


@pytest.fixture(autouse=True)
def _as_at_first() -> None:
    flows.downloads.clear()
    flows.outages.clear()
