"""Every event that reeve records, with its fields. An event exists only if its transaction did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec


class EventKind(StrEnum):
    """What happened; the comment names the keys of the payload."""

    STATE_ENTERED = "flow_run.state_entered"  # type, name, message
    ATTEMPT_OPENED = "attempt.opened"  # number, kind, agent
    ATTEMPT_LAUNCHED = "attempt.launched"  # handle
    ATTEMPT_CLOSED = "attempt.closed"  # state, cause
    ATTEMPT_UNREACHABLE = "attempt.unreachable"  # since
    CANCEL_FORCED = "flow_run.cancel_forced"  # by
    AGENT_STARTED = "agent.started"  # name, host, epoch
    AGENT_SILENT = "agent.silent"  # name, last_seen
    AGENT_STOPPED = "agent.stopped"  # name


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a run, an attempt or an agent."""

    id: UUID
    at: datetime
    kind: EventKind
    flow_run_id: UUID | None = None
    attempt_id: UUID | None = None
    agent_id: UUID | None = None
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
