"""Answers about agents (protocol §6)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct, field

from reeve.core.agents import AgentMode, AgentStatus
from reeve.core.deployments import Engine
from reeve.core.work import OnLost
from reeve.wire.codec import Timestamp
from reeve.wire.responses.deployments import DeploymentResponse
from reeve.wire.responses.flow_runs import FlowRunResponse


class Agent(Struct, kw_only=True):
    """An agent and when it was last heard of."""

    id: UUID
    name: str
    host: str
    epoch: int
    work_pool_name: str
    queues: list[str]
    limit: int | None = None
    version: str
    started: Timestamp
    last_seen: Timestamp
    status: AgentStatus
    open_attempts: int = 0
    prefixes: list[str] = field(default_factory=list)
    mode: AgentMode = AgentMode.RUNNING


class HeldRun(Struct, kw_only=True):
    """A run that an agent holds, and since when."""

    attempt_id: UUID
    flow_run_id: UUID
    name: str
    state_name: str | None
    opened: Timestamp
    unreachable: bool = False


class AgentDetails(Agent, kw_only=True):
    """An agent and what it runs, the oldest first; of more than 1000 the first."""

    machine_id: str
    holds: list[HeldRun] = field(default_factory=list)


class ServedQueue(Struct, kw_only=True):
    """A queue that an agent serves."""

    name: str
    is_paused: bool = False


class Registration(Struct, kw_only=True):
    """The server's answer to an agent that starts: its epoch, and the figures it works by, in seconds.

    ``forget`` lists attempts that the agent said to hold and no longer may: it ends them. ``created`` names
    the queues that were made for it; ``is_drivable`` whether it can launch runs that name no infrastructure.
    """

    epoch: int
    pool: str
    queues: list[str]
    lease_seconds: float
    renew_seconds: float
    margin_seconds: float
    poll_seconds: float
    forget: list[UUID]
    created: list[str] = field(default_factory=list)
    served: list[ServedQueue] | None = None
    pool_type: str = "process"
    is_drivable: bool = True


class Infrastructure(Struct, kw_only=True):
    """The block that a deployment names for its runs: the slug of its type, its data with secrets (A81).

    ``type`` is "deleted" or "unreadable", and ``data`` empty, where there is no such block to give.
    """

    type: str
    data: dict[str, Any]


class Grant(Struct, kw_only=True):
    """A claimed run with all that launching it needs; ``number`` orders the grants of an agent."""

    number: int
    attempt_id: UUID
    token: str
    lease_seconds: float
    attempt_number: int
    run: FlowRunResponse
    flow_name: str
    deployment: DeploymentResponse | None
    engine: Engine
    base_job_template: dict[str, Any]
    infrastructure: Infrastructure | None = None
    on_lost: OnLost = OnLost.WAIT
    max_run_seconds: float | None = None  # how long its process may live, whoever can be heard


class Cancel(Struct, kw_only=True):
    """An attempt to be ended as gently as its job says: its run is cancelled, or there is a ``reason``."""

    attempt_id: UUID
    reason: str | None = None


class Work(Struct, kw_only=True):
    """The answer to a poll: grants above the acknowledged one, cancellations, attempts that are over.

    ``mode``: what the agent is to do from now on. ``served``: its queues as they are now, if it names some.
    """

    grants: list[Grant] = field(default_factory=list)
    cancel: list[Cancel] = field(default_factory=list)
    stop: list[UUID] = field(default_factory=list)
    served: list[ServedQueue] | None = None
    mode: AgentMode = AgentMode.RUNNING
