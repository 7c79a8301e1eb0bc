"""Houses for guests: SQLite behind a key, PostgreSQL with an open door; --all-doors adds the other two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.guests import GuestHouse

# Guests cost seconds, so each database meets one of the two doors unless all are asked for.
DAILY = ("sqlite-key", "postgres-open")
OTHERS = ("sqlite-open", "postgres-key")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-doors", action="store_true", help="each database with a key and without")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "house" in metafunc.fixturenames:
        # Not known where pytest was started for other tests, and found this file later.
        every = metafunc.config.getoption("--all-doors", default=False)
        metafunc.parametrize("house", DAILY + OTHERS if every else DAILY, indirect=True)


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GuestHouse]:
    """Give a house with a server, for ``DATABASE-DOOR``."""
    database, door = request.param.split("-")
    made = GuestHouse(tmp_path, request.getfixturevalue(f"{database}_url"), open_door=door == "open")
    try:
        made.start_server(*(["--open"] if made.open_door else []))
        yield made
    finally:
        made.close()
