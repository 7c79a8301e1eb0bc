"""Requests for figures over many runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from reeve.wire.filters import (
    DeploymentFilter,
    FlowFilter,
    FlowRunFilter,
    TaskRunFilter,
    WorkPoolFilter,
    WorkQueueFilter,
)
from reeve.wire.queries import FlowRunFilters, TaskRunFilters


class FlowRunHistory(Struct, kw_only=True):
    """Body of ``/flow_runs/history``: the one that calls the queues' filter ``work_queues`` (§6)."""

    history_start: datetime
    history_end: datetime
    history_interval_seconds: float
    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    task_runs: TaskRunFilter | None = None
    deployments: DeploymentFilter | None = None
    work_pools: WorkPoolFilter | None = None
    work_queues: WorkQueueFilter | None = None

    @property
    def query(self) -> FlowRunFilters:
        """Return the filters under their usual keys."""
        return FlowRunFilters(
            flows=self.flows,
            flow_runs=self.flow_runs,
            task_runs=self.task_runs,
            deployments=self.deployments,
            work_pools=self.work_pools,
            work_pool_queues=self.work_queues,
        )


class TaskRunHistory(TaskRunFilters, kw_only=True):
    """Body of ``/task_runs/history``."""

    history_start: datetime
    history_end: datetime
    history_interval_seconds: float


class TaskRunDashboard(Struct, kw_only=True):
    """Body of ``/ui/task_runs/dashboard/counts``; ``task_runs`` must say after which start."""

    task_runs: TaskRunFilter
    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    deployments: DeploymentFilter | None = None
    work_pools: WorkPoolFilter | None = None
    work_queues: WorkQueueFilter | None = None


class ValuesCheck(Struct, kw_only=True):
    """Body of ``/ui/schemas/validate``: JSON Schema, and the values of a form."""

    schema: dict[str, Any]
    values: dict[str, Any]
