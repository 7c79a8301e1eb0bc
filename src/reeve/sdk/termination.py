"""SIGTERM as a request to clean up and end: what cancels a run, or a machine that goes down."""

from __future__ import annotations

import os
from _signal import SIG_DFL, SIGTERM, signal  # type: ignore[import-not-found]  # signal's own makes enums
from collections.abc import Callable
from types import FrameType

from reeve.sdk.states import Terminated


class Termination:
    """Raises Terminated in the main thread, once: more signals must not interrupt the clean-up."""

    def __init__(self) -> None:
        self.requested = False
        self.installed = False
        # An event loop is asked to cancel its main task instead: an exception would hit any task of it.
        self.cancel: Callable[[], object] | None = None

    def install(self) -> None:
        """From now on hear SIGTERM, in this process: what it forks ends by it, as multiprocessing expects."""
        signal(SIGTERM, self._hear)
        self.installed = True

    def forget(self) -> None:
        """Be as before: in a rehearsal, and in whatever a run forks."""
        if self.installed:
            signal(SIGTERM, SIG_DFL)
            self.installed = self.requested = False

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        if self.cancel is None:
            raise Terminated
        self.cancel()


# There is one SIGTERM in a process.
termination = Termination()
os.register_at_fork(after_in_child=termination.forget)
