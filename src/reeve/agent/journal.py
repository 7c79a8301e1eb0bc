"""What the agent must remember over its own death: what it holds, what the server has not heard (design §6).

An attempt's row is written before anything is launched: it is the intent, for this process may die. It is on
disk before the claim is acknowledged, for the machine may die; what was launched has died with it then. The
handle follows the launch, together with the report of it. The row goes when the server has settled the
attempt.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec

from reeve.errors import ReeveError
from reeve.wire.requests import AnyReport, Launched
from reeve.wire.responses import Grant


class JournalError(ReeveError):
    """The agent's journal cannot be written."""

    code = "journal"


STREAMS = ("stdout", "stderr", "records")
# Each step brings a journal from the version that is its place to the next: an older agent's is taken up.
_STEPS = (
    """
create table attempts (
    id text primary key,
    grant_number integer not null,
    flow_run_id text not null,
    token text not null,
    grace_seconds real not null,
    handle text,
    stdout integer not null,
    stderr integer not null
) without rowid;
create table reports (
    attempt_id text not null,
    seq integer not null,
    body blob not null,
    primary key (attempt_id, seq)
) without rowid;
create table server (epoch integer not null, acked_grant integer not null);
insert into server values (0, 0);
""",
    "alter table attempts add column records integer not null default 0;",
)

_LONGEST_WAL = 1 << 20  # bytes

Statement = tuple[str, tuple[Any, ...]]


class Entry(msgspec.Struct, kw_only=True):
    """An attempt that is held. ``handle`` None: it was not launched, as far as the journal knows.

    ``shipped``: the bytes of each stream that the server has. ``reports``: all that were made, oldest first;
    after a restart the server is told again, and drops what it has.
    """

    attempt_id: UUID
    grant_number: int
    flow_run_id: UUID
    token: str
    grace_seconds: float = 30.0
    handle: dict[str, Any] | None = None
    shipped: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    reports: list[AnyReport] = msgspec.field(default_factory=list)


def claimed(grant: Grant) -> Entry:
    """Return the entry of an attempt that was just granted."""
    return Entry(
        attempt_id=grant.attempt_id,
        grant_number=grant.number,
        flow_run_id=grant.run.id,
        token=grant.token,
    )


class _Write(msgspec.Struct):
    statements: list[Statement]
    done: asyncio.Future[None]  # they are on disk
    then: Callable[[], object] | None  # they are written: to be called at once


class Journal:
    """The file, and a thread that brings it to disk: what is asked meanwhile joins the next commit.

    Statements take microseconds and are done at once. In a thread each would wait for Python's lock, twice.
    """

    def __init__(self, connection: sqlite3.Connection, wal: int) -> None:
        self._connection = connection
        self._wal = wal  # the write-ahead log, open: a commit writes it, and the thread brings it to disk
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal at ``path``, made new if there is none; JournalError if it cannot be used."""
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")  # no commit waits for the disk; see _settle
            connection.execute("pragma wal_autocheckpoint = 0")  # see _settle
            connection.execute("pragma cache_size = -256")  # KiB: it holds little, and the agent is small
            _migrate(connection)
            wal = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)  # SQLite takes no locks on it, to be lost
        except (sqlite3.Error, OSError) as error:
            message = (
                f"The agent's journal {path} cannot be used: {error}. If it is damaged, remove it: runs that "
                "were launched are found again all the same."
            )
            raise JournalError(message) from error
        _settle_name(path.parent)
        return cls(connection, wal)

    def entries(self) -> list[Entry]:
        """Return what is held, by grant."""
        columns = "id, grant_number, flow_run_id, token, grace_seconds, handle, stdout, stderr, records"
        rows = self._connection.execute(f"select {columns} from attempts order by grant_number")  # noqa: S608  # a constant
        entries = {row[0]: _entry(row) for row in rows}
        for attempt_id, body in self._connection.execute(
            "select attempt_id, body from reports order by attempt_id, seq"
        ):
            entries[attempt_id].reports.append(msgspec.json.decode(body, type=AnyReport))
        return list(entries.values())

    def acknowledged(self) -> tuple[int, int]:
        """Return the epoch of the last registration, and the highest grant that was acknowledged."""
        epoch, grant = self._connection.execute("select epoch, acked_grant from server").fetchone()
        return epoch, grant

    async def registered(self, epoch: int, acked_grant: int) -> None:
        """Remember a registration."""
        await self._write([("update server set epoch = ?, acked_grant = ?", (epoch, acked_grant))])

    async def claimed(
        self, entries: Sequence[Entry], acked_grant: int, begin: Callable[[], object] | None = None
    ) -> None:
        """Remember grants: they may be launched when ``begin`` is called, and acknowledged on return."""
        insert = "insert into attempts values (?, ?, ?, ?, ?, null, 0, 0, 0) on conflict do nothing"
        rows = [
            (
                insert,
                (str(one.attempt_id), one.grant_number, str(one.flow_run_id), one.token, one.grace_seconds),
            )
            for one in entries
        ]
        acked = ("update server set acked_grant = max(acked_grant, ?)", (acked_grant,))
        await self._write([*rows, acked], begin)

    async def reported(self, entry: Entry, report: AnyReport) -> None:
        """Remember a report until the attempt is settled: the next one's number follows from it.

        With that of a launch, how the attempt is found again and stopped.
        """
        found = [_handle(entry)] if isinstance(report, Launched) else []
        await self._write([*found, _report(entry.attempt_id, report)])

    async def shipped(self, entry: Entry) -> None:
        """Remember how many bytes of each stream the server has."""
        update = "update attempts set stdout = ?, stderr = ?, records = ? where id = ?"
        sizes = (entry.shipped[stream] for stream in STREAMS)
        await self._write([(update, (*sizes, str(entry.attempt_id)))])

    async def settled(self, attempts: Sequence[UUID]) -> None:
        """Forget attempts that are over."""
        keys = [(str(attempt_id),) for attempt_id in attempts]
        await self._write(
            [("delete from attempts where id = ?", key) for key in keys]
            + [("delete from reports where attempt_id = ?", key) for key in keys]
        )

    async def close(self) -> None:
        """Write what is waiting, and close the file; closed twice is fine."""
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()
        if self._wal >= 0:
            os.close(self._wal)
            self._wal = -1
        self._connection.close()

    async def _write(self, statements: list[Statement], then: Callable[[], object] | None = None) -> None:
        """Call ``then`` when statements are written; return when they are on disk. Raises JournalError."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(statements, done, then))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        await done

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                self._commit([one.statements for one in batch])
                for one in batch:
                    if one.then is not None:
                        loop.call_soon(one.then)
                await loop.run_in_executor(self._thread, self._settle)
            except Exception as error:  # noqa: BLE001 - whatever it is, all who wait must hear of it
                outcome: str | None = f"The agent's journal cannot be written: {error}."
            else:
                outcome = None
            for one in batch:
                _tell(one.done, outcome)
        self._writer = None

    def _commit(self, batch: list[list[Statement]]) -> None:
        self._connection.execute("begin immediate")
        try:
            for statements in batch:
                for sql, parameters in statements:
                    self._connection.execute(sql, parameters)
            self._connection.execute("commit")
        except Exception:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def _settle(self) -> None:
        """Bring the write-ahead log to disk; when it has grown, what it holds goes to the file itself."""
        os.fdatasync(self._wal)
        if os.fstat(self._wal).st_size > _LONGEST_WAL:
            self._connection.execute("pragma wal_checkpoint(truncate)")


def _settle_name(directory: Path) -> None:
    """Bring to disk that there are these files, as SQLite would with the first commit."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("pragma user_version").fetchone()
    if version > len(_STEPS):
        raise sqlite3.DatabaseError(f"it is of version {version}, written by a later release of reeve")
    if steps := _STEPS[version:]:
        script = f"begin immediate; {''.join(steps)} pragma user_version = {len(_STEPS)}; commit;"
        connection.executescript(script)


def _tell(done: asyncio.Future[None], problem: str | None) -> None:
    if done.done():  # whoever asked was cancelled
        return
    if problem is None:
        done.set_result(None)
    else:
        done.set_exception(JournalError(problem))


def _handle(entry: Entry) -> Statement:
    handle = None if entry.handle is None else msgspec.json.encode(entry.handle).decode()
    update = "update attempts set handle = ?, grace_seconds = ? where id = ?"
    return update, (handle, entry.grace_seconds, str(entry.attempt_id))


def _report(attempt_id: UUID, report: AnyReport) -> Statement:
    insert = (
        "insert into reports select id, ?, ? from attempts where id = ?"  # none for one that is settled
        " on conflict do nothing"
    )
    return insert, (report.seq, msgspec.json.encode(report), str(attempt_id))


def _entry(row: tuple[Any, ...]) -> Entry:
    attempt_id, grant_number, flow_run_id, token, grace_seconds, handle, *sizes = row
    return Entry(
        attempt_id=UUID(attempt_id),
        grant_number=grant_number,
        flow_run_id=UUID(flow_run_id),
        token=token,
        grace_seconds=grace_seconds,
        handle=None if handle is None else msgspec.json.decode(handle),
        shipped=dict(zip(STREAMS, sizes, strict=True)),
    )
