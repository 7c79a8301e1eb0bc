"""Which agents are heard of, and the open poll of each: in memory, stored every 10 s (protocol §6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(slots=True)
class Presence:
    """The agents that this server has heard of since presence was stored last."""

    _seen: set[UUID] = field(default_factory=set)
    _unstored_at: float | None = None  # boot time
    _pools: dict[UUID, tuple[int, UUID]] = field(default_factory=dict)  # agent → its epoch, its pool in that
    _polls: dict[UUID, tuple[int, int]] = field(default_factory=dict)  # agent → (epoch, seq) of its open poll

    def seen(self, agent_id: UUID) -> None:
        """Note a sign of life."""
        self._seen.add(agent_id)

    def serves(self, agent_id: UUID, epoch: int, pool_id: UUID) -> None:
        """Note the pool of an agent, which stays that of its epoch."""
        self._pools[agent_id] = (epoch, pool_id)

    def pool_of(self, agent_id: UUID, epoch: int) -> UUID | None:
        """Return the pool of an agent, if it is known."""
        known, pool_id = self._pools.get(agent_id, (0, None))
        return pool_id if known == epoch else None

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
