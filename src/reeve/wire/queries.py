"""Bodies of listings and counts: filters, the order, the page (api-contract §6 and §7)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from reeve.wire.filters import (
    ArtifactCollectionFilter,
    ArtifactFilter,
    BlockDocumentFilter,
    BlockSchemaFilter,
    BlockTypeFilter,
    DeploymentFilter,
    FlowFilter,
    FlowRunFilter,
    LogFilter,
    NotificationPolicyFilter,
    TaskRunFilter,
    VariableFilter,
    WorkerFilter,
    WorkPoolFilter,
    WorkQueueFilter,
)

MAX_LIMIT = 200  # PREFECT_API_DEFAULT_LIMIT: default and maximum of a page (api-contract §1)


class BlockDocumentSort(StrEnum):
    """Orders of block documents."""

    NAME_DESC = "NAME_DESC"
    NAME_ASC = "NAME_ASC"
    BLOCK_TYPE_AND_NAME_ASC = "BLOCK_TYPE_AND_NAME_ASC"


class FlowRunSort(StrEnum):
    """Orders of flow runs (api-contract §7)."""

    ID_DESC = "ID_DESC"
    START_TIME_ASC = "START_TIME_ASC"
    START_TIME_DESC = "START_TIME_DESC"
    EXPECTED_START_TIME_ASC = "EXPECTED_START_TIME_ASC"
    EXPECTED_START_TIME_DESC = "EXPECTED_START_TIME_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    NEXT_SCHEDULED_START_TIME_ASC = "NEXT_SCHEDULED_START_TIME_ASC"
    END_TIME_DESC = "END_TIME_DESC"


class TaskRunSort(StrEnum):
    """Orders of task runs."""

    ID_DESC = "ID_DESC"
    EXPECTED_START_TIME_ASC = "EXPECTED_START_TIME_ASC"
    EXPECTED_START_TIME_DESC = "EXPECTED_START_TIME_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    NEXT_SCHEDULED_START_TIME_ASC = "NEXT_SCHEDULED_START_TIME_ASC"
    END_TIME_DESC = "END_TIME_DESC"


class NameSort(StrEnum):
    """Orders of flows, deployments and variables."""

    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"


class ArtifactSort(StrEnum):
    """Orders of artifacts."""

    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"
    ID_DESC = "ID_DESC"
    KEY_DESC = "KEY_DESC"
    KEY_ASC = "KEY_ASC"


class LogSort(StrEnum):
    """Orders of log lines."""

    TIMESTAMP_ASC = "TIMESTAMP_ASC"
    TIMESTAMP_DESC = "TIMESTAMP_DESC"


# Of a page. The server checks the bounds itself, in the words of api-contract §1; null means the default.
Limit = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": MAX_LIMIT})]
Offset = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 2**63 - 1})]


class Page(Struct, kw_only=True):
    """Body of a listing that has no filter."""

    limit: Limit | None = None
    offset: Offset | None = None


class FlowRunFilters(Struct, kw_only=True):
    """Body of ``/flow_runs/count`` and ``/lateness``, and of ``/deployments/count``.

    What counts has neither pages nor an order: what is asked of them is ignored, whatever it is.
    """

    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    task_runs: TaskRunFilter | None = None
    deployments: DeploymentFilter | None = None
    work_pools: WorkPoolFilter | None = None
    work_pool_queues: WorkQueueFilter | None = None


class FlowRunQuery(FlowRunFilters, kw_only=True):
    """Body of ``/flow_runs/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: FlowRunSort | None = None


class DeploymentQuery(FlowRunFilters, kw_only=True):
    """Body of ``/deployments/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: NameSort | None = None


class TaskRunFilters(Struct, kw_only=True):
    """Body of ``/task_runs/count``."""

    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    task_runs: TaskRunFilter | None = None
    deployments: DeploymentFilter | None = None


class TaskRunQuery(TaskRunFilters, kw_only=True):
    """Body of ``/task_runs/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: TaskRunSort | None = None


class FlowFilters(TaskRunFilters, kw_only=True):
    """Body of ``/flows/count``."""

    work_pools: WorkPoolFilter | None = None


class FlowQuery(FlowFilters, kw_only=True):
    """Body of ``/flows/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: NameSort | None = None


class WorkPoolFilters(Struct, kw_only=True):
    """Body of ``/work_pools/count``."""

    work_pools: WorkPoolFilter | None = None


class WorkPoolQuery(WorkPoolFilters, kw_only=True):
    """Body of ``/work_pools/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None


class WorkQueueQuery(Page, kw_only=True):
    """Body of ``/work_queues/filter`` and of a pool's ``queues/filter``."""

    work_queues: WorkQueueFilter | None = None


class BlockTypeQuery(Page, kw_only=True):
    """Body of ``/block_types/filter``."""

    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None


class BlockSchemaQuery(Page, kw_only=True):
    """Body of ``/block_schemas/filter``."""

    block_schemas: BlockSchemaFilter | None = None


class BlockDocumentFilters(Struct, kw_only=True):
    """Body of ``/block_documents/count``."""

    block_documents: BlockDocumentFilter | None = None
    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None


class BlockDocumentQuery(BlockDocumentFilters, kw_only=True):
    """Body of ``/block_documents/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    include_secrets: bool = False
    sort: BlockDocumentSort | None = None


class WorkerQuery(Page, kw_only=True):
    """Body of a pool's ``workers/filter``."""

    workers: WorkerFilter | None = None


class LogQuery(Page, kw_only=True):
    """Body of ``/logs/filter``."""

    sort: LogSort | None = None
    logs: LogFilter | None = None


class VariableFilters(Struct, kw_only=True):
    """Body of ``/variables/count``."""

    variables: VariableFilter | None = None


class VariableQuery(VariableFilters, kw_only=True):
    """Body of ``/variables/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: NameSort | None = None


class ArtifactFilters(TaskRunFilters, kw_only=True):
    """Body of ``/artifacts/count``."""

    artifacts: ArtifactFilter | None = None


class ArtifactQuery(ArtifactFilters, kw_only=True):
    """Body of ``/artifacts/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: ArtifactSort | None = None


class ArtifactCollectionFilters(TaskRunFilters, kw_only=True):
    """Body of ``/artifacts/latest/count``."""

    artifacts: ArtifactCollectionFilter | None = None


class ArtifactCollectionQuery(ArtifactCollectionFilters, kw_only=True):
    """Body of ``/artifacts/latest/filter``."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort: ArtifactSort | None = None


class NotificationPolicyQuery(Page, kw_only=True):
    """Body of ``/flow_run_notification_policies/filter``."""

    flow_run_notification_policy_filter: NotificationPolicyFilter | None = None
