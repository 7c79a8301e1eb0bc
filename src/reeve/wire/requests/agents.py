"""Requests about agents (protocol §6)."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct, field

from reeve.core.agents import AgentMode


class Register(Struct, kw_only=True):
    """An agent that starts. ``held``: the attempts its journal and shim know; ``limit``: its slots.

    ``kinds``: types of infrastructure blocks and work pools whose runs it can launch (W48).
    ``prefetch_seconds``: how long before their time it takes runs (A41). Runs that name no block go by
    ``default_infrastructure_document_id``, or by a block of the agent's own, of the type ``default_kind``.
    """

    id: UUID
    name: str
    host: str
    machine_id: str
    boot_id: str
    pool: str | None = None
    queues: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=lambda: ["process"])
    prefetch_seconds: float = 0.0
    default_infrastructure_document_id: UUID | None = None
    default_kind: str | None = None
    limit: int | None = None
    version: str
    held: list[UUID] = field(default_factory=list)


class Poll(Struct, kw_only=True):
    """The agent's one open request (protocol §6): free slots, what it holds, the grant it has journaled."""

    epoch: int
    seq: int
    free: int
    held: list[UUID]
    acked_grant: int
    stopping: list[UUID] = field(default_factory=list)  # being ended already: not to be told again
    hold_seconds: float = 25.0
    mode: AgentMode = AgentMode.RUNNING  # what the agent was told last: news of another is answered at once


class SetMode(Struct, kw_only=True):
    """What an agent is to do from now on."""

    mode: AgentMode


class Farewell(Struct, kw_only=True):
    """An agent that stops in order; ``detached``: its runs go on."""

    epoch: int
    detached: bool = False
