"""Values of the whole installation."""

from __future__ import annotations

from reeve.server.storage.store import Transaction


async def value_or_set(tx: Transaction, key: str, value: str) -> str:
    """Return the stored value of ``key``; if there is none, ``value`` becomes it."""
    await tx.execute(
        "insert into installation (key, value) values ($1, $2) on conflict (key) do nothing", key, value
    )
    stored: str = await tx.fetchval("select value from installation where key = $1", key)
    return stored
