"""Reading results that lie somewhere."""

from __future__ import annotations

from typing import Any

from reeve.core.results import ResultReference
from reeve.sdk.formats import decode
from reeve.sdk.storage import ResultError, Storage


def read(reference: ResultReference, hint: Any = Any) -> Any:
    """Return a persisted value; ResultError if it is not there as it was written."""
    from hashlib import sha256  # OpenSSL costs each start 5 ms

    content = Storage(reference.storage).read(reference.key)
    if content is None:
        raise ResultError(f"{reference.place} is not there (any more)")
    if sha256(content).hexdigest() != reference.sha256:
        raise ResultError(f"{reference.place} is not what was written there")
    try:
        return decode(content, reference.format, hint)
    except Exception as error:
        raise ResultError(f"{reference.place} cannot be read as the function's result: {error!r}") from error
