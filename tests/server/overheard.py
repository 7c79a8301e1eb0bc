"""A store whose statements a test hears before they are run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, cast
from uuid import UUID

from reeve.server.storage.dialects.base import Change, Ride
from reeve.server.storage.store import Store, Transaction

Hear = Callable[[Transaction, str, tuple[Any, ...]], Awaitable[None]]


class Overheard:
    """A store that tells of each statement, its transaction and arguments; of many alike, of the first."""

    def __init__(self, store: Store, hear: Hear) -> None:
        self._store = store
        self._hear = hear

    async def read(self, body: Callable[[Transaction], Awaitable[Any]]) -> Any:
        return await self._store.read(lambda tx: body(cast("Transaction", _Telling(tx, self._hear))))

    async def write(self, body: Callable[[Transaction], Awaitable[Any]]) -> Any:
        return await self._store.write(self._told(body))

    def along(
        self, topic: str, body: Callable[[Transaction], Awaitable[Any]]
    ) -> AbstractContextManager[Ride[Any]]:
        return self._store.along(topic, self._told(body))

    def _told(self, body: Callable[[Transaction], Awaitable[Any]]) -> Callable[[Transaction], Awaitable[Any]]:
        async def told(tx: Transaction) -> Any:
            telling = _Telling(tx, self._hear)
            value = await body(cast("Transaction", telling))
            await telling.tell_what_waits()
            return value

        return told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Telling:
    def __init__(self, tx: Transaction, hear: Hear) -> None:
        self._tx = tx
        self._hear = hear
        self._waits: dict[str, tuple[Any, ...]] = {}

    def later(self, sql: str, *args: Any) -> None:
        self._waits.setdefault(sql, args)
        self._tx.later(sql, *args)

    def change(self, row: UUID, change: Change) -> None:
        if statement := change.statement():
            self._waits.setdefault(*statement)
        self._tx.change(row, change)

    async def lock(self, sql: str, *args: Any) -> None:
        await self._hear(self._tx, sql, args)
        await self._tx.lock(sql, *args)

    async def locked(self, sql: str, *args: Any) -> Any:
        await self._hear(self._tx, sql, args)
        return await self._tx.locked(sql, *args)

    async def aside(self, sql: str, *args: Any) -> Any:
        await self._hear(self._tx, sql, args)
        return await self._tx.aside(sql, *args)

    async def tell_what_waits(self) -> None:
        """Tell of the statements that the transaction runs at its end, or has run before another one."""
        for sql, args in self._waits.items():
            await self._hear(self._tx, sql, args)

    async def fetch(self, sql: str, *args: Any) -> Any:
        await self._hear(self._tx, sql, args)
        return await self._tx.fetch(sql, *args)

    async def several(self, *reads: Any) -> Any:
        for sql, *args in reads:
            await self._hear(self._tx, sql, tuple(args))
        return await self._tx.several(*reads)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        await self._hear(self._tx, sql, args)
        return await self._tx.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        await self._hear(self._tx, sql, args)
        return await self._tx.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> int:
        await self._hear(self._tx, sql, args)
        return await self._tx.execute(sql, *args)

    async def executemany(self, sql: str, args: list[tuple[Any, ...]]) -> None:
        for each in args[:1]:
            await self._hear(self._tx, sql, each)
        await self._tx.executemany(sql, args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)
