"""SIGTERM as a request to clean up and end: what cancels a run, or a machine that goes down."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it has no stubs
import os
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
        """From now on hear SIGTERM, in this process: what it forks ends by it, as multiprocessing expects."""
        _signal.signal(signal.SIGTERM, self._hear)  # the other one makes enums: a dozen pages of each run
        os.register_at_fork(after_in_child=_forget)

    def ignore(self) -> None:
        """From now on there is nothing to interrupt: what is left to do is short."""
        self.requested = True

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        if self.cancel is None:
            raise Terminated
        self.cancel()


def _forget() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


# There is one SIGTERM in a process.
termination = Termination()
