"""When a failed try is followed by another: after which delays, and on what condition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from reeve.core.runs import MOST_DELAYS
from reeve.errors import InvalidInputError
from reeve.sdk.options import whole_seconds
from reeve.sdk.states import State

Delay: TypeAlias = float | Sequence[float] | Callable[[int], Sequence[float]]
RetryOn: TypeAlias = type[Exception] | tuple[type[Exception], ...]
RetryIf: TypeAlias = Callable[[State[Any]], bool]


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Make delays that double: ``backoff_factor`` seconds before the first retry, then twice that.

    For ``retry_delay_seconds``; from the 50th retry on the delay stays (the API knows no more).
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**retry for retry in range(min(retries, MOST_DELAYS))]

    return delays


def task_delays(owner: str, delay: Delay, retries: int) -> int | list[int]:
    """Return a task's delays as the API knows them; InvalidInputError for more than it takes."""
    given = delay(retries) if callable(delay) else delay
    if not isinstance(given, Sequence):
        return whole_seconds(owner, given)
    if len(given) > MOST_DELAYS:
        message = f"{owner}: retry_delay_seconds has at most {MOST_DELAYS} entries; the last one is repeated"
        raise InvalidInputError(message, field="retry_delay_seconds")
    return [whole_seconds(owner, one) for one in given]


def checked_jitter(owner: str, factor: float | None) -> float | None:
    """Return the jitter factor if it is one."""
    if factor is not None and factor < 0:
        message = f"{owner}: retry_jitter_factor must be 0 or more, got {factor!r}"
        raise InvalidInputError(message, field="retry_jitter_factor")
    return factor


class RetryCondition(Struct, frozen=True):
    """Whether an ended try asks for another: any of its parts may say so.

    ``wanted`` is 2.20's ``retry_condition_fn``, with all but the state filled in: asked of failures alone, of
    which the death of a worker is one.
    """

    on: RetryOn | None = None
    if_: RetryIf | None = None
    wanted: RetryIf | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is anything to ask; else every failure is tried again."""
        return self.on is not None or self.if_ is not None or self.wanted is not None

    def __call__(self, state: State[Any]) -> bool:
        """Say whether the try that ended in ``state`` is to be followed by another."""
        if self.if_ is not None and self.if_(state):
            return True
        if state.is_completed:
            return False
        if self.on is not None and isinstance(state.error, self.on):
            return True
        return bool(self.wanted is not None and self.wanted(state))


UNCONDITIONAL = RetryCondition()


def condition(on: RetryOn | None, if_: RetryIf | None) -> RetryCondition:
    """Return the condition of these parts; UNCONDITIONAL if there are none."""
    return UNCONDITIONAL if on is None and if_ is None else RetryCondition(on, if_)


def checked_condition(owner: str, retries: int, on: RetryOn | None, if_: RetryIf | None) -> None:
    """Raise InvalidInputError for a condition that nobody would ask, or that cannot be asked."""
    for field, given in (("retry_on", on), ("retry_if", if_)):
        if given is not None and not retries:
            raise InvalidInputError(f"{owner}: {field} needs retries of 1 or more", field=field)
    kinds = on if isinstance(on, tuple) else (on,)
    if on is not None and not all(isinstance(one, type) and issubclass(one, Exception) for one in kinds):
        raise InvalidInputError(
            f"{owner}: retry_on must be an exception class or a tuple of them, got {on!r}", field="retry_on"
        )
    if if_ is not None and (not callable(if_) or inspect.iscoroutinefunction(if_)):
        message = f"{owner}: retry_if must be a plain function of the state, got {if_!r}"
        raise InvalidInputError(message, field="retry_if")
