"""The store's promises, on both databases."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from reeve.errors import InvalidInputError, UnavailableError
from reeve.server.storage.dialects.base import IntegrityError
from reeve.server.storage.dialects.sqlite import SqliteStore
from reeve.server.storage.migrations import Migration, SchemaError, all_migrations, outstanding
from reeve.server.storage.store import Row, Store, Transaction, open_store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await open_store(database_url)
    yield store
    await store.close()


async def set_value(tx: Transaction, key: str, value: str) -> None:
    await tx.execute("insert into installation (key, value) values ($1, $2)", key, value)


async def values(tx: Transaction) -> dict[str, str]:
    rows = await tx.fetch("select key, value from installation order by key")
    return {row["key"]: row["value"] for row in rows}


async def test_what_was_written_is_read(store: Store) -> None:
    await store.write(lambda tx: set_value(tx, "a", "1"))
    assert await store.read(values) == {"a": "1"}


async def test_an_error_rolls_back_its_own_work_alone(store: Store) -> None:
    async def half(tx: Transaction) -> None:
        await set_value(tx, "half", "written")
        raise LookupError("changed my mind")

    good = [store.write(partial(set_value, key=f"good {n}", value="1")) for n in range(20)]
    bad = [store.write(half) for _ in range(20)]
    mixed = [each for pair in zip(good, bad, strict=True) for each in pair]
    outcomes = await asyncio.gather(*mixed, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LookupError] * 20
    assert set(await store.read(values)) == {f"good {n}" for n in range(20)}


async def test_a_broken_constraint_is_named_alike(store: Store) -> None:
    await store.write(lambda tx: set_value(tx, "a", "1"))
    with pytest.raises(IntegrityError, match="unique or foreign key constraint"):
        await store.write(lambda tx: set_value(tx, "a", "2"))
    assert await store.read(values) == {"a": "1"}


async def test_who_is_cancelled_amid_a_transaction_leaves_nothing_open(store: Store) -> None:
    """A poll whose agent was killed is cancelled wherever it stands: amid BEGIN, a statement, COMMIT."""
    await store.write(lambda tx: set_value(tx, "locked", "0"))

    async def lock(tx: Transaction) -> None:
        await tx.execute("update installation set value = '1' where key = 'locked'")

    for turns in range(40):
        cut_short = asyncio.create_task(store.write(lock))
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.sleep(turns / 40_000)
        cut_short.cancel()
        await asyncio.wait([cut_short])
    async with asyncio.timeout(30):
        await asyncio.gather(*(store.write(lock) for _ in range(20)))


async def test_wake_ups_follow_the_commit(store: Store) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    store.listen(heard.put_nowait)

    async def failing(tx: Transaction) -> None:
        tx.wake("never")
        raise LookupError

    async def waking(tx: Transaction) -> None:
        await set_value(tx, "a", "1")
        tx.wake("topic")
        tx.wake("topic")

    with pytest.raises(LookupError):
        await store.write(failing)
    await store.write(waking)
    assert await asyncio.wait_for(heard.get(), 10) == "topic"
    assert await store.read(values) == {"a": "1"}
    assert heard.empty()


async def test_now_is_one_instant_for_a_transaction(store: Store) -> None:
    async def twice(tx: Transaction) -> bool:
        return await tx.now() == await tx.now()

    assert await store.write(twice)
    before = await store.write(lambda tx: tx.now())
    assert await store.write(lambda tx: tx.now()) >= before


async def test_lists_and_tags_mean_the_same_on_both(store: Store) -> None:
    async def body(tx: Transaction) -> list[str]:
        now = 0
        for name, tags in (("a", '["x", "y"]'), ("b", '["x"]'), ("c", "[]")):
            await tx.execute(
                "insert into flows (id, created, updated, name, tags) values ($1, $2, $2, $3, $4)",
                uuid4(),
                now,
                name,
                tags,
            )
        found = await tx.fetch(
            "select name from flows where name = any($1::text[]) and tags @> $2::jsonb"
            " and name <> all($3::text[]) order by name",
            ["a", "b", "c"],
            '["x"]',
            ["b"],
        )
        return [row["name"] for row in found]

    assert await store.write(body) == ["a"]


async def test_a_second_server_on_the_same_sqlite_file_is_refused(sqlite_url: str) -> None:
    first = await open_store(sqlite_url)
    program = (
        "import asyncio, sys; from reeve.server.storage.store import open_store\n"
        "try: asyncio.run(open_store(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, sqlite_url], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said.startswith("ConflictError Another reeve server (pid ")
    assert "--database-url" in said
    await first.close()
    again = await open_store(sqlite_url)
    await again.close()


async def test_opened_again_it_holds_what_was_committed(database_url: str) -> None:
    first = await open_store(database_url)
    await first.write(lambda tx: set_value(tx, "kept", "1"))
    await first.close()
    await first.close()
    second = await open_store(database_url)
    assert await second.read(values) == {"kept": "1"}
    await second.close()


async def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(InvalidInputError, match="must be sqlite or postgresql"):
        await open_store("mysql://localhost/reeve")


def test_a_newer_schema_and_a_changed_step_are_refused() -> None:
    applied = {step.number: step.sha256 for step in all_migrations()}
    assert outstanding(applied) == []
    with pytest.raises(SchemaError, match="Use the newer reeve"):
        outstanding({**applied, 9999: "x"})
    with pytest.raises(SchemaError, match="was changed"):
        outstanding({**applied, 1: "x"})


def test_statements_end_at_a_semicolon_at_the_end_of_a_line() -> None:
    step = Migration(1, "x", "create table a (id {uuid});\ncreate table b (c text default ';');\n")
    assert step.statements({"uuid": "text"}) == [
        "create table a (id text)",
        "create table b (c text default ';')",
    ]


async def test_a_suspended_transaction_is_an_error_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    store = await open_store(sqlite_url)

    async def sleeping(tx: Transaction) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="other than its own statements"):
        await store.write(sleeping)
    await store.close()


async def test_closed_refuses(database_url: str) -> None:
    store = await open_store(database_url)
    await store.close()
    with pytest.raises(UnavailableError, match="stopping"):
        await store.write(values)


async def test_a_full_disk_fails_the_commit_and_stores_nothing_of_it(sqlite_url: str) -> None:
    store = await open_store(sqlite_url)
    assert isinstance(store, SqliteStore)
    pages = await store.read(lambda tx: tx.fetchval("pragma page_count"))
    store._writer.execute(f"pragma max_page_count = {pages + 2}")
    big = "x" * 1_000_000
    asked = [
        store.write(partial(set_value, key=f"{n}", value=value)) for n, value in enumerate(("1", big, "2"))
    ]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(outcomes[1], UnavailableError)
    assert "full" in str(outcomes[1])
    kept = {str(n) for n, outcome in enumerate(outcomes) if outcome is None}
    assert set(await store.read(values)) == kept
    store._writer.execute("pragma max_page_count = 1000000")
    await store.write(partial(set_value, key="big", value=big))
    assert set(await store.read(values)) == {*kept, "big"}
    await store.close()


async def test_who_waits_longest_for_a_topic_goes_along_with_the_transaction_that_wakes_it(
    sqlite_url: str,
) -> None:
    store = await open_store(sqlite_url)
    heard: asyncio.Queue[str] = asyncio.Queue()
    store.listen(heard.put_nowait)

    async def failing(tx: Transaction) -> None:
        tx.wake("topic")
        raise LookupError

    async def waking(tx: Transaction) -> None:
        await set_value(tx, "host", "1")
        tx.wake("topic")

    async def joining(tx: Transaction) -> dict[str, str]:
        await set_value(tx, "guest", "1")
        tx.wake("told")
        return await values(tx)

    with (
        store.along("topic", joining) as first,
        store.along("topic", joining) as second,
        store.along("other", joining) as stranger,
    ):
        with pytest.raises(LookupError):
            await store.write(failing)
        await store.write(waking)
        assert await first.value() == {"guest": "1", "host": "1"}
        assert await second.value() is None
        assert await stranger.value() is None
    assert [heard.get_nowait(), heard.get_nowait()] == ["topic", "told"]
    assert await store.read(values) == {"guest": "1", "host": "1"}
    await store.close()


async def test_who_goes_along_and_fails_takes_nobody_with_it(sqlite_url: str) -> None:
    store = await open_store(sqlite_url)
    assert isinstance(store, SqliteStore)

    async def waking(tx: Transaction, key: str) -> None:
        await set_value(tx, key, "1")
        tx.wake("topic")

    async def joining(tx: Transaction, key: str, value: str) -> dict[str, str]:
        await set_value(tx, key, value)
        return await values(tx)

    with store.along("topic", partial(joining, key="host", value="2")) as ride:
        await store.write(partial(waking, key="host"))
        assert await ride.value() is None
    assert await store.read(values) == {"host": "1"}

    pages = await store.read(lambda tx: tx.fetchval("pragma page_count"))
    store._writer.execute(f"pragma max_page_count = {pages + 2}")
    with store.along("topic", partial(joining, key="big", value="x" * 1_000_000)) as ride:
        with pytest.raises(UnavailableError, match="full"):  # the disk is: SQLite undoes all of it
            await store.write(partial(waking, key="second"))
        assert await ride.value() is None
    assert await store.read(values) == {"host": "1"}
    await store.close()


async def test_on_postgresql_nobody_goes_along(postgres_url: str) -> None:
    store = await open_store(postgres_url)

    async def waking(tx: Transaction) -> None:
        tx.wake("topic")

    with store.along("topic", values) as ride:
        await store.write(waking)
        assert await ride.value() is None
    await store.close()


async def test_plans_are_not_compiled(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    try:
        assert await store.read(lambda tx: tx.fetchval("show jit")) == "off"
    finally:
        await store.close()


async def test_another_server_hears_all_topics_once_and_so_do_we(postgres_url: str) -> None:
    """Also those of the last commit before the server stops, and more than one notification has room for."""
    here, there = await open_store(postgres_url), await open_store(postgres_url)
    topics = [f"topic {number} {'x' * 40}" for number in range(400)]
    heard_here: list[str] = []
    heard_there: list[str] = []
    all_there = asyncio.Event()

    def hear(topic: str) -> None:
        heard_there.append(topic)
        if len(heard_there) == len(topics):
            all_there.set()

    here.listen(heard_here.append)
    there.listen(hear)

    async def waking(tx: Transaction) -> None:
        for topic in topics:
            tx.wake(topic)

    try:
        await here.write(waking)
        assert heard_here == topics
        await here.close()
        await asyncio.wait_for(all_there.wait(), 10)
        assert heard_there == topics
        assert heard_here == topics
    finally:
        await there.close()


async def test_what_waits_is_written_in_its_order(store: Store) -> None:
    """On PostgreSQL it goes with other statements where it is of few rows, and by itself where of many."""
    insert = "insert into events (id, at, kind, payload) values ($1, $2, $3, $4)"

    async def write(tx: Transaction, count: int) -> None:
        for number in range(count):
            tx.later(insert, uuid4(), number, f"{count}", "{}")
        tx.later("insert into installation (key, value) values ($1, $2)", f"{count}", "1")
        tx.later("delete from installation where key = $1", "1")

    for count in (1, 2, 3, 5):
        await store.write(partial(write, count=count))
    found = await store.read(lambda tx: tx.fetch("select kind, at from events order by cursor"))
    assert [(row["kind"], row["at"]) for row in found] == [
        (f"{count}", number) for count in (1, 2, 3, 5) for number in range(count)
    ]
    assert await store.read(values) == {"2": "1", "3": "1", "5": "1"}


async def test_short_lists_and_long_ones_mean_the_same(store: Store) -> None:
    ids = [uuid4() for _ in range(10)]
    which = "id = any($1::uuid[]) and (kind = any($2::text[]) or id = any($3::uuid[]))"
    sql = f"select id from events where {which}"

    async def write(tx: Transaction) -> None:
        for each in ids:
            await tx.execute("insert into events (id, at, kind, payload) values ($1, 0, $2, '{}')", each, "k")

    async def asked(tx: Transaction, args: tuple[list[Any], ...]) -> list[Row]:
        return await tx.fetch(sql, *args)

    await store.write(write)
    for first in (ids[:count] for count in range(11)):
        for kinds, third in (([], ids[:1]), (["k"], []), ([], ids[1:]), ([], ids[4:7])):
            found = await store.read(partial(asked, args=(first, kinds, third)))
            assert {UUID(str(row["id"])) for row in found} == {
                each for each in first if "k" in kinds or each in third
            }
