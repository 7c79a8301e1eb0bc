"""Selection: which queues an agent serves, told to its user whenever that changes (A23-A29, A46-A53)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from reeve.wire.requests import Register
from reeve.wire.responses import Registration, ServedQueue

log = logging.getLogger("reeve.agent")


class Selection:
    """The queues that the server says an agent serves, compared with those it asked for.

    An agent of a whole pool asks for none: it is told nothing but that all are paused.
    """

    def __init__(self, request: Register) -> None:
        self._pool = request.pool
        self._names = request.queues
        self._prefixes = request.prefixes
        self._matched: set[str] = set()
        self._paused: set[str] = set()

    def registered(self, registration: Registration) -> None:
        """Take the answer to a registration, which has made the queues that were missing."""
        where = f" in work pool '{self._pool}'" if self._pool else ""
        for name in registration.created:
            log.info("Created work queue '%s'%s.", name, where)
        served = registration.served or []
        for name in self._missing(served) if self._prefixes else ():
            log.error("Work queue '%s' with prefix %s wasn't found", name, self._prefixes)  # A25
        if served and all(queue.is_paused for queue in served):
            which = "The specified" if self._names or self._prefixes else "All"
            log.warning(  # A153
                "%s work queues in the work pool '%s' are currently paused. This agent will not execute any "
                "flow runs until they are unpaused.",
                which,
                registration.pool,
            )
        self.seen(registration.served)

    def seen(self, served: Sequence[ServedQueue] | None) -> bool:
        """Take the queues of an answer; return whether one is gone that was asked for by its name."""
        if served is None or not (self._names or self._prefixes):
            return False
        if self._prefixes:
            self._tell_matched({queue.name for queue in served})
        paused = {queue.name for queue in served if queue.is_paused}
        for name in sorted(paused - self._paused):
            log.info("Work queue '%s' is paused.", name)  # A50
        self._paused = paused
        missing = [] if self._prefixes else self._missing(served)
        for name in missing:
            log.error("Work queue '%s' not found.", name)  # A46
        return bool(missing)

    def _missing(self, served: Sequence[ServedQueue]) -> list[str]:
        return sorted(set(self._names) - {queue.name for queue in served})

    def _tell_matched(self, matched: set[str]) -> None:
        if new := matched - self._matched:
            log.info("Matched new work queues: %s", ", ".join(sorted(new)))
        if gone := self._matched - matched:
            log.info("Work queues no longer matched: %s", ", ".join(sorted(gone)))
        self._matched = matched
