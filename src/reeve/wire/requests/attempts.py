"""Requests about attempts (protocol §3, §7)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Raw, Struct, field

from reeve.core.crashes import CrashReason
from reeve.core.runs import FlowRunPolicy, TaskRunPolicy
from reeve.core.states import StateDetails, StateType


class AttemptToken(Struct, kw_only=True):
    """An attempt and the token that speaks for it."""

    id: UUID
    token: str


class Renew(Struct, kw_only=True):
    """Renew leases: the tokens are the authority, whoever sends them (protocol §9, the shim)."""

    attempts: list[AttemptToken]


class Call(Struct, kw_only=True):
    """A request of a run's process, passed on by its agent; ``key`` is the process's own authority.

    ``path`` is relative to the API and has no query; ``body`` is JSON, ``null`` for none.
    """

    method: str
    path: str
    key: str | None
    body: Raw


class Calls(Struct, kw_only=True):
    """Requests of many processes; none waits for another of them."""

    calls: list[Call]


class OpenAttempt(Struct, kw_only=True):
    """A flow that its own process has called, and executes itself (protocol §1, self).

    ``host`` and ``pid`` say which process that is. The same ``idempotency_key`` again gives the same attempt.
    """

    flow_name: str
    flow_version: str | None = None
    run_name: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    empirical_policy: FlowRunPolicy | None = None
    tags: list[str] = field(default_factory=list)
    host: str
    pid: int
    idempotency_key: str


class EndAttempt(Struct, kw_only=True):
    """A self attempt is over: its process is gone, or has left the flow without having ended its run."""

    cause: str


class Note(Struct, kw_only=True):
    """A line that the agent said of the run, for the run's log (W43)."""

    level: int
    message: str
    at: datetime


class Report(Struct, kw_only=True, tag_field="kind"):
    """What every report about an attempt carries; ``notes``: what was said since the last one."""

    seq: int
    notes: list[Note] = field(default_factory=list)


class Launched(Report, kw_only=True, tag="launched"):
    """The process was started; ``infrastructure_pid`` is how 2.20 writes the handle (A116)."""

    handle: dict[str, Any]
    infrastructure_pid: str


class NotLaunched(Report, kw_only=True, tag="not_launched"):
    """No process was started. ``permanent``: trying again cannot help; the run fails with the reason.

    ``given_back``: nobody tried, since the agent is leaving.
    """

    reason: str
    permanent: bool = False
    given_back: bool = False


class Exited(Report, kw_only=True, tag="exited"):
    """The process and all it started are observed gone."""

    exit_code: int | None = None
    signal: int | None = None
    cause: str
    stopped: bool = False  # ended on request
    cpu_seconds: float | None = None
    max_rss_kib: int | None = None
    output_tail: str | None = None
    output_lost_bytes: int = 0
    reason: CrashReason | None = None  # None: as exit code and signal say
    overran: bool = False  # ended since it ran longer than its grant allowed


class StopFailed(Report, kw_only=True, tag="stop_failed"):
    """The tree could not be ended; the run stays Cancelling and says why (protocol §8)."""

    reason: str


AnyReport = Launched | NotLaunched | Exited | StopFailed


class AttemptReports(Struct, kw_only=True):
    """Reports of one attempt, by ascending ``seq``."""

    id: UUID
    reports: list[AnyReport]


class Reports(Struct, kw_only=True):
    """What an agent has to report of many attempts."""

    epoch: int
    attempts: list[AttemptReports]


class OutputChunk(Struct, kw_only=True):
    """A piece of what a run writes: the lines from byte ``offset`` on (protocol §7).

    ``stream``: ``stdout``, ``stderr``, or ``records``, whose lines are JSON of ``LogCreate``.
    """

    stream: str
    offset: int
    text: str
    timestamp: datetime


class Output(Struct, kw_only=True):
    """Captured output of one attempt."""

    epoch: int
    chunks: list[OutputChunk]


class CodeVersion(Struct, kw_only=True):
    """Body of ``PUT /attempts/{id}/code_version``: what its process has fetched, such as a commit."""

    code_version: Annotated[str, Meta(min_length=1, max_length=200)]


class MadeTaskRun(Struct, kw_only=True, omit_defaults=True):
    """A task run that the process of an attempt has made, with the id it gave it.

    ``task_inputs`` names for each parameter the task runs whose results it holds.
    """

    id: UUID
    flow_run_id: UUID
    task_key: str
    dynamic_key: str
    name: str
    empirical_policy: TaskRunPolicy | None = None
    task_inputs: dict[str, list[UUID]] = field(default_factory=dict)


class EnteredState(Struct, kw_only=True, omit_defaults=True):
    """A state that a task run has entered, ``age`` seconds before this was sent: clocks need not agree."""

    id: UUID
    task_run_id: UUID
    age: Annotated[float, Meta(ge=0)]
    type: StateType
    name: str
    message: str | None = None
    data: Any = None
    state_details: StateDetails = StateDetails()


class TaskRunReports(Struct, kw_only=True):
    """What became of the tasks of an attempt, in order; what is stored already is passed over."""

    made: Annotated[list[MadeTaskRun], Meta(max_length=1000)] = field(default_factory=list)
    entered: Annotated[list[EnteredState], Meta(max_length=1000)] = field(default_factory=list)
