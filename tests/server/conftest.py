"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.server.outside import Outside, serving


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Outside]:
    """A server with an open door, on each database in turn."""
    async with serving(database_url) as outside:
        yield outside


@pytest.fixture
async def sqlite_api(sqlite_url: str) -> AsyncIterator[Outside]:
    """A server with an open door, for what no database has a part in."""
    async with serving(sqlite_url) as outside:
        yield outside
