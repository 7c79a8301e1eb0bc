"""Houses for guests: SQLite behind a key, PostgreSQL behind an open door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.guests import GuestHouse


@pytest.fixture(params=["sqlite-key", "postgres-open"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GuestHouse]:
    """Give a house with a server. Guests cost seconds, so each database meets one of the two doors."""
    database, door = request.param.split("-")
    made = GuestHouse(tmp_path, request.getfixturevalue(f"{database}_url"), open_door=door == "open")
    try:
        made.start_server(*(["--open"] if made.open_door else []))
        yield made
    finally:
        made.close()
