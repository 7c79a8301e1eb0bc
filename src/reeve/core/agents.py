"""Agents: who they are, and whether they are heard of (protocol §6)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class AgentStatus(StrEnum):
    """Whether the server hears of an agent."""

    ONLINE = "ONLINE"
    SILENT = "SILENT"
    STOPPED = "STOPPED"


class AgentMode(StrEnum):
    """What an operator told an agent; only a running one is granted runs.

    A paused agent goes on with what it holds, also after its own restart, until it is resumed. A draining
    one ends when it holds nothing any more; started again, it runs.
    """

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DRAINING = "DRAINING"


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """The process that claims and launches. ``epoch`` grows with each start of it.

    ``kinds``: types of infrastructure blocks and work pools whose runs it can launch. ``default_document_id``
    names the block for runs that name none; ``default_kind`` is the type of one that the agent keeps itself.
    """

    id: UUID
    created: datetime
    name: str
    host: str
    machine_id: str
    boot_id: str
    epoch: int
    work_pool_id: UUID
    work_pool_name: str
    queues: list[str] = msgspec.field(default_factory=list)
    prefixes: list[str] = msgspec.field(default_factory=list)
    kinds: list[str] = msgspec.field(default_factory=lambda: ["process"])
    prefetch_seconds: float = 0.0
    default_document_id: UUID | None = None
    default_kind: str | None = None
    limit: int | None = None
    version: str = ""
    grant: int = 0
    started: datetime
    last_seen: datetime
    status: AgentStatus = AgentStatus.ONLINE
    mode: AgentMode = AgentMode.RUNNING


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs an agent can launch (W48).

    ``foreign`` are the infrastructure documents that it has no driver for. ``kind`` is what launches runs
    that name no document; ``unnamed`` whether it can launch these.
    """

    foreign: list[UUID]
    kind: str | None
    unnamed: bool


SILENT_AFTER_SECONDS = 30.0  # protocol §3: within 30 s of the last sign
