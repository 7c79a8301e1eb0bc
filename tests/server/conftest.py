"""Fixtures of the server's tests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.conftest import postgres_database
from tests.server.outside import Outside, serving

from reeve.server.storage.store import open_store

# The databases of these tests have their schema from the beginning: to make it takes longer than most tests,
# and tests/migrations sees to it.


def furnished(url: str) -> str:
    """Make the schema of a database, on a thread and a loop of its own, and leave it to whoever copies it."""

    async def furnish() -> None:
        await (await open_store(url)).close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, furnish()).result()
    return url


@pytest.fixture(scope="session")
def postgres_pattern(postgres_server_url: str) -> Iterator[str]:
    """The name of the database that those of the tests are made like."""
    with postgres_database(postgres_server_url) as url:
        yield urlsplit(furnished(url)).path[1:]


@pytest.fixture(scope="session")
def sqlite_pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that those of the tests are copies of."""
    file = tmp_path_factory.mktemp("pattern") / "reeve.db"
    furnished(f"sqlite:///{file}")
    return file


@pytest.fixture
def postgres_url(postgres_server_url: str, postgres_pattern: str) -> Iterator[str]:
    """A PostgreSQL database with nothing in its tables, dropped after the test."""
    with postgres_database(postgres_server_url, postgres_pattern) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_pattern: Path) -> str:
    """A SQLite file with nothing in its tables."""
    file = shutil.copy(sqlite_pattern, tmp_path / "reeve.db")
    return f"sqlite:///{file}"


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
