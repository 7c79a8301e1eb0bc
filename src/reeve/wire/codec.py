"""How values cross HTTP: JSON both ways, instants as ISO 8601 with ``+00:00`` (api-contract §1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from reeve.decoders import decoder

T = TypeVar("T")

# An instant in an answer: text, because 2.20 writes "+00:00" where every encoder would write "Z".
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

# A number of slots or tries.
Count = Annotated[int, Meta(ge=0)]

# Returns a value as JSON.
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def decode(data: bytes | str, type_: type[T]) -> T:
    """Return ``data`` as a value of ``type_``; raises msgspec.DecodeError or msgspec.ValidationError."""
    return decoder(type_).decode(data)


def iso(instant: datetime) -> str:
    """Write an aware instant as 2.20 does: UTC, microseconds unless they are zero."""
    return instant.astimezone(UTC).isoformat()


def iso_or_none(instant: datetime | None) -> str | None:
    """Write an instant that may be absent."""
    return None if instant is None else iso(instant)


def instant(value: datetime) -> datetime:
    """Read an instant that came in: naive means UTC (api-contract §1)."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def parse(text: str) -> datetime:
    """Read an instant out of an answer."""
    return instant(datetime.fromisoformat(text))
