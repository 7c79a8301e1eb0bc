"""Renewals by the shim for agents that are silent: one request for all runs of a server. Stdlib only."""

from __future__ import annotations

from reeve.drivers.process import lease
from reeve.drivers.process.loop import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reeve.drivers.process.loop import Loop
    from reeve.drivers.process.run import Run

    Door = tuple[str, int, bool, str]

_OVER_GRACE = 0.5  # seconds for what holds its attempt no more: another one may run already


class Renewals:
    """Requests under way. ``end`` is called with runs that are to end, and their grace period in seconds."""

    __slots__ = ("_again", "_end", "_loop", "_runs", "_under_way")

    def __init__(self, loop: Loop, runs: dict[str, Run], end: Callable[[Run, float, str], None]) -> None:
        self._loop = loop
        self._runs = runs
        self._end = end
        self._under_way: dict[Door, lease.Renewal] = {}
        self._again: dict[Door, float] = {}

    @property
    def pids(self) -> set[int]:
        """The processes that make them."""
        return {renewal.pid for renewal in self._under_way.values()}

    def renew(self, now: float) -> None:
        """Renew what is due, at this boot time."""
        for door in self._due(now):
            self._renew(door, now)

    def _due(self, now: float) -> Iterator[Door]:
        wanting = {run.door for run in self._runs.values() if run.lease and run.lease.wants_shim(now)}
        for door in wanting:
            if door and door not in self._under_way and now >= self._again.get(door, 0):
                yield door

    def _renew(self, door: Door, now: float) -> None:
        """Renew all leases of one server in one request."""
        runs = [run for run in self._runs.values() if run.door == door and run.lease]
        shortest = min(run.lease.seconds for run in runs if run.lease)
        self._again[door] = now + shortest * (lease.SHIM_AFTER - lease.RENEW_AFTER)
        try:
            renewal = lease.Renewal(door, {run.attempt: run.token for run in runs}, now)
        except OSError as error:
            log(f"the leases cannot be renewed: {error}")
            return
        self._under_way[door] = renewal
        self._loop.watch(renewal.pipe, lambda _: self._on_renewal(door, renewal))

    def _on_renewal(self, door: Door, renewal: lease.Renewal) -> None:
        if not renewal.read():
            return
        self._loop.unwatch(renewal.pipe)
        answer = renewal.result()
        del self._under_way[door]
        if "error" in answer:
            log(f"the leases of {len(renewal.attempts)} runs were not renewed: {answer['error']}")
            return
        stop, over = set(answer.get("stop") or ()), set(answer.get("over") or ())
        for attempt in renewal.attempts:
            run = self._runs.get(attempt)
            if attempt not in over:
                self.extend(attempt, renewal.sent_at, float(answer["lease_seconds"]))
            if run and attempt in stop | over:
                grace = min(run.grace_seconds, _OVER_GRACE) if attempt in over else run.grace_seconds
                self._end(run, grace, "server")

    def extend(self, attempt: str, sent_at: float, seconds: float) -> None:
        """Take an acknowledged renewal: sent at this boot time, for so many seconds."""
        run = self._runs.get(attempt)
        if run and run.lease:
            run.lease.renewed(sent_at, seconds)
