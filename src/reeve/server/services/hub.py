"""Who waits for what, on this server: topics are woken by commits, on any server (design §3)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from reeve.server.storage.dialects.base import Patient

NOTIFICATIONS_TOPIC = "notifications"  # one is to be sent
TASKS_TOPIC = "tasks"  # a task run outside of flows waits for a process that serves its task
SCHEDULES_TOPIC = "schedules"  # a deployment or one of its schedules was changed
SCHEDULED_RUNS_TOPIC = "scheduled runs"  # one has ended


def pool_topic(pool_id: UUID) -> str:
    """Return the topic of a pool: a run is due, or who may claim which has changed."""
    return f"pool:{pool_id}"


def room_topic(pool_id: UUID) -> str:
    """Return the topic of what is free in a pool: a run has ended, which only matters where limits are."""
    return Patient(f"room:{pool_id}")


def run_topic(run_id: UUID) -> str:
    """Return the topic of a run: a new state, new log lines."""
    return Patient(f"run:{run_id}")


def agent_topic(agent_id: UUID) -> str:
    """Return the topic of an agent: a newer epoch, or a newer poll of the same one, or a run to cancel."""
    return f"agent:{agent_id}"


def held_topic(agent_id: UUID) -> str:
    """Return the topic of what an agent holds: one of its attempts was closed, mostly by its own report."""
    return Patient(f"held:{agent_id}")


class Waiter(asyncio.Event):
    """An event that knows which topics have set it."""

    def __init__(self) -> None:
        super().__init__()
        self._topics: set[str] = set()

    def wake(self, topic: str) -> None:
        """Set it because of ``topic``."""
        self._topics.add(topic)
        self.set()

    def take(self) -> set[str]:
        """Clear it, and return the topics by which it was set."""
        topics, self._topics = self._topics, set()
        self.clear()
        return topics


class Hub:
    """Sets the events of those who wait for a topic, who has waited longest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Waiter, None]] = defaultdict(dict)
        self._wakes: dict[str, int] = {}

    @contextmanager
    def waiting(self, *topics: str) -> Iterator[Waiter]:
        """Give an event that is set when one of ``topics`` is woken; clear it before looking again."""
        waiter = Waiter()
        for topic in topics:
            self._waiting[topic][waiter] = None
        try:
            yield waiter
        finally:
            for topic in topics:
                self._waiting[topic].pop(waiter, None)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def wakes(self, topic: str) -> int:
        """Return how often ``topic`` has been woken since this was first asked of it."""
        return self._wakes.setdefault(topic, 0)

    def wake(self, topic: str) -> None:
        """Set the event of everyone who waits for ``topic``."""
        if topic in self._wakes:
            self._wakes[topic] += 1
        for waiter in self._waiting.get(topic, ()):
            waiter.wake(topic)

    def wake_all(self) -> None:
        """Set every event: the server is stopping."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.set()


async def woken(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event``, at most ``seconds``; say whether it was set."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
