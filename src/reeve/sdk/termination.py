"""SIGTERM as a request to clean up and end: what cancels a run, or a machine that goes down."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from reeve.sdk.states import Terminated


class Termination:
    """Raises Terminated in the main thread, once: more signals must not interrupt the clean-up."""

    def __init__(self) -> None:
        self.requested = False
        # An event loop is asked to cancel its main task instead: an exception would hit any task of it.
        self.cancel: Callable[[], object] | None = None

    def install(self) -> None:
        """From now on hear SIGTERM."""
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        if self.cancel is None:
            raise Terminated
        self.cancel()


# There is one SIGTERM in a process.
termination = Termination()
