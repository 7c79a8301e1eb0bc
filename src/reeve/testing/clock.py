"""The clock of a house, which is moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from reeve import clock
from reeve.errors import InvalidInputError


class Clock:
    """The time in a house. It runs like any clock, and can be set ahead.

    It is that of the server, so that schedules, late runs, pauses and time limits go by it, and of the engine
    in this process: where that would wait for a retry, the clock leaps instead.
    ``time.sleep`` and ``datetime.now`` of your own code, ``timeout_seconds``, and the processes that an
    agent launches keep the real time.
    """

    def __init__(self, leap: Callable[[timedelta], None]) -> None:
        self._leap = leap

    def now(self) -> datetime:
        """Return what the clock shows, in UTC."""
        return clock.now()

    def move(self, **words: float) -> datetime:
        """Set the clock ahead, as ``move(hours=3)``, and return what it shows.

        The words are those of ``timedelta``. What is due by then has been done when it returns: runs are
        planned, called late, skipped or failed. It is one leap, as if the server had slept: no run is
        executed on the way (``House.advance`` does that). Raises InvalidInputError for a way back.
        """
        return self._move(length(words))

    def set(self, to: datetime | str) -> datetime:
        """Set the clock ahead to a moment: aware, or ISO 8601 (UTC unless it says otherwise)."""
        return self._move(moment_of(to) - self.now())

    def reach(self, moment: datetime) -> None:
        """Set the clock ahead to a moment, unless that is past already."""
        left = moment - self.now()
        if left > timedelta():
            self._leap(left)

    def _move(self, by: timedelta) -> datetime:
        if by < timedelta():
            raise InvalidInputError(
                f"The clock of a house goes forward only, not by {by.total_seconds():g} s. "
                'Open the house in the past: house(at="2026-03-28")',
                field="clock",
            )
        self._leap(by)
        return self.now()


def length(words: Mapping[str, float]) -> timedelta:
    """Return a length of time, said in the words of ``timedelta``."""
    try:
        return timedelta(**words)
    except TypeError as error:
        raise InvalidInputError(f"Say how long, like days=7 or hours=1.5: {error}", field="clock") from None


def moment_of(given: datetime | str) -> datetime:
    """Return a moment that was given to a clock; InvalidInputError if it is none."""
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise InvalidInputError(
            f"{given!r} is no moment. Write a datetime, or text like 2026-03-28T09:00", field="clock"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
