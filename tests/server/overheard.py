"""A store whose statements a test hears before they are run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

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
        return await self._store.write(lambda tx: body(cast("Transaction", _Telling(tx, self._hear))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Telling:
    def __init__(self, tx: Transaction, hear: Hear) -> None:
        self._tx = tx
        self._hear = hear

    async def fetch(self, sql: str, *args: Any) -> Any:
        await self._hear(self._tx, sql, args)
        return await self._tx.fetch(sql, *args)

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
