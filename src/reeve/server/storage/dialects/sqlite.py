"""SQLite: one file, one writer, no set-up.

Differs by necessity: a file has one writer at a time, so one thread owns the writing connection, and the
transactions that arrive while a commit is under way join the next one, each in a savepoint (protocol §10).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import re
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import msgspec

from reeve import clock
from reeve.errors import ConflictError, ReeveError, UnavailableError
from reeve.server.storage.dialects.base import (
    IntegrityError,
    Kept,
    Listener,
    Read,
    Ride,
    Row,
    Transaction,
)
from reeve.server.storage.migrations import VERSIONS_TABLE, outstanding

T = TypeVar("T")

OLDEST = (3, 38, 0)  # JSON functions built in, RETURNING
TYPES = {"uuid": "text", "json": "text", "serial": "integer primary key autoincrement"}
JOINED = 64  # transactions that one commit takes along (libraries.md §4)
READERS = 2
PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    "busy_timeout = 10000",
    "temp_store = memory",  # also what a savepoint keeps, which beyond 64 KiB would go to a file
)

# What the planner takes for granted: a house of a million runs. Nobody has it count, for ANALYZE reads all.
# What it is not told has ten rows to any value, and it reads the runs of a state for those of a queue.
# Each says the rows of an index, of a value of its first column, of its first two (sqlite.org, fileformat2).
SHARES = {
    ("flow_runs", "flow_runs_by_state"): "1000000 200000 2",
    ("flow_runs", "flow_runs_by_deployment"): "1000000 10000 2000 1",
    ("flow_runs", "flow_runs_due"): "40000 1000 2 1",
    ("flow_runs", "flow_runs_to_be_late"): "20000 20000 2",
    ("flow_runs", "sqlite_autoindex_flow_runs_2"): "1000000 10000 1",  # flow_id, idempotency_key
    ("deployment_options", "sqlite_autoindex_deployment_options_1"): "100 1",
    ("deployment_options", "deployment_options_limited"): "10 1",
}

# PostgreSQL's words in our statements, and what SQLite has instead.
REWRITES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A list parameter comes as JSON text: SQLite has no arrays.
    (re.compile(r"= any\(\$(\d+)::\w+\[\]\)"), r"in (select value from json_each($\1))"),
    (re.compile(r"<> all\(\$(\d+)::\w+\[\]\)"), r"not in (select value from json_each($\1))"),
    # Containment of JSON arrays of text.
    (
        re.compile(r"([\w.]+) @> \$(\d+)::jsonb"),
        r"not exists (select 1 from json_each($\2) w where w.value not in (select value from json_each(\1)))",
    ),
    # The one writer is the lock.
    (re.compile(r"\bfor (?:no key )?update(?: of \w+(?:, \w+)*)?(?: skip locked)?"), ""),
    # Affinity does what casts do.
    (re.compile(r"::\w+"), ""),
    # LIKE ignores the case of ASCII letters here.
    (re.compile(r"\bilike\b"), "like"),
    (re.compile(r"\$(\d+)"), r"?\1"),
)


def render(sql: str) -> str:
    """Return a statement of ours as SQLite understands it."""
    for pattern, replacement in REWRITES:
        sql = pattern.sub(replacement, sql)
    return sql


class _Statement:
    """A statement as SQLite understands it, and its parameters as it takes them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.adapted = _adapted_lists if "json_each(" in text else _adapted
        self._names: tuple[str, ...] | None = None

    def names(self, cursor: sqlite3.Cursor) -> tuple[str, ...]:
        """Return the columns of its rows: they are no others the next time, and dear to ask for."""
        if self._names is None:
            self._names = tuple(column[0] for column in cursor.description)
        return self._names


class SqliteTransaction(Kept):
    """A transaction on one connection; its awaitables never suspend."""

    def __init__(self, connection: sqlite3.Connection, statements: dict[str, _Statement]) -> None:
        super().__init__()
        self._connection = connection
        self._statements = statements
        self._now: datetime | None = None

    async def now(self) -> datetime:
        if self._now is None:
            self._now = clock.now()
        return self._now

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        cursor, rows = self._rows(sql, args)
        if not rows:
            return []
        # sqlite3.Row looks for each column among all of them: half of what reading a run would cost.
        names = self._statement(sql).names(cursor)
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def aside(self, sql: str, *args: Any) -> list[Row]:
        """Read as any other statement: what waits costs the same now or later."""
        return await self.fetch(sql, *args)

    async def several(self, *reads: Read) -> list[list[Row]]:
        """Read one after the other: there is no way to the database that could be saved."""
        return [await self.fetch(*read) for read in reads]

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        cursor, rows = self._rows(sql, args)
        if not rows:
            return None
        return dict(zip(self._statement(sql).names(cursor), rows[0], strict=True))

    async def fetchval(self, sql: str, *args: Any) -> Any:
        _, rows = self._rows(sql, args)
        return rows[0][0] if rows else None

    async def pages(self, sql: str, *args: Any) -> int:  # noqa: ARG002  # what is deleted is gone at once
        return 0

    async def execute(self, sql: str, *args: Any) -> int:
        self.written += 1
        return self._rows(sql, args)[0].rowcount

    async def executemany(self, sql: str, args: list[tuple[Any, ...]]) -> None:
        self.written += 1
        self.flush()
        self._run_many(sql, args)

    async def lock(self, sql: str, *args: Any) -> None:
        """Do nothing: the one writer is the lock."""

    async def locked(self, sql: str, *args: Any) -> list[Row]:
        """Read: the one writer is the lock."""
        return await self.fetch(sql, *args)

    def flush(self) -> None:
        """Run what could wait until now."""
        for sql, args in self._waiting():
            self._run_many(sql, args)

    def _run_many(self, sql: str, args: list[tuple[Any, ...]]) -> None:
        statement = self._statement(sql)
        try:
            self._connection.executemany(statement.text, map(statement.adapted, args))
        except sqlite3.Error as error:
            _raise(error)

    def _rows(self, sql: str, args: tuple[Any, ...]) -> tuple[sqlite3.Cursor, list[tuple[Any, ...]]]:
        if self._later or self.changed:
            self.flush()
        statement = self._statement(sql)
        try:
            cursor = self._connection.execute(statement.text, statement.adapted(args))
            return cursor, cursor.fetchall()
        except sqlite3.Error as error:
            _raise(error)

    def _statement(self, sql: str) -> _Statement:
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = _Statement(render(sql))
        return statement


@dataclass(slots=True)
class _Job:
    """A transaction that waits for the writer, and what became of it."""

    body: Callable[[Transaction], Awaitable[Any]]
    future: asyncio.Future[Any]
    topics: list[str] = field(default_factory=list)
    value: Any = None
    error: BaseException | None = None


class _Rides:
    """Who waits for a transaction to go along with, by topic: the writer takes whom the loop has added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[int, _Job]] = {}

    def add(self, topic: str, job: _Job) -> None:
        with self._lock:
            self._waiting.setdefault(topic, {})[id(job)] = job

    def remove(self, topic: str, job: _Job) -> bool:
        """Have it wait no longer; False: it was taken before."""
        with self._lock:
            return self._pop(topic, id(job)) is not None

    def take(self, topic: str) -> _Job | None:
        """Return who waits longest."""
        with self._lock:
            waiting = self._waiting.get(topic)
            return self._pop(topic, next(iter(waiting))) if waiting else None

    def _pop(self, topic: str, key: int) -> _Job | None:
        waiting = self._waiting.get(topic, {})
        job = waiting.pop(key, None)
        if not waiting:
            self._waiting.pop(topic, None)
        return job


class _Ride(Ride[T]):
    def __init__(self, rides: _Rides, topic: str, job: _Job) -> None:
        self._rides = rides
        self._topic = topic
        self._job = job

    async def value(self) -> T | None:
        if self._rides.remove(self._topic, self._job):
            return None
        try:
            return cast("T", await self._job.future)
        except ReeveError:  # whoever wants it asks for itself, and hears why not
            return None


class SqliteStore:
    """The store on one SQLite file."""

    name = "sqlite"

    def __init__(self, path: Path, lock: int, writer: sqlite3.Connection) -> None:
        self._path = path
        self._lock = lock
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._statements: dict[str, _Statement] = {}
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._rides = _Rides()
        self._listeners: list[Listener] = []
        self._thread = threading.Thread(target=self._work, name="reeve-sqlite-writer", daemon=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reeve-sqlite-reader")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Lock the file, create or migrate it, and start the writer."""
        if sqlite3.sqlite_version_info < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise ReeveError(
                f"This Python's SQLite is {sqlite3.sqlite_version}; reeve needs {wanted}. Use a newer Python."
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _locked(path)
        try:
            writer = _connected(path)
            _migrate(writer)
            _tell_shares(writer)
        except BaseException as error:
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                _raise(error)
            raise
        store = cls(path, lock, writer)
        store._thread.start()
        return store

    async def write(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._closed:
            raise UnavailableError("The server is stopping.")
        job = _Job(body, self._loop.create_future())
        self._jobs.put(job)
        return cast("T", await job.future)

    async def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        if self._closed:
            raise UnavailableError("The server is stopping.")
        return await self._loop.run_in_executor(self._readers, self._read, body)

    @contextlib.contextmanager
    def along(self, topic: str, body: Callable[[Transaction], Awaitable[T]]) -> Iterator[Ride[T]]:
        job = _Job(body, self._loop.create_future())
        self._rides.add(topic, job)
        try:
            yield _Ride(self._rides, topic, job)
        finally:
            self._rides.remove(topic, job)
            job.future.cancel()  # nobody is to be told any more

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in [*self._opened, self._writer]:
            connection.close()
        os.close(self._lock)

    # --- the reader threads ---

    def _read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = _connected(self._path)
                connection.execute("pragma query_only = on")
                self._opened.append(connection)
            connection.execute("begin")
            try:
                return _stepped(body(SqliteTransaction(connection, self._statements)))
            finally:
                connection.execute("rollback")
        except sqlite3.Error as error:
            _raise(error)

    # --- the writer thread ---

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job]
            last = False
            while len(batch) < JOINED and not last:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                else:
                    batch.append(following)
            self._commit(batch)
            self._loop.call_soon_threadsafe(self._settle, batch)
            if last:
                return

    def _commit(self, batch: list[_Job]) -> None:
        """Run a batch in one transaction; if that fails as a whole, every member hears of it."""
        try:
            self._writer.execute("begin immediate")
            if len(batch) == 1:
                if not self._ran(batch[0]):
                    self._writer.execute("rollback")
                    return
            else:
                for job in batch:
                    self._run(job)
            self._take_along(batch)
            self._writer.execute("commit")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("rollback")
            for job in batch:
                job.error = _unavailable(error)
                job.topics = []

    def _take_along(self, batch: list[_Job]) -> None:
        """Run who waits for what a batch will wake, as further members of it."""
        for topic in dict.fromkeys(topic for job in batch for topic in job.topics):
            if job := self._rides.take(topic):
                batch.append(job)
                self._run(job)

    def _run(self, job: _Job) -> None:
        """Run one of several in a savepoint, which keeps the pages that it changes as they were."""
        self._writer.execute("savepoint job")
        if not self._ran(job):
            self._writer.execute("rollback to job")
        self._writer.execute("release job")

    def _ran(self, job: _Job) -> bool:
        """Run a member; False when nothing of it is to be kept."""
        transaction = SqliteTransaction(self._writer, self._statements)
        try:
            job.value = _stepped(job.body(transaction))
            transaction.flush()
        except BaseException as error:  # whatever it is, it belongs to the caller
            job.error = error
            if not self._writer.in_transaction:  # a full disk rolls back all of it
                raise sqlite3.OperationalError(str(error)) from error
            return False
        job.topics = transaction.topics
        return True

    def _settle(self, batch: list[_Job]) -> None:
        """Hand out answers and wake-ups, now that the commit has returned."""
        for job in batch:
            if not job.future.done():
                if job.error is None:
                    job.future.set_result(job.value)
                else:
                    job.future.set_exception(job.error)
            for topic in dict.fromkeys(job.topics):
                for listener in self._listeners:
                    listener(topic)


def _stepped(body: Awaitable[T]) -> T:
    """Run a transaction's coroutine to its end: nothing in it may suspend."""
    coroutine = cast("Coroutine[Any, Any, T]", body)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise RuntimeError("a transaction awaited something other than its own statements")


def _adapted(values: tuple[Any, ...]) -> Any:
    return msgspec.to_builtins(values)  # ids as text, in C: a run has a dozen


def _adapted_lists(values: tuple[Any, ...]) -> list[Any]:
    return [
        msgspec.json.encode(value).decode() if isinstance(value, list) else value
        for value in msgspec.to_builtins(values)
    ]


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    for pragma in PRAGMAS:
        connection.execute(f"pragma {pragma}")
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("begin immediate")
    connection.execute(VERSIONS_TABLE)
    applied = dict(connection.execute("select n, sha256 from schema_version").fetchall())
    for step in outstanding(applied):
        for statement in step.statements(TYPES):
            connection.execute(statement)
        at = int(clock.now().timestamp() * 1_000_000)
        connection.execute("insert into schema_version values (?, ?, ?)", (step.number, step.sha256, at))
    connection.execute("commit")


def _tell_shares(connection: sqlite3.Connection) -> None:
    connection.execute("begin immediate")
    connection.execute("analyze schema_version")  # makes the table of statistics, and reads next to nothing
    connection.execute("delete from sqlite_stat1")
    connection.executemany(
        "insert into sqlite_stat1 (tbl, idx, stat) values (?, ?, ?)",
        [(table, index, shares) for (table, index), shares in SHARES.items()],
    )
    connection.execute("commit")
    connection.execute("analyze sqlite_schema")  # reads them


def _locked(path: Path) -> int:
    """Take the file for this process; the kernel lets go of it however the process ends."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode() or "unknown"
        os.close(handle)
        raise ConflictError(
            f"Another reeve server (pid {holder}) is using {path}. Stop it first, choose another database "
            "with --database-url, or use PostgreSQL, which serves several servers."
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _unavailable(error: sqlite3.Error) -> UnavailableError:
    return UnavailableError(f"The database could not commit: {error}. Nothing of this request was stored.")


def _raise(error: sqlite3.Error) -> NoReturn:
    """Raise an error of SQLite's as one of ours."""
    if isinstance(error, sqlite3.IntegrityError):
        raise IntegrityError from error
    if isinstance(error, sqlite3.OperationalError):
        raise _unavailable(error) from error
    raise error
