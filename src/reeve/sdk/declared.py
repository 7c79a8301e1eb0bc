"""What can be declared of flows and of tasks alike; see the decorators for what each option means."""

from __future__ import annotations

import os
from dataclasses import dataclass

from reeve.errors import InvalidInputError
from reeve.sdk.formats import checked_format
from reeve.sdk.hooks import Given
from reeve.sdk.persisting import NOTHING_SAID, Persisting
from reeve.sdk.retries import RetryIf, RetryOn
from reeve.sdk.storage import checked_storage


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The options that flows and tasks share."""

    name: str | None = None
    retries: int = 0
    retry_on: RetryOn | None = None
    retry_if: RetryIf | None = None
    timeout_seconds: float | None = None
    log_prints: bool | None = None
    on_completion: Given = None
    on_failure: Given = None
    persist_result: bool | None = None
    result_storage: str | os.PathLike[str] | None = None
    result_format: str | None = None

    def persisting(self, owner: str, *, cached: bool = False) -> Persisting:
        """Return what is said of results; ``cached``: they must be persisted."""
        if cached and self.persist_result is False:
            message = f"{owner}: what is cached must be persisted; leave persist_result=False out"
            raise InvalidInputError(message, field="persist_result")
        wanted = Persisting(
            persist=self.persist_result or cached or self.persist_result,
            storage=checked_storage(owner, self.result_storage),
            format=checked_format(owner, self.result_format),
        )
        return NOTHING_SAID if wanted == NOTHING_SAID else wanted
