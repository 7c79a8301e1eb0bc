"""What goes out: a status, headers and bytes, small enough not to be packed or packed."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import msgspec

from reeve.wire import codec

PACKED_ABOVE = 500  # bytes (api-contract §1)
LEVEL = 1  # most clients are near: packing must not hold the loop for longer than sending

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class Reply(msgspec.Struct, frozen=True):
    """An answer before it is sent. ``headers``: those besides type and length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media: bytes = JSON

    async def send(self, send: Any, asked: Mapping[bytes, bytes]) -> None:
        """Send it, packed if it is long and the client takes that."""
        body, headers = self.body, list(self.headers)
        if len(body) > PACKED_ABOVE and b"gzip" in asked.get(b"accept-encoding", b""):
            body = gzip.compress(body, LEVEL, mtime=0)
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        if self.status != 204:
            headers += [(b"content-type", self.media), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def json(status: int, value: Any, *headers: tuple[bytes, bytes]) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, codec.encode(value), headers)
