"""Types that msgspec reads values as, and when it learns them.

It reads a class at its first use, and threads that have it read one at the same time end the process
(SIGSEGV in 0.22.0): here it is done under a lock.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_reading = threading.RLock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of a type of reeve's own; threads may share it."""
    if (known := _decoders.get(type_)) is None:
        with _reading:
            known = _decoders[type_] = msgspec.json.Decoder(type_)
    return known


def read_type(type_: Any) -> None:
    """Have msgspec read a type of a user's, before a value is made one; what it makes of it, it says then."""
    with _reading, suppress(Exception):
        msgspec.json.Decoder(type_)
