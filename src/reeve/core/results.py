"""Where the result of a run lies: what a server is told in its place (``state.data``)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

# What 2.20 calls a result that lives in the process alone (api-contract §8.1).
UNPERSISTED = {"type": "unpersisted"}


class ResultFormat(StrEnum):
    """How a value is written down; a pickle runs code as it is read, and no server reads one."""

    JSON = "json"
    PICKLE = "pickle"


class ResultReference(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reeve-result"):
    """A persisted result. ``storage`` is a folder or URL, ``size`` in bytes, ``sha256`` of what lies there.

    2.20's clients take data of a type they do not know as it is. ``inputs``: a digest of the parameters it
    was made from, where there is one. The words of artifacts are what a server shows of it.
    """

    storage: str
    key: str
    format: ResultFormat
    size: int
    sha256: str
    inputs: str | None = None
    artifact_type: str = "result"
    artifact_description: str = ""

    @property
    def place(self) -> str:
        """The file or URL of the result."""
        return f"{self.storage.rstrip('/')}/{self.key}"


msgspec.json.Decoder(ResultReference)  # read now: two threads that have msgspec do it at once would crash


def reference_in(data: Any) -> ResultReference | None:
    """Return the reference that a state's data is; None if it is something else."""
    try:
        return msgspec.convert(data, ResultReference)
    except msgspec.ValidationError:
        return None


def as_data(reference: ResultReference) -> dict[str, Any]:
    """Return a reference as a state carries it."""
    data: dict[str, Any] = msgspec.to_builtins(reference)
    return data
