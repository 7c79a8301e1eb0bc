"""PostgreSQL: N servers on one database.

Differs by necessity: connections are many and remote, so they are pinned and lent out, each statement is a
round trip, the clock is the database's, and other servers hear of wake-ups by LISTEN/NOTIFY.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import uuid4

try:
    import asyncpg
except ImportError as error:
    from reeve.errors import ReeveError

    raise ReeveError("PostgreSQL needs asyncpg. Install it with: pip install 'reeve[postgres]'") from error

import msgspec

from reeve.errors import ConflictError, UnavailableError
from reeve.server.storage.dialects.base import (
    IntegrityError,
    Kept,
    Listener,
    Patient,
    Read,
    Ride,
    Row,
    Transaction,
)
from reeve.server.storage.migrations import VERSIONS_TABLE, outstanding

T = TypeVar("T")

TYPES = {"uuid": "uuid", "json": "jsonb", "serial": "bigint generated always as identity primary key"}
CONNECTIONS = 8  # pinned: asyncpg's own pool costs two thirds of the throughput (libraries.md §4)
SHORT = 64  # ids in a list, up to which they are looked up one by one
CHANNEL = "reeve"
MIGRATION_LOCK = 0x7265657665  # "reeve": one server migrates, the others wait
SERVING_LOCK = MIGRATION_LOCK + 1  # shared by all servers; held alone by who needs that none runs
NOTIFY = "select pg_notify($1, told) from unnest($2::text[]) told"
NOTIFIED_BYTES = 7_000  # of topics in one notification, which PostgreSQL limits to 8,000
GATHER_SECONDS = 0.02  # between two notifications: what is committed meanwhile goes in one
PATIENCE_SECONDS = 0.1  # for which topics wait that are in no hurry, until others are told
FAREWELL_SECONDS = 1.0  # for what is still to be told when a server stops
EXPLAIN = "explain (analyze, buffers, timing off, format json)"
TRIES = 5  # of a transaction that lost against another one
LISTEN_RETRY_SECONDS = 1.0

# Losing a race (serialization, deadlock) is repeated here; anything else is the caller's.
RACES = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, OSError)


class PostgresTransaction(Kept):
    """A transaction on one lent connection."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        super().__init__()
        self._connection = connection
        self._now: datetime | None = None

    async def now(self) -> datetime:
        if self._now is None:
            self._note_time(await self._connection.fetchval("select clock_timestamp()"))
        assert self._now is not None
        return self._now

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        await self.flush()
        return await self.aside(sql, *args)

    async def aside(self, sql: str, *args: Any) -> list[Row]:
        return list(await self._connection.fetch(of_ids(sql, args), *args))

    async def several(self, *reads: Read) -> list[list[Row]]:
        await self.flush()
        sql = at_once(tuple((sql, len(args)) for sql, *args in reads))
        names = [await self._names(sql) for sql, *_ in reads]
        found = await self._connection.fetchrow(sql, *(value for _, *args in reads for value in args))
        assert found is not None
        now, *all_ = found
        self._note_time(now)
        return [
            [dict(zip(columns, row, strict=True)) for row in rows]
            for columns, rows in zip(names, all_, strict=True)
        ]

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        await self.flush()
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        await self.flush()
        return await self._connection.fetchval(sql, *args)

    async def pages(self, sql: str, *args: Any) -> int:
        await self.flush()
        told: str = await self._connection.fetchval(f"{EXPLAIN} {sql}", *args)
        plan = msgspec.json.decode(told)[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    async def execute(self, sql: str, *args: Any) -> int:
        self.written += 1
        await self.flush()
        status: str = await self._connection.execute(sql, *args)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def executemany(self, sql: str, args: list[tuple[Any, ...]]) -> None:
        self.written += 1
        await self.flush()
        await self._connection.executemany(sql, args)

    async def lock(self, sql: str, *args: Any) -> None:
        await self._locked(sql, args)

    async def locked(self, sql: str, *args: Any) -> list[Row]:
        await self.flush()
        return await self._locked(sql, args)

    async def _locked(self, sql: str, args: tuple[Any, ...]) -> list[Row]:
        # The clock is read when the rows are locked, and costs no round trip of its own.
        sql = f"select l.*, clock_timestamp() as now_ from ({of_ids(sql, args)}) l"
        found = await self._connection.fetch(sql, *args)
        if found:
            self._note_time(found[-1]["now_"])
        return list(found)

    def _note_time(self, now: datetime) -> None:
        if self._now is None:
            self._now = now.astimezone(UTC)

    async def flush(self) -> None:
        """Run what could wait until now, in one round trip."""
        if not self._later and not self.changed:
            return
        waiting = sorted(self._waiting(), key=lambda one: one[0])  # the same statements make the same text
        parts: list[tuple[str, tuple[str, ...] | None, int]] = []
        values: list[Any] = []
        for sql, rows in waiting:
            if len(rows) == 1:
                parts.append((sql, None, len(rows[0])))
                values += rows[0]
            else:
                parts.append((sql, await self._types(sql), len(rows[0])))
                values += map(list, zip(*rows, strict=True))
        await self._connection.fetch(together(tuple(parts)), *values)

    async def _names(self, sql: str) -> tuple[str, ...]:
        """Return the columns of a statement's rows, for which the database is asked once."""
        if sql not in NAMES:
            statement = await self._connection.prepare(sql)
            NAMES[sql] = tuple(attribute.name for attribute in statement.get_attributes())
        return NAMES[sql]

    async def _types(self, sql: str) -> tuple[str, ...]:
        """Return the types of a statement's parameters, for which the database is asked once."""
        if sql not in TYPES_OF:
            statement = await self._connection.prepare(sql)
            TYPES_OF[sql] = tuple(parameter.name for parameter in statement.get_parameters())
        return TYPES_OF[sql]


NAMES: dict[str, tuple[str, ...]] = {}
TYPES_OF: dict[str, tuple[str, ...]] = {}


def of_ids(sql: str, args: tuple[Any, ...]) -> str:
    """Return a statement about lists of ids, none of which is long, with one plan for all their lengths.

    PostgreSQL keeps a plan that is no dearer than those it made for the very values: a list of unknown length
    counts as ten, so that a statement about one or two would be planned anew each time, which costs more than
    it. What a subquery gives is unknown each time. And for ten rows it would read all of a table that was
    small when the plan was made: so it is made to believe that there is one.
    """
    if any(type(value) is list and len(value) > SHORT for value in args):
        return sql
    return _of_ids(sql)


@lru_cache(maxsize=1024)
def _of_ids(sql: str) -> str:
    one = r"(\1 = any((select $\2::uuid[])::uuid[]) and \1::text = \1::text || '')"
    return re.sub(r"([\w.]+) = any\(\$(\d+)::uuid\[\]\)", one, sql)


@lru_cache(maxsize=256)
def at_once(reads: tuple[tuple[str, int], ...]) -> str:
    """Return one statement whose row has the time, and the rows of each of these, of so many parameters."""
    parts, place = [], 0
    for sql, parameters in reads:
        rows = _moved(_of_ids(sql), place)
        parts.append(f"array(select row(q.*) from ({rows}) q)")
        place += parameters
    return f"select clock_timestamp(), {', '.join(parts)}"


@lru_cache(maxsize=512)
def together(statements: tuple[tuple[str, tuple[str, ...] | None, int], ...]) -> str:
    """Return one statement that does what these do.

    Of each it is told the types of its parameters, if these are lists, for as many rows as they have values;
    and how many parameters there are.
    """
    parts, place = [], 0
    for sql, types, parameters in statements:
        parts.append(_moved(sql if types is None else _of_lists(sql, types), place))
        place += parameters
    if len(parts) == 1:
        return parts[0]
    named = ", ".join(f"w{number} as ({part})" for number, part in enumerate(parts))
    return f"with {named} select 1"


def _of_lists(sql: str, types: tuple[str, ...]) -> str:
    """Return a statement that does for lists of values what ``sql`` does for one value of each.

    An insertion of several rows stays one, so that they are numbered in their order.
    """
    numbers = range(1, len(types) + 1)
    lists = ", ".join(f"${number}::{type_}[]" for number, type_ in zip(numbers, types, strict=True))
    rows = f"unnest({lists}) as v({', '.join(f'p{number}' for number in numbers)})"
    word = sql.split(None, 1)[0]
    if word == "insert":
        head, _, values = sql.partition("values ")
        return f"{head} select {_named(values.strip()[1:-1])} from {rows}"
    if word == "delete":
        return re.sub(r"= \$1\b", f"= any((select $1::{types[0]}[])::{types[0]}[])", sql)
    head, _, where = sql.partition(" where ")
    # What unnest gives counts as ten rows; as in ``of_ids`` it is to be one.
    one = f"(select * from {rows} where p1::text = p1::text || '') v"
    return f"{_named(head)} from {one} where {_named(where)}"


def _named(sql: str) -> str:
    return re.sub(r"\$(\d+)", r"v.p\1", sql)


def _moved(sql: str, by: int) -> str:
    """Return a statement whose parameters have higher numbers."""
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + by}", sql)


class PostgresStore:
    """The store on a PostgreSQL database."""

    name = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: asyncio.LifoQueue[asyncpg.Connection[Any] | None] = asyncio.LifoQueue()
        for _ in range(CONNECTIONS):
            self._free.put_nowait(None)  # opened when first lent
        self._id = uuid4().hex
        self._listeners: list[Listener] = []
        self._untold: dict[str, None] = {}  # topics that the other servers are to hear of
        self._news = asyncio.Event()
        self._patience: asyncio.TimerHandle | None = None
        self._told = asyncio.Event()
        self._told.set()
        self._listening: asyncio.Task[None] | None = None
        self._alone: asyncpg.Connection[Any] | None = None
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, alone: bool) -> PostgresStore:
        """Connect, migrate, and start to listen; ``alone``: have it without any server, and hear nothing."""
        store = cls(url)
        async with store._lent() as connection, connection.transaction():
            await _migrate(connection)
        if alone:
            await store._exclude_servers()
            return store
        heard = asyncio.Event()
        store._listening = asyncio.create_task(store._listen(heard), name="reeve-postgres-listener")
        await heard.wait()
        return store

    async def write(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        for left in reversed(range(TRIES)):
            try:
                return await self._transact(body)
            except RACES as error:
                if not left:
                    raise UnavailableError(
                        "Too many transactions wanted the same rows; try again."
                    ) from error
        raise AssertionError

    async def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._lent() as connection, _translated():
            return await body(PostgresTransaction(connection))

    @contextlib.contextmanager
    def along(self, topic: str, body: Callable[[Transaction], Awaitable[T]]) -> Iterator[Ride[T]]:  # noqa: ARG002
        yield Ride()

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._listening:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), FAREWELL_SECONDS)
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        if self._alone:
            await self._alone.close()
        for _ in range(CONNECTIONS):
            connection = await self._free.get()
            if connection and not connection.is_closed():
                await connection.close()

    async def _transact(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._lent() as connection, _translated():
            transaction = PostgresTransaction(connection)
            await connection.execute("begin")  # asyncpg's own transactions cost half as much again
            try:
                value = await body(transaction)
                await transaction.flush()
            except asyncio.CancelledError:
                raise  # the connection is given up
            except BaseException:
                await connection.execute("rollback")
                raise
            await connection.execute("commit")
        self._wake(dict.fromkeys(transaction.topics))
        return value

    def _wake(self, topics: dict[str, None]) -> None:
        """Wake who listens here, and have the other servers told."""
        for topic in topics:
            self._notify(topic)
        if topics and self._listening:
            self._untold.update(topics)
            self._told.clear()
            if not all(isinstance(topic, Patient) for topic in topics):
                self._news.set()
            elif self._patience is None:
                self._patience = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._news.set)

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        if self._closed:
            raise UnavailableError("The server is stopping.")
        connection = await self._free.get()
        try:
            if connection is None or connection.is_closed():
                connection = await self._connected()
            yield connection
        except asyncio.CancelledError:
            # A poll whose agent was killed, amid BEGIN or COMMIT: nobody knows what is open on it.
            if connection is not None:
                connection.terminate()
            raise
        finally:
            self._free.put_nowait(connection)

    async def _connected(self) -> asyncpg.Connection[Any]:
        """Connect, without JIT: where millions wait our plans look dear, and compiling one takes a second."""
        try:
            connection = await asyncpg.connect(self._url, statement_cache_size=1024, timeout=10)
            try:
                await connection.execute("set jit = off")
            except BaseException:  # cancelled, for instance: nobody else knows of it
                connection.terminate()
                raise
        except (*LOST, asyncpg.PostgresError, TimeoutError) as error:
            raise UnavailableError(f"PostgreSQL cannot be reached: {error}") from error
        return connection

    async def _exclude_servers(self) -> None:
        self._alone = await self._connected()
        if not await self._alone.fetchval("select pg_try_advisory_lock($1)", SERVING_LOCK):
            await self.close()
            raise ConflictError("A reeve server is using this database. Stop all of its servers first.")

    async def _listen(self, heard: asyncio.Event) -> None:
        """Keep one connection listening, for ever; what was missed meanwhile, the pollers' timers find."""
        while True:
            connection = None
            try:
                connection = await self._connected()
                connection.add_termination_listener(lambda *_: self._news.set())
                await connection.add_listener(CHANNEL, lambda *args: self._hear(str(args[-1])))
                await connection.execute(f"select pg_advisory_lock_shared({SERVING_LOCK})")
                # What this connection commits are notifications, which nobody keeps.
                await connection.execute("set synchronous_commit = off")
                heard.set()
                if self._untold:  # since the last connection was lost
                    self._news.set()
                while not connection.is_closed():
                    await self._tell(connection)
            except (UnavailableError, asyncpg.PostgresError, *LOST):
                await asyncio.sleep(LISTEN_RETRY_SECONDS)
            finally:
                if connection and not connection.is_closed():
                    connection.terminate()

    async def _tell(self, connection: asyncpg.Connection[Any]) -> None:
        """Tell the other servers what is to be told, as soon as there is something.

        In a transaction that notifies, COMMIT waits for all others that do, and for the disk with each.
        """
        await self._news.wait()
        self._news.clear()
        if self._patience:
            self._patience.cancel()
            self._patience = None
        topics = [*self._untold]
        if topics:
            await connection.fetch(NOTIFY, CHANNEL, [f"{self._id}\n{part}" for part in _parts(topics)])
            for topic in topics:
                del self._untold[topic]
            if not self._untold:
                self._told.set()
            await asyncio.sleep(GATHER_SECONDS)

    def _hear(self, told: str) -> None:
        teller, *topics = told.split("\n")
        if teller != self._id:
            for topic in topics:
                self._notify(topic)

    def _notify(self, topic: str) -> None:
        for listener in self._listeners:
            listener(topic)


def _parts(topics: list[str]) -> list[str]:
    """Return the topics in lines, in as few texts as notifications have room for."""
    parts = [""]
    for topic in topics:
        if len(parts[-1]) + len(topic) > NOTIFIED_BYTES:
            parts.append("")
        parts[-1] += f"\n{topic}" if parts[-1] else topic
    return parts


async def _migrate(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute(f"select pg_advisory_xact_lock({MIGRATION_LOCK})")
    await connection.execute(VERSIONS_TABLE)
    rows = await connection.fetch("select n, sha256 from schema_version")
    for step in outstanding({row["n"]: row["sha256"] for row in rows}):
        for statement in step.statements(TYPES):
            await connection.execute(statement)
        await connection.execute(
            "insert into schema_version"
            " values ($1, $2, (extract(epoch from clock_timestamp()) * 1000000)::bigint)",
            step.number,
            step.sha256,
        )


@contextlib.asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError from error
    except LOST as error:
        if isinstance(error, ValueError):  # asyncpg's word for a parameter of a wrong type: a bug of ours
            raise
        raise UnavailableError(f"PostgreSQL went away: {error}. Repeat the request.") from error
    except asyncpg.PostgresError as error:
        if error.sqlstate and error.sqlstate.startswith(("53", "57", "58")):  # full, shut down, I/O
            raise UnavailableError(f"PostgreSQL could not answer: {error}") from error
        raise
