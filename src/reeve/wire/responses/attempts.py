"""Answers about attempts (protocol §3, §7)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Raw, Struct, field

from reeve.core.attempts import AttemptKind, AttemptState
from reeve.core.crashes import CrashReason
from reeve.wire.codec import Timestamp
from reeve.wire.responses.flow_runs import FlowRunResponse


class Attempt(Struct, kw_only=True):
    """One try to execute a run."""

    id: UUID
    flow_run_id: UUID
    number: int
    kind: AttemptKind
    state: AttemptState
    opened: Timestamp
    agent_id: UUID | None = None
    agent_name: str | None = None
    lease_until: Timestamp | None = None
    unreachable: bool = False
    launched: Timestamp | None = None
    started: Timestamp | None = None
    closed: Timestamp | None = None
    handle: dict[str, Any] | None = None
    exit_code: int | None = None
    signal: int | None = None
    cpu_seconds: float | None = None
    max_rss_kib: int | None = None
    cause: str | None = None
    output_tail: str | None = None
    crash_reason: CrashReason | None = None
    expires: Timestamp | None = None
    code_version: str | None = None


class SelfAttempt(Struct, kw_only=True):
    """An attempt that the process which asked for it holds: its token, and its lease from then on."""

    id: UUID
    token: str
    lease_seconds: float
    run: FlowRunResponse


class Renewal(Struct, kw_only=True):
    """The answer to a renewal: the lease's length from when the request was sent.

    ``stop``: to be ended as gently as their job says; ``over``: held no more, to be ended now.
    """

    lease_seconds: float
    stop: list[UUID]
    over: list[UUID] = field(default_factory=list)


NOT_PASSED_ON = 0  # for a status: nobody has taken the request, ask the server itself


class CallReply(Struct, kw_only=True):
    """The answer to a request that was passed on; ``retry_after``: the header of that name."""

    status: int
    body: Raw
    retry_after: str | None = None


class TaskRunReceipt(Struct, kw_only=True):
    """The answer to what became of tasks. ``halted``: their flow runs that are not RUNNING."""

    halted: list[UUID]


class Receipt(Struct, kw_only=True):
    """The answer to an attempt's reports: the number expected next, and whether the attempt is closed now.

    An attempt whose run was deleted is.
    """

    id: UUID
    next_seq: int
    closed: bool
