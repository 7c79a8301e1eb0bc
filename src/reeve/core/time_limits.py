"""Time limits of a deployment's runs: how late they may start, how long they may take, what follows then."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec

from reeve.errors import InvalidInputError

LONGEST_SECONDS = 10 * 365 * 86400


class Then(StrEnum):
    """What becomes of a run whose limit is over."""

    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"  # while the crash budget lasts; then it fails


class TimeLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit, in seconds."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_SECONDS)]
    then: Then = Then.FAIL


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """When a limit is over, what follows, and the sentence that says so."""

    at: datetime
    then: Then
    message: str


class TimeLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of one run; None: none.

    ``max_pending``: from the claim, or from when it was due if that is later, to Running. ``max_run``: how
    long the process of an attempt may live. ``must_start_by``: from when it was due to its first Running.
    """

    max_pending: TimeLimit | None = None
    max_run: TimeLimit | None = None
    must_start_by: TimeLimit | None = None

    def pending(self, since: datetime) -> Deadline | None:
        """Return until when a run that was claimed, and due, since then must be Running."""
        return _deadline(self.max_pending, since, "It was not Running within {} of its claim.")

    def running(self, launched: datetime) -> Deadline | None:
        """Return until when a process that was started then must have ended."""
        return _deadline(self.max_run, launched, "It ran longer than its limit of {}.")

    def start(self, due: datetime | None) -> Deadline | None:
        """Return until when a run that was due then must have been Running for the first time."""
        return _deadline(self.must_start_by, due, "It did not start within {} of when it was due.")


NO_LIMITS = TimeLimits()


def check_limits(limits: TimeLimits, crash_retries: int) -> None:
    """Refuse a retry that cannot be: raises InvalidInputError, which names the limit's field."""
    if limits.must_start_by and limits.must_start_by.then is Then.RETRY:
        raise InvalidInputError(
            "A run that starts too late cannot be started earlier: use fail or cancel.", field="must_start_by"
        )
    for name, limit in (("max_pending", limits.max_pending), ("max_run", limits.max_run)):
        if limit and limit.then is Then.RETRY and not crash_retries:
            raise InvalidInputError(
                "Its retries come from the crash budget, which is 0: set crash_retries (--crash-retries).",
                field=name,
            )


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def in_words(seconds: float) -> str:
    """Say a length of time in full: 1 h, 1 h 30 min, 2.5 s."""
    if seconds < 60:
        return f"{seconds:g} s"
    left, parts = round(seconds), []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def _deadline(limit: TimeLimit | None, since: datetime | None, sentence: str) -> Deadline | None:
    if limit is None or since is None:
        return None
    return Deadline(
        at=since + timedelta(seconds=limit.seconds),
        then=limit.then,
        message=sentence.format(in_words(limit.seconds)),
    )
