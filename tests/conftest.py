"""Fixtures for every folder: the databases of both dialects, new and empty for each test."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from tests import postgres

_KEEPER = "REEVE_TEST_POSTGRES_KEEPER"

# A shell that runs the tests in its background has these ignored; every program that a test starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Let one keeper serve the whole session; the workers of xdist inherit its address."""
    if hasattr(config, "workerinput") or "REEVE_TEST_POSTGRES_URL" in os.environ:
        return
    keeper = postgres.Keeper()
    os.environ[_KEEPER] = keeper.address
    config.add_cleanup(keeper.stop)


@pytest.fixture(scope="session")
def postgres_server_url() -> str:
    """The database ``postgres`` of the session's server, as a superuser; started when first asked for."""
    return os.environ.get("REEVE_TEST_POSTGRES_URL") or postgres.ask(os.environ[_KEEPER])


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """A fresh PostgreSQL database, dropped after the test whoever is still connected."""
    with postgres_database(postgres_server_url) as url:
        yield url


@contextmanager
def postgres_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """Give a database made like another, to which nobody may be connected."""
    name = f"test_{uuid4().hex}"
    execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh SQLite file, not yet made."""
    return f"sqlite:///{tmp_path / 'reeve.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of each dialect in turn: ``sqlite:////a/file.db`` or ``postgresql://…``."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def execute(url: str, statement: str) -> None:
    """Run one statement on a thread and a loop of its own: the test's loop stays untouched."""

    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, execute()).result()
