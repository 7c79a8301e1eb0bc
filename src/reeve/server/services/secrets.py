"""What blocks hold, sealed: the database and its copies never have it in clear (decision 0006)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from reeve.errors import ReeveError
from reeve.server.storage import blocks
from reeve.server.storage.blocks import Sealed

if TYPE_CHECKING:
    from reeve.server.storage.store import Store, Transaction

KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # 96 random bits: NIST SP 800-38D allows 2^32 of them for a key
PAGE = 200  # documents that one transaction of a rotation seals anew


class SecretsKeyError(ReeveError):
    """The keys of the blocks cannot be used."""

    code = "secrets_key"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of the blocks by id; the newest seals, all unseal. A key's id is made from the key."""

    keys: Mapping[str, bytes]
    newest: str

    @classmethod
    def read(cls, text: str) -> Keyring:
        """Return the keys of a text: base64, apart by blanks, lines or commas, the newest last.

        Raises SecretsKeyError, which never quotes the text.
        """
        keys = [_key(word) for word in re.split(r"[\s,]+", text.strip())]
        by_id = {_id(key): key for key in keys}
        return cls(by_id, _id(keys[-1]))

    def seal(self, document_id: UUID, data: Mapping[str, Any]) -> Sealed:
        """Return a document's data encrypted and bound to the document: it opens nowhere else."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        text = AESGCM(self.keys[self.newest]).encrypt(nonce, msgspec.json.encode(data), document_id.bytes)
        return Sealed(self.newest, base64.b64encode(nonce + text).decode())

    def unseal(self, document_id: UUID, sealed: Sealed) -> dict[str, Any]:
        """Return a document's data in clear; raises SecretsKeyError when no key of the ring opens it."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self.keys.get(sealed.key_id)
        if key is None:
            raise _unknown({sealed.key_id})
        raw = base64.b64decode(sealed.text)
        try:
            text = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], document_id.bytes)
        except InvalidTag:
            raise SecretsKeyError(
                f"The block document {document_id} was changed in the database, or copied from another one."
            ) from None
        return msgspec.json.decode(text, type=dict[str, Any])


async def check_keys(store: Store, keyring: Keyring) -> None:
    """Raise SecretsKeyError when documents of the database are sealed with keys that are not in the ring."""
    missing = set(await store.read(blocks.key_ids)) - keyring.keys.keys()
    if missing:
        raise _unknown(missing)


async def rotate(store: Store, keyring: Keyring) -> int:
    """Seal all documents with the newest key that are not, and return how many were; old keys can go then.

    Raises SecretsKeyError for a document that no key opens. May be repeated after a failure.
    """
    count = 0
    while page := await store.write(partial(_seal_page, keyring=keyring)):
        count += page
    return count


async def _seal_page(tx: Transaction, keyring: Keyring) -> int:
    page = await blocks.lock_sealed_otherwise(tx, keyring.newest, PAGE)
    for document_id, sealed in page:
        await blocks.seal(tx, document_id, keyring.seal(document_id, keyring.unseal(document_id, sealed)))
    return len(page)


def _key(word: str) -> bytes:
    try:
        plain = word.rstrip("=").replace("-", "+").replace("_", "/")
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretsKeyError(
            f"A key of the blocks is no base64 of {KEY_BYTES} bytes. Look at secrets.key in the home, or at "
            "REEVE_SECRETS_KEY."
        )
    return key


def _id(key: bytes) -> str:
    return hashlib.sha256(b"reeve key of blocks" + key).hexdigest()[:12]


def _unknown(key_ids: set[str]) -> SecretsKeyError:
    return SecretsKeyError(
        f"Blocks of this database are sealed with a key that this server lacks "
        f"(id {', '.join(sorted(key_ids))}). Put it before the others in secrets.key of the home; "
        "several servers of one database share their keys by REEVE_SECRETS_KEY."
    )
