"""Houses: whole installations, on both databases. A test that leaves a process behind fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.acceptance.house import House

# Short leases, so that what a lease decides is decided within a test.
QUICK = {
    "REEVE_LEASE_SECONDS": "4",
    "REEVE_RENEW_SECONDS": "1",
    "REEVE_LEASE_MARGIN_SECONDS": "0.5",
    "REEVE_LEASE_GRACE_SECONDS": "0.5",
}


@pytest.fixture
def make_house(tmp_path: Path, database_url: str) -> Iterator[Callable[..., House]]:
    """Give a maker of one house; ``settings`` are variables of its environment."""
    made: list[House] = []

    def make(**settings: str) -> House:
        made.append(House(tmp_path, database_url, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    """Give a house with a server, a pool "default" and its queue, and no agent yet."""
    made = make_house(**QUICK)
    made.start_server()
    made.cli("pools", "create", "default")
    return made
