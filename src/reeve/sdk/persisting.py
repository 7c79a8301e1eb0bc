"""Whether results are persisted, where and how: as it is declared, from the outside in."""

from __future__ import annotations

from msgspec import Struct

from reeve.core.results import ResultFormat


class Persisting(Struct, frozen=True, kw_only=True):
    """Whether results are persisted, where and how; None: as around, and at last by the defaults."""

    persist: bool | None = None
    storage: str | None = None
    format: ResultFormat | None = None

    def inside(self, around: Persisting) -> Persisting:
        """Return what is in force where this is declared within something else."""
        return Persisting(
            persist=around.persist if self.persist is None else self.persist,
            storage=self.storage or around.storage,
            format=self.format or around.format,
        )


NOTHING_SAID = Persisting()
