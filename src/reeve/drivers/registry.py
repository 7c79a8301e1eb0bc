"""Which drivers there are: reeve's own and foreign ones register alike, as entry points ``reeve.drivers``."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from reeve.drivers.base import Driver
from reeve.errors import NotFoundError, ReeveError

GROUP = "reeve.drivers"


class DriverBrokenError(ReeveError):
    """A driver is installed but cannot be loaded."""

    code = "driver_broken"


def names() -> list[str]:
    """Return the names of all installed drivers."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load(name: str) -> type[Driver]:
    """Return the class of a driver. Raises NotFoundError, or DriverBrokenError with the cause."""
    points = entry_points(group=GROUP, name=name)
    if not points:
        raise NotFoundError(_unknown(name))
    point: EntryPoint = next(iter(points))
    try:
        driver: type[Driver] = point.load()
    except Exception as error:
        raise DriverBrokenError(
            f"The driver '{name}' ({point.value}) cannot be loaded: {error!r}. Reinstall its package."
        ) from error
    return driver


def _unknown(name: str) -> str:
    known = names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else " Install the package that brings it."
    return f"There is no driver '{name}'. Installed: {', '.join(known) or 'none'}.{hint}"
