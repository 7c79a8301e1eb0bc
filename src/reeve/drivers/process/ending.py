"""How a run's tree is brought to its end: first asked, then killed. No I/O: time and members come in."""

from __future__ import annotations

import signal

from reeve.drivers.process.tree import Process

MAIN_ALONE = 2.0  # seconds the main process has to itself before its whole tree hears SIGTERM
LEFTOVERS = 1.0  # seconds for what a run left behind; with it, an exit is still told within 2 s (protocol §3)


class Ending:
    """The end of one tree. ``reason`` is who asked: agent, server, lease, shim; None: nobody."""

    __slots__ = ("_told", "deadline", "main_alone_until", "reason")

    def __init__(self, now: float, grace_seconds: float, reason: str | None) -> None:
        self.reason = reason
        self.deadline = now + grace_seconds
        self.main_alone_until = now + MAIN_ALONE
        self._told: set[tuple[int, int]] = set()

    def hurry(self, now: float, grace_seconds: float) -> None:
        """Another order to stop may shorten the grace period, never lengthen it."""
        self.deadline = min(self.deadline, now + grace_seconds)

    def due(
        self, now: float, main: int | None, members: list[Process]
    ) -> list[tuple[Process, signal.Signals]]:
        """Return which of the living members get which signal now; ``main`` is None once it is gone."""
        if now >= self.deadline:
            return [(one, signal.SIGKILL) for one in members]
        alone = main is not None and now < self.main_alone_until
        asked = [one for one in members if (one.pid == main or not alone) and one.identity not in self._told]
        self._told.update(one.identity for one in asked)
        return [(one, signal.SIGTERM) for one in asked]
