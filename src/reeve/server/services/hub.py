"""Who waits for what, on this server: topics are woken by commits, on any server (design §3)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

NOTIFICATIONS_TOPIC = "notifications"  # one is to be sent
TASKS_TOPIC = "tasks"  # a task run outside of flows waits for a process that serves its task
SCHEDULES_TOPIC = "schedules"  # a deployment or one of its schedules was changed
SCHEDULED_RUNS_TOPIC = "scheduled runs"  # one has ended


def pool_topic(pool_id: UUID) -> str:
    """Return the topic of a pool: a run is due, a slot is free, a run is to be cancelled."""
    return f"pool:{pool_id}"


def run_topic(run_id: UUID) -> str:
    """Return the topic of a run: a new state, new log lines."""
    return f"run:{run_id}"


def agent_topic(agent_id: UUID) -> str:
    """Return the topic of an agent: a newer epoch, or a newer poll of the same one."""
    return f"agent:{agent_id}"


class Hub:
    """Sets the events of those who wait for a topic."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def waiting(self, *topics: str) -> Iterator[asyncio.Event]:
        """Give an event that is set when one of ``topics`` is woken; clear it before looking again."""
        event = asyncio.Event()
        for topic in topics:
            self._waiting[topic].add(event)
        try:
            yield event
        finally:
            for topic in topics:
                self._waiting[topic].discard(event)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def wake(self, topic: str) -> None:
        """Set the event of everyone who waits for ``topic``."""
        for event in self._waiting.get(topic, ()):
            event.set()

    def wake_all(self) -> None:
        """Set every event: the server is stopping."""
        for events in self._waiting.values():
            for event in events:
                event.set()


async def woken(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event``, at most ``seconds``; say whether it was set."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
