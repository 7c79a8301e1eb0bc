"""Sudden death on request, an aid for tests of recovery: inert unless ``REEVE_FAULT`` names a point.

The points, in the order of an attempt's course: ``after_claim`` (the grant is journaled), ``before_launch``,
``after_launch`` (it runs, the journal does not know), ``after_handle`` (the journal knows), ``before_report``
(its end is seen), ``after_report`` (its end is journaled), ``before_forget`` (the server has settled it).
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "after_claim",
    "before_launch",
    "after_launch",
    "after_handle",
    "before_report",
    "after_report",
    "before_forget",
)

_POINT = os.environ.get("REEVE_FAULT")


def reach(point: str) -> None:
    """End this process as ``kill -9`` would, if this is the point named in ``REEVE_FAULT``."""
    if point == _POINT:
        os.kill(os.getpid(), signal.SIGKILL)
