"""What the journal remembers, and that it groups its commits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from reeve.agent.journal import Entry, Journal, JournalError
from reeve.wire.requests import Exited, Launched


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    journal = Journal.open(path)
    yield journal
    await journal.close()


def entry(number: int = 1) -> Entry:
    return Entry(attempt_id=uuid4(), grant_number=number, flow_run_id=uuid4(), token="t", grace_seconds=5.0)


async def reread(path: Path) -> tuple[list[Entry], tuple[int, int]]:
    """Return what the next process of the agent would find."""
    journal = Journal.open(path)
    try:
        return journal.entries(), journal.acknowledged()
    finally:
        await journal.close()


async def test_an_attempt_is_remembered_from_claim_to_settlement(journal: Journal, path: Path) -> None:
    one = entry()
    await journal.registered(4, 0)
    await journal.claimed([one], 1)
    assert await reread(path) == ([one], (4, 1))

    one.handle = {"pid": 7, "name": "ü"}
    one.shipped = {"stdout": 3, "stderr": 4, "records": 5}
    one.reports = [
        Launched(seq=1, handle=one.handle, infrastructure_pid="h:7"),
        Exited(seq=2, exit_code=3, cause="exited with code 3"),
    ]
    await journal.shipped(one)
    for report in one.reports:
        await journal.reported(one, report)
    assert (await reread(path))[0] == [one]

    await journal.settled([one.attempt_id])
    assert await reread(path) == ([], (4, 1))


async def test_repeats_change_nothing(journal: Journal, path: Path) -> None:
    one = entry(5)
    report = Exited(seq=1, exit_code=0, cause="exited with code 0")
    for _ in range(2):
        await journal.claimed([one], 5)
        await journal.reported(one, report)
    await journal.claimed([], 3)
    one.reports = [report]
    assert await reread(path) == ([one], (0, 5))


async def test_a_report_of_a_settled_attempt_leaves_nothing(journal: Journal, path: Path) -> None:
    one = entry()
    await journal.claimed([one], 1)
    await journal.settled([one.attempt_id])
    await journal.reported(one, Exited(seq=1, cause="late"))
    await journal.claimed([one], 1)
    assert (await reread(path))[0] == [one]


async def test_what_is_asked_for_at_once_shares_its_commits(path: Path) -> None:
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement.lower().startswith("commit")

    journal = Journal.open(path)
    journal._connection.set_trace_callback(count)
    await asyncio.gather(*(journal.claimed([entry(n)], n) for n in range(50)))
    await journal.close()
    assert commits <= 2
    entries, acknowledged = await reread(path)
    assert (len(entries), acknowledged) == (50, (0, 49))


async def test_who_does_not_wait_for_a_write_does_not_spoil_it(journal: Journal, path: Path) -> None:
    impatient = asyncio.ensure_future(journal.claimed([entry(1)], 1))
    await asyncio.sleep(0)
    impatient.cancel()
    await journal.claimed([entry(2)], 2)
    assert len((await reread(path))[0]) == 2


async def test_a_write_that_fails_is_told_and_the_next_one_goes_on(journal: Journal, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    journal._connection.execute("pragma busy_timeout = 0")
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.claimed([entry(1)], 1)
    other.execute("rollback")
    other.close()
    await journal.claimed([entry(2)], 2)
    assert [one.grant_number for one in (await reread(path))[0]] == [2]


async def test_what_is_written_may_begin_and_is_answered_when_it_is_on_disk(
    journal: Journal, path: Path
) -> None:
    begun: list[list[int]] = []

    def begin() -> None:
        other = sqlite3.connect(path)  # another process would find it
        begun.append([row[0] for row in other.execute("select grant_number from attempts")])
        other.close()

    wal, journal._wal = journal._wal, -1  # a disk that fails
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.claimed([entry(1)], 1, begin)
    assert begun == [[1]]
    journal._wal = wal
    await journal.claimed([entry(2)], 2)


async def test_what_was_written_long_ago_takes_no_room(journal: Journal, path: Path) -> None:
    one = entry()
    await journal.claimed([one], 1)
    for number in range(40):
        await journal.reported(one, Exited(seq=number, cause="x" * 100_000))
        assert path.with_name("journal.db-wal").stat().st_size < 2_000_000
    assert len(journal.entries()[0].reports) == 40


def test_a_damaged_journal_is_refused_with_the_remedy(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(JournalError, match="remove it"):
        Journal.open(path)


OF_VERSION_1 = """
create table attempts (id text primary key, grant_number integer not null, flow_run_id text not null,
    token text not null, grace_seconds real not null, handle text, stdout integer not null,
    stderr integer not null) without rowid;
create table reports (attempt_id text not null, seq integer not null, body blob not null,
    primary key (attempt_id, seq)) without rowid;
create table server (epoch integer not null, acked_grant integer not null);
insert into server values (3, 2);
insert into attempts values ('9a3bb0ec-6f3e-4a04-8d7e-0d7ce4ea0a4f', 2,
    '6f9619ff-8b86-4011-b42d-00c04fc964ff', 't', 5.0, null, 3, 4);
pragma user_version = 1;
"""


async def test_the_journal_of_an_older_agent_is_taken_up(path: Path) -> None:
    older = sqlite3.connect(path)
    older.executescript(OF_VERSION_1)
    older.close()
    (one,), acknowledged = await reread(path)
    assert one.shipped == {"stdout": 3, "stderr": 4, "records": 0}
    assert acknowledged == (3, 2)


def test_a_journal_of_a_later_release_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("pragma user_version = 99")
    other.close()
    with pytest.raises(JournalError, match="later release"):
        Journal.open(path)


async def test_entries_come_in_the_order_of_their_grants(journal: Journal) -> None:
    entries = [entry(number) for number in (3, 1, 2)]
    await journal.claimed(entries, 3)
    assert [one.grant_number for one in journal.entries()] == [1, 2, 3]
    assert all(isinstance(one.attempt_id, UUID) for one in journal.entries())


async def test_what_cannot_be_written_at_all_is_told_and_holds_up_nothing(
    journal: Journal, path: Path
) -> None:
    odd, one = entry(1), entry(2)
    odd.token = "\ud800"  # no text to SQLite
    async with asyncio.timeout(30):
        with pytest.raises(JournalError):
            await journal.claimed([odd], 1)
        await journal.claimed([one], 2)
    assert await reread(path) == ([one], (0, 2))
