"""Results that outlive their process: written where the user says, told to a server by reference alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from reeve.core.results import UNPERSISTED, ResultFormat, ResultReference, as_data, reference_in
from reeve.errors import ReeveError
from reeve.sdk.formats import encode
from reeve.sdk.local import results_place
from reeve.sdk.persisting import Persisting
from reeve.sdk.reading import read
from reeve.sdk.storage import ResultError, Storage


class Keeper:
    """Writes and reads the results of one run. ``parameters``: what tells one call from others."""

    def __init__(
        self,
        owner: str,
        wanted: Persisting,
        hint: Callable[[], Any],
        parameters: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._owner = owner
        self.persists = bool(wanted.persist)
        self._place = wanted.storage
        self._format = wanted.format or ResultFormat.JSON
        self._hint = hint
        self._parameters = parameters
        self._inputs: str | None = None

    def begin(self) -> None:
        """Take note of the parameters, before the user's code changes them."""
        if self.persists and self._parameters is not None:
            self._inputs = _digest(self._parameters())

    def storage(self) -> Storage:
        """Return where results go."""
        return Storage(self._place or results_place())

    def save(self, flow_run_id: UUID | None, run_id: UUID, value: Any, warn: Callable[..., None]) -> Any:
        """Write a value down and return what a state says of it.

        The work is done: what hinders is told to ``warn``, and the value stays in the process.
        """
        try:
            return self._saved(flow_run_id or run_id, run_id, value)
        except ReeveError as error:
            warn("%s: its result is not persisted: %s", self._owner, error)
            return UNPERSISTED

    def load(self, data: Any, *, of_this_call: bool) -> Any:
        """Read a value by what a state says of it. ``of_this_call``: not one found under a cache key.

        ResultError if it is not there as it was written, or was made from other parameters.
        """
        reference = reference_in(data)
        if reference is None:
            raise ResultError("it was not persisted by reeve")
        if reference.format is not self._format:
            raise ResultError(f"it is in the format '{reference.format}', not '{self._format}'")
        if of_this_call and self._inputs and reference.inputs not in {None, self._inputs}:
            raise ResultError("it was made from other parameters")
        return read(reference, self._hint())

    def _saved(self, folder: UUID, run_id: UUID, value: Any) -> Any:
        from hashlib import sha256  # OpenSSL costs each start 5 ms

        content = encode(value, self._format, self._hint())
        hashed = sha256(content).hexdigest()
        storage = self.storage()
        # By content, so that a reference to an earlier result of the run stays good.
        key = f"{folder}/{run_id}-{hashed[:16]}.{self._format}"
        storage.write(key, content)
        return as_data(
            ResultReference(
                storage=storage.place,
                key=key,
                format=self._format,
                size=len(content),
                sha256=hashed,
                inputs=self._inputs,
                artifact_description=f"{len(content)} bytes of {self._format} in {storage.place}/{key}",
            )
        )


def _digest(parameters: Mapping[str, Any]) -> str | None:
    from reeve.sdk.digests import NoDigestError, digest

    try:
        return digest(dict(parameters))
    except NoDigestError:
        return None
