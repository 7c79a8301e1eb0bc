"""What can be declared of flows and of tasks alike; see the decorators for what each option means."""

from __future__ import annotations

from dataclasses import dataclass

from reeve.sdk.hooks import Given
from reeve.sdk.retries import RetryIf, RetryOn


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
