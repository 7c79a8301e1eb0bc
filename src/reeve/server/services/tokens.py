"""Attempt tokens: derived from the attempt's id and the installation's secret, never stored.

A lost answer can so be derived again with the same token (protocol §6), on any server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache
from uuid import UUID

from reeve.server.storage import installation
from reeve.server.storage.store import Store, Transaction

PREFIX = "rat_"  # reeve attempt token


def token_of(secret: bytes, attempt_id: UUID) -> str:
    """Return the token that speaks for an attempt."""
    return f"{PREFIX}{attempt_id.hex}_{_mac(secret, attempt_id)}"


def attempt_of(secret: bytes, token: str) -> UUID | None:
    """Return the attempt that a token speaks for; None if it is none of ours."""
    if not token.startswith(PREFIX):
        return None
    hexed, _, mac = token.removeprefix(PREFIX).partition("_")
    try:
        attempt_id = UUID(hex=hexed)
    except ValueError:
        return None
    return attempt_id if hmac.compare_digest(mac.encode(), _mac(secret, attempt_id).encode()) else None


async def installation_secret(store: Store) -> bytes:
    """Return the secret of this database's installation; the first server to ask makes it."""

    async def body(tx: Transaction) -> str:
        return await installation.value_or_set(tx, "attempt_secret", secrets.token_hex(32))

    return bytes.fromhex(await store.write(body))


@lru_cache(maxsize=4096)  # an attempt shows its token with each request
def _mac(secret: bytes, attempt_id: UUID) -> str:
    digest = hmac.new(secret, attempt_id.bytes, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
