"""Work pools and queues: where runs wait, and how many of them may start (protocol §2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

DEFAULT_POOL = "default-agent-pool"
DEFAULT_QUEUE = "default"
AGENT_POOL_TYPE = "prefect-agent"  # the 2.20 word for a pool whose runs an agent launches


class WorkStatus(StrEnum):
    """Whether a pool or queue is served (api-contract §11)."""

    READY = "READY"
    NOT_READY = "NOT_READY"
    PAUSED = "PAUSED"


class WorkerStatus(StrEnum):
    """Whether a 2.20 worker is heard of (api-contract §11)."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


class OnLost(StrEnum):
    """What the server does about an attempt whose lease ran out (protocol §3)."""

    WAIT = "wait"
    REPLACE = "replace"


class WorkPool(msgspec.Struct, frozen=True, kw_only=True):
    """A group of queues with one kind of infrastructure."""

    id: UUID
    created: datetime
    updated: datetime
    name: str
    type: str
    description: str | None = None
    base_job_template: dict[str, Any] = msgspec.field(default_factory=dict)
    is_paused: bool = False
    concurrency_limit: int | None = None
    status: WorkStatus | None = None
    default_queue_id: UUID | None = None
    on_lost: OnLost = OnLost.WAIT
    paused_since: datetime | None = None


class WorkQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A line of waiting runs: 1 is the first priority; ``filter`` is the 2.x tag filter, kept as it came."""

    id: UUID
    created: datetime
    updated: datetime
    name: str
    work_pool_id: UUID
    work_pool_name: str
    description: str = ""
    is_paused: bool = False
    concurrency_limit: int | None = None
    priority: int = 1
    filter: dict[str, Any] | None = None
    last_polled: datetime | None = None
    status: WorkStatus = WorkStatus.NOT_READY
    paused_since: datetime | None = None


class Limit(msgspec.Struct, frozen=True):
    """A limit that a claim has locked: ``size`` slots, ``occupied`` of them by open attempts."""

    name: str
    size: int | None
    occupied: int

    @property
    def free(self) -> int | None:
        """Slots left; None when there is no limit."""
        return None if self.size is None else max(self.size - self.occupied, 0)


def grantable(wanted: int, *limits: Limit) -> int:
    """Return how many of ``wanted`` runs every limit has room for."""
    return min([wanted, *(limit.free for limit in limits if limit.free is not None)])


class Rooms:
    """The room that deployments with a limit have left, counted down as their runs are admitted."""

    def __init__(self, limits: Mapping[UUID, Limit]) -> None:
        self._left = {key: limit.free for key, limit in limits.items() if limit.free is not None}

    @property
    def open(self) -> list[UUID]:
        """The deployments with a limit that have room."""
        return [key for key, left in self._left.items() if left]

    def admit(self, deployment_id: UUID | None) -> bool:
        """Say whether there is room for one more run of a deployment, or of none, and take it."""
        if deployment_id is None or deployment_id not in self._left:
            return True
        if not self._left[deployment_id]:
            return False
        self._left[deployment_id] -= 1
        return True
