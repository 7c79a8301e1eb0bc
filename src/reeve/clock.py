"""Time as the edges of reeve read it. ``core`` never does: it gets ``now`` as an argument."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall clock, aware, in UTC."""
    return datetime.now(UTC)


def boottime() -> float:
    """Return seconds since boot, suspend included: leases are counted on it (protocol §3)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
