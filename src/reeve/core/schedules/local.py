"""Local clocks: what a time zone's wall time means on the line of real time.

A *wall time* is a naive datetime, an *instant* an aware one in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from reeve.errors import InvalidInputError

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone of that IANA name, UTC for None; raise InvalidInputError for an unknown one."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError) as error:  # unknown; not a relative path; a directory
        near = _near_zones(str(name))
        remedy = f"did you mean {' or '.join(near)}?" if near else "use an IANA name like Europe/Zurich"
        raise InvalidInputError(f'"{name}" is not a time zone; {remedy}', field="timezone") from error


def _near_zones(name: str) -> list[str]:
    zones = {zone.lower(): zone for zone in sorted(available_timezones())}
    cities = {lower.rpartition("/")[2]: zone for lower, zone in zones.items()}
    wanted = name.lower().replace(" ", "_")
    near = [zones[match] for match in get_close_matches(wanted, zones, n=2)]
    return near or [cities[match] for match in get_close_matches(wanted, cities, n=2)]


def instant(wall: datetime, offset: timedelta) -> datetime:
    """Return the instant at which a clock that is ``offset`` ahead of UTC shows ``wall``."""
    return (wall - offset).replace(tzinfo=UTC)


def wall(moment: datetime, offset: timedelta) -> datetime:
    """Return what a clock that is ``offset`` ahead of UTC shows at the instant ``moment``."""
    return moment.replace(tzinfo=None) + offset


def offset_at(zone: ZoneInfo, moment: datetime) -> timedelta:
    """Return how far the zone's clocks are ahead of UTC at that instant."""
    return moment.astimezone(zone).utcoffset() or timedelta()


def instants_of(zone: ZoneInfo, shown: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last instant at which the zone's clocks show that wall time.

    They differ only where clocks were set back. A wall time that was skipped means the first valid
    instant after: the one at which the clocks were set forward.
    """
    early, late = (shown.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    if early < late:  # skipped: PEP 495 gives the offsets from before and from after
        change = _change(zone, instant(shown, late), instant(shown, early))
        return change, change
    return instant(shown, early), instant(shown, late)


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return when, in (low, high], the clocks were set; they are set on whole seconds of UTC."""
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    after = offset_at(zone, high)
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        low, high = (low, middle) if offset_at(zone, middle) == after else (middle, high)
    return high


@lru_cache(maxsize=4096)
def _changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """Return when the zone's clocks are set in that year of UTC. Two settings on one day do not occur."""
    midnights = [datetime(year, 1, 1, tzinfo=UTC) + n * DAY for n in range(-1, 367)]
    offsets = [offset_at(zone, midnight) for midnight in midnights]
    found = (
        _change(zone, midnights[n], midnights[n + 1])
        for n in range(len(midnights) - 1)
        if offsets[n] != offsets[n + 1]
    )
    return tuple(change for change in found if change.year == year)


def segments(
    zone: ZoneInfo, start: datetime, stop: datetime
) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Cut [start, stop) into pieces of constant offset: (from, until, offset), each within one year."""
    for year in range(start.year, stop.year + 1):
        edges = (*_changes(zone, year), datetime(year + 1, 1, 1, tzinfo=UTC), stop)
        for edge in sorted(edges):
            if start < edge <= stop:
                yield start, edge, offset_at(zone, start)
                start = edge


# Yields the wall times of a schedule in [from, until), ascending.
Walls = Callable[[datetime, datetime], Iterator[datetime]]


def named_instants(zone: ZoneInfo, walls: Walls, start: datetime, stop: datetime) -> Iterator[datetime]:
    """Give each wall time exactly one instant: skipped ones the first valid, repeated ones the first.

    Ascending, covers [start, stop); may begin a little earlier, and repeat an instant.
    """
    # A wall time skipped just before `start` means `start`: so begin at the lower clock of that day.
    low = min(offset_at(zone, moment) for moment in (start - DAY, start))
    high = max(offset_at(zone, moment) for moment in (stop - DAY, stop))
    for shown in walls(wall(start, low), wall(stop, high)):
        yield instants_of(zone, shown)[0]
