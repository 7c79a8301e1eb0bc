"""The options that flows and tasks have in common, checked where they are written."""

from __future__ import annotations

import math

from reeve.errors import InvalidInputError

_NOT_IN_NAMES = frozenset("/%&><")  # api-contract §1


def checked_name(noun: str, name: str) -> str:
    """Return the name if the API takes it."""
    if not name or not _NOT_IN_NAMES.isdisjoint(name):
        raise InvalidInputError(
            f"{noun} name {name!r} must not be empty or contain any of / % & > <", field="name"
        )
    return name


def checked_retries(owner: str, retries: int) -> int:
    """Return the number of retries if it is one."""
    if not isinstance(retries, int) or retries < 0:
        raise InvalidInputError(f"{owner}: retries must be 0 or more, got {retries!r}", field="retries")
    return retries


def checked_timeout(owner: str, seconds: float | None) -> float | None:
    """Return the timeout as a number of seconds, if there is one."""
    if seconds is not None and not seconds > 0:
        message = (
            f"{owner}: timeout_seconds must be more than 0, got {seconds!r}; leave it out for no timeout"
        )
        raise InvalidInputError(message, field="timeout_seconds")
    return None if seconds is None else float(seconds)


def whole_seconds(owner: str, delay: float) -> int:
    """Return a retry's delay as the API knows it: whole seconds; fractions are rounded up."""
    if not delay >= 0:
        message = f"{owner}: retry_delay_seconds must not be negative, got {delay!r}"
        raise InvalidInputError(message, field="retry_delay_seconds")
    return math.ceil(delay)


def checked_log_prints(wanted: bool | None) -> bool | None:
    """Return the option, and have prints looked at if they are to be logged."""
    if wanted:
        from reeve.sdk import prints

        prints.capture()
    return wanted
