"""Hearing: when a server could hear renewals. At other times nobody was silent (protocol §3).

Moments are those of the database, as leases are: a leap of its clock is a gap too.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct


class Gap(Struct, frozen=True):
    """A time in which a server may have missed renewals."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it lasted."""
        return self.end - self.start


class Hearing:
    """What a server knows of its own hearing, from the moments at which it is sure of it.

    Two of them that lie further apart than ``longest`` have a gap between them.
    """

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._gaps: list[Gap] = []

    def heard(self, at: datetime) -> Gap | None:
        """Note such a moment; return the gap that it ends."""
        last, self._last = self._last, at
        if last is None or self._first is None:
            self._first = at
        elif at < last:
            self._turn_back(last - at)
        elif at - last > self._longest:
            return self.missed_between(last, at)
        return None

    def missed_between(self, start: datetime, end: datetime) -> Gap:
        """Note a gap that is known as such, and return it; ``end`` is heard."""
        self._last = end
        self._gaps.append(Gap(start, end))
        return self._gaps[-1]

    def _turn_back(self, by: timedelta) -> None:
        """Follow a clock that was set back; the leases of before last so much longer by themselves."""
        assert self._first is not None
        self._first -= by
        self._gaps = [Gap(gap.start - by, gap.end - by) for gap in self._gaps]

    def missed(self, since: datetime) -> timedelta:
        """Return how much of the time since then lay in gaps."""
        parts = (gap.end - max(gap.start, since) for gap in self._gaps if gap.end > since)
        return sum(parts, timedelta())

    @property
    def total(self) -> timedelta:
        """How long the server has heard, gaps left out."""
        if self._first is None or self._last is None:
            return timedelta()
        return self._last - self._first - self.missed(self._first)

    def forget(self, longest_wait: timedelta) -> None:
        """Drop the gaps after which more than ``longest_wait`` was heard: they decide nothing any more."""
        if self._last is not None:
            last = self._last
            self._gaps = [gap for gap in self._gaps if last - gap.end - self.missed(gap.end) <= longest_wait]
