"""What blocks and secret parameters hold, sealed: the database never has it in clear (decisions 6 and 25)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from reeve.errors import ReeveError
from reeve.server.storage.blocks import Sealed

KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # 96 random bits: NIST SP 800-38D allows 2^32 of them for a key


class SecretsKeyError(ReeveError):
    """The keys of blocks and secret parameters cannot be used."""

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
        """Return a document's data encrypted and bound to the document's id: it opens nowhere else."""
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
            raise unknown({sealed.key_id})
        raw = base64.b64decode(sealed.text)
        try:
            text = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], document_id.bytes)
        except InvalidTag:
            raise SecretsKeyError(
                f"What is sealed as {document_id} was changed in the database, or copied from another place."
            ) from None
        return msgspec.json.decode(text, type=dict[str, Any])


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


def unknown(key_ids: set[str]) -> SecretsKeyError:
    """Return the error for keys that are not in the ring."""
    return SecretsKeyError(
        f"Blocks or parameters of this database are sealed with a key that this server lacks "
        f"(id {', '.join(sorted(key_ids))}). Put it before the others in secrets.key of the home; "
        "several servers of one database share their keys by REEVE_SECRETS_KEY."
    )
