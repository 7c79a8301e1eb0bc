"""Which agents are heard of, and the open poll of each: in memory, stored every 10 s (protocol §6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from reeve.core.agents import Agent


@dataclass(slots=True)
class Presence:
    """The agents that this server has heard of since presence was stored last."""

    _seen: set[UUID] = field(default_factory=set)
    _unstored_at: float | None = None  # boot time
    _agents: dict[UUID, Agent] = field(default_factory=dict)  # as they were in their newest known epochs
    _polls: dict[UUID, tuple[int, int]] = field(default_factory=dict)  # agent → (epoch, seq) of its open poll

    def seen(self, agent_id: UUID) -> None:
        """Note a sign of life."""
        self._seen.add(agent_id)

    def knows(self, agent: Agent) -> None:
        """Note what an agent has registered with: its pool, its queues, what it can launch."""
        self._agents[agent.id] = agent

    def agent_of(self, agent_id: UUID, epoch: int) -> Agent | None:
        """Return an agent as it has registered for this epoch, if it is known; its mode may have changed."""
        known = self._agents.get(agent_id)
        return known if known and known.epoch == epoch else None

    def renewed(self, failed_at: float | None = None) -> None:
        """Note a renewal that was stored, or in boot time when one could not be stored."""
        self._unstored_at = failed_at

    def is_deaf(self, at: float, seconds: float) -> bool:
        """Whether the last renewal could not be stored, unless that is more than ``seconds`` ago."""
        return self._unstored_at is not None and at - self._unstored_at < seconds

    @contextmanager
    def polling(self, agent_id: UUID, epoch: int, seq: int) -> Iterator[None]:
        """Hold the agent's open poll; the agent counts as heard of all the while."""
        self._polls[agent_id] = max((epoch, seq), self._polls.get(agent_id, (0, 0)))
        self.seen(agent_id)
        try:
            yield
        finally:
            if self._polls.get(agent_id) == (epoch, seq):
                del self._polls[agent_id]
            self.seen(agent_id)

    def is_newest(self, agent_id: UUID, epoch: int, seq: int) -> bool:
        """Whether this is still the agent's one open poll."""
        return self._polls.get(agent_id) == (epoch, seq)

    @property
    def open_polls(self) -> int:
        """How many agents have a poll open here."""
        return len(self._polls)

    def take(self) -> list[UUID]:
        """Return who was heard of since the last call, open polls included."""
        heard = self._seen | self._polls.keys()
        self._seen = set()
        return list(heard)
