"""The schema: a fresh one equals a migrated one, and both databases have the same."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from reeve.server.storage import migrations
from reeve.server.storage.dialects import postgres, sqlite
from reeve.server.storage.store import Transaction, open_store, sqlite_path

Columns = dict[str, set[tuple[str, bool]]]

# What the pruner deletes, and what goes with it.
DELETED_OFTEN = {"flow_runs", "flow_run_states", "task_runs", "task_run_states", "attempts"}


def sqlite_columns(path: Path) -> Columns:
    """Return each table's columns, and whether each may be null."""
    with sqlite3.connect(path) as connection:
        tables = [
            name
            for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
            if not name.startswith("sqlite_")
        ]
        return {
            table: {
                (row[1], not row[3] and not row[5])
                for row in connection.execute(f"pragma table_info({table})")
            }
            for table in tables
        }


def sqlite_schema(path: Path) -> list[str]:
    """Return the text of every table and index."""
    with sqlite3.connect(path) as connection:
        return sorted(
            sql for (sql,) in connection.execute("select sql from sqlite_master where sql is not null")
        )


async def postgres_columns(url: str) -> Columns:
    """Return each table's columns, and whether each may be null."""
    connection = await asyncpg.connect(url)
    try:
        found: Columns = {}
        for row in await connection.fetch(
            "select table_name, column_name, is_nullable from information_schema.columns"
            " where table_schema = 'public'"
        ):
            found.setdefault(row["table_name"], set()).add((row["column_name"], row["is_nullable"] == "YES"))
        return found
    finally:
        await connection.close()


async def fresh(url: str) -> None:
    store = await open_store(url)
    await store.close()


async def test_both_databases_have_the_same_tables_and_columns(sqlite_url: str, postgres_url: str) -> None:
    await fresh(sqlite_url)
    await fresh(postgres_url)
    on_sqlite, on_postgres = sqlite_columns(sqlite_path(sqlite_url)), await postgres_columns(postgres_url)
    assert on_sqlite.keys() == on_postgres.keys()
    assert on_sqlite == on_postgres


async def test_a_fresh_schema_equals_one_migrated_step_by_step(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fresh(sqlite_url)
    stepwise = f"sqlite:///{tmp_path / 'stepwise.db'}"
    steps = migrations.all_migrations()
    for known in range(1, len(steps) + 1):
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "all_migrations", lambda known=known: steps[:known])
            await fresh(stepwise)
    assert sqlite_schema(sqlite_path(stepwise)) == sqlite_schema(sqlite_path(sqlite_url))


async def test_opening_a_second_time_changes_nothing(database_url: str) -> None:
    async def versions(tx: Transaction) -> list[Any]:
        found = await tx.fetch("select n, sha256, at from schema_version order by n")
        return [(row["n"], row["sha256"], row["at"]) for row in found]

    first = await open_store(database_url)
    applied = await first.read(versions)
    await first.close()
    second = await open_store(database_url)
    assert await second.read(versions) == applied
    assert [number for number, *_ in applied] == [step.number for step in migrations.all_migrations()]
    await second.close()


async def test_two_servers_that_start_at_once_migrate_once(postgres_url: str) -> None:
    stores = await asyncio.gather(*(open_store(postgres_url) for _ in range(4)))
    for store in stores:
        await store.close()


def test_every_placeholder_is_known_to_both_databases() -> None:
    assert sqlite.TYPES.keys() == postgres.TYPES.keys()
    for step in migrations.all_migrations():
        for types in (sqlite.TYPES, postgres.TYPES):
            assert not any("{" in statement for statement in step.statements(types))


async def test_what_is_deleted_with_another_row_is_found_by_an_index(sqlite_url: str) -> None:
    await fresh(sqlite_url)
    with sqlite3.connect(sqlite_path(sqlite_url)) as connection:
        tables = [
            name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        plans = {
            f"{table}.{column}": connection.execute(
                f"explain query plan select 1 from {table} where {column} = x'00'"
            ).fetchone()[3]
            for table in tables
            for _, _, parent, column, _, _, deleted, _ in connection.execute(
                f"pragma foreign_key_list({table})"
            )
            if deleted == "CASCADE" and parent in DELETED_OFTEN
        }
    assert len(plans) > 8
    assert not {place: plan for place, plan in plans.items() if plan.startswith("SCAN")}
