"""What can be claimed, as far as this server has seen: agents that are alike share one look (protocol §6).

Of a thousand agents that wait for the same runs, each would ask the database whenever one of these falls due,
or ends. So one of them looks, claims if there is something to claim, and the next one goes by what that has
found, until a wake-up of their pool says that it is out of date.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from math import inf

from msgspec import Struct

from reeve.core.agents import Agent
from reeve.server.services.hub import Hub, pool_topic, room_topic

# A wake-up may be lost, with a connection to the database or the server that would have sent it: after this,
# who asks anew looks for itself.
FRESH_SECONDS = 5.0


class Outlook(Struct, frozen=True):
    """What a look has found: the seconds until a run can be claimed, 0 or less for now; None: none is known.

    ``limited``: a run that ends may make room for one that waits.
    """

    wait: float | None
    limited: bool = False


class _Seen(Struct, frozen=True):
    ready: float  # when a run can be claimed, by the clock; infinite: none is known
    limited: bool
    wakes: tuple[int, int]  # of the pool and of its room, before the look
    at: float


class Lookout:
    """What was seen for each kind of agent, and whose turn it is to look and to claim."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Hashable, _Seen] = {}
        self._turns: dict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    def turn(self, agent: Agent) -> asyncio.Lock:
        """Return the lock of whoever looks or claims for agents like this one."""
        return self._turns[_kind(agent)]

    def wait(self, hub: Hub, agent: Agent, *, older: bool = True) -> float | None:
        """Return the seconds until a run can be claimed, as was seen; None: that is not known.

        ``older``: even if that was not just now, since a wake-up would be heard.
        """
        seen = self._seen.get(_kind(agent))
        if seen is None:
            return None
        now = self._clock()
        if seen.ready > now:
            pool, room = self.wakes(hub, agent)
            if seen.wakes[0] != pool or (seen.limited and seen.wakes[1] != room):
                return None
            if not older and now - seen.at > FRESH_SECONDS:
                return None
        return seen.ready - now

    def note(self, agent: Agent, wakes: tuple[int, int], found: Outlook) -> None:
        """Note what a look has found that was begun after so many wake-ups."""
        now = self._clock()
        ready = inf if found.wait is None else now + found.wait
        self._seen[_kind(agent)] = _Seen(ready, found.limited, wakes, now)

    def forget(self, agent: Agent) -> None:
        """Have the next one look anew."""
        self._seen.pop(_kind(agent), None)

    @staticmethod
    def wakes(hub: Hub, agent: Agent) -> tuple[int, int]:
        """Return how often the agent's pool, and the room in it, were woken."""
        return hub.wakes(pool_topic(agent.work_pool_id)), hub.wakes(room_topic(agent.work_pool_id))


def _kind(agent: Agent) -> Hashable:
    """Return all by which an agent claims other runs than another one."""
    return (
        agent.work_pool_id,
        *(tuple(names) for names in (agent.queues, agent.prefixes, agent.kinds)),
        agent.default_document_id,
        agent.default_kind,
        agent.prefetch_seconds,
    )
