"""The filter language (api-contract §6), as far as the routes of today take it.

A field that is absent or null does not restrict. ``and_`` is the default operator throughout.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from reeve.core.states import StateType
from reeve.core.work import WorkerStatus

MAX_LIMIT = 200  # PREFECT_API_DEFAULT_LIMIT: default and maximum of a page (api-contract §1)


class Operator(StrEnum):
    """How criteria are combined."""

    AND = "and_"
    OR = "or_"


class Criterion(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The operators one field is tested with."""


class Filter(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Criteria on the fields of one kind of object."""

    operator: Operator = Operator.AND


class Ids(Criterion, kw_only=True, frozen=True):
    """``id``."""

    any_: list[UUID] | None = None


class RunIds(Ids, kw_only=True, frozen=True):
    """``id`` of flow runs."""

    not_any_: list[UUID] | None = None


class NullableIds(Criterion, kw_only=True, frozen=True):
    """A reference that may be absent."""

    operator: Operator = Operator.AND
    any_: list[UUID] | None = None
    is_null_: bool | None = None


class ParentIds(Criterion, kw_only=True, frozen=True):
    """``parent_flow_run_id``."""

    operator: Operator = Operator.AND
    any_: list[UUID] | None = None


class Name(Criterion, kw_only=True, frozen=True):
    """A name: one of, or a case-insensitive part."""

    any_: list[str] | None = None
    like_: str | None = None


class ArtifactKey(Name, kw_only=True, frozen=True):
    """``key`` of an artifact."""

    exists_: bool | None = None


class AnyText(Criterion, kw_only=True, frozen=True):
    """A text: one of."""

    any_: list[str] | None = None


class NullableText(AnyText, kw_only=True, frozen=True):
    """A text that may be absent."""

    operator: Operator = Operator.AND
    is_null_: bool | None = None


class KeyText(AnyText, kw_only=True, frozen=True):
    """``idempotency_key``, and ``type`` of artifacts."""

    not_any_: list[str] | None = None


class QueueName(AnyText, kw_only=True, frozen=True):
    """``name`` of a work queue: one of, or one of these case-insensitive beginnings."""

    startswith_: list[str] | None = None


class Tags(Criterion, kw_only=True, frozen=True):
    """``tags``: has all, or has none at all."""

    operator: Operator = Operator.AND
    all_: list[str] | None = None
    is_null_: bool | None = None


class StateTypes(Criterion, kw_only=True, frozen=True):
    """``state.type``."""

    any_: list[StateType] | None = None


class StateNames(Criterion, kw_only=True, frozen=True):
    """``state.name``."""

    any_: list[str] | None = None


class StateCriterion(Criterion, kw_only=True, frozen=True):
    """``state``."""

    operator: Operator = Operator.AND
    type: StateTypes | None = None
    name: StateNames | None = None


class Instants(Criterion, kw_only=True, frozen=True):
    """An instant; both bounds are inclusive."""

    before_: datetime | None = None
    after_: datetime | None = None


class NullableInstants(Instants, kw_only=True, frozen=True):
    """An instant that may be absent."""

    is_null_: bool | None = None


class WorkerStatuses(Criterion, kw_only=True, frozen=True):
    """``status`` of workers: taken, and never applied (api-contract §6)."""

    any_: list[WorkerStatus] | None = None
    not_any_: list[WorkerStatus] | None = None


class Flag(Criterion, kw_only=True, frozen=True):
    """A yes or no."""

    eq_: bool | None = None


class Exists(Criterion, kw_only=True, frozen=True):
    """Whether related objects exist."""

    exists_: bool | None = None


class Null(Criterion, kw_only=True, frozen=True):
    """``flows.deployment``."""

    operator: Operator = Operator.AND
    is_null_: bool | None = None


class Level(Criterion, kw_only=True, frozen=True):
    """``level`` of a log line."""

    ge_: int | None = None
    le_: int | None = None


class FlowFilter(Filter, kw_only=True, frozen=True):
    """``flows``."""

    id: Ids | None = None
    deployment: Null | None = None
    name: Name | None = None
    tags: Tags | None = None


class FlowRunFilter(Filter, kw_only=True, frozen=True):
    """``flow_runs``."""

    id: RunIds | None = None
    name: Name | None = None
    tags: Tags | None = None
    deployment_id: NullableIds | None = None
    work_queue_name: NullableText | None = None
    state: StateCriterion | None = None
    flow_version: AnyText | None = None
    start_time: NullableInstants | None = None
    expected_start_time: Instants | None = None
    next_scheduled_start_time: Instants | None = None
    parent_flow_run_id: ParentIds | None = None
    parent_task_run_id: NullableIds | None = None
    idempotency_key: KeyText | None = None


class TaskRunFilter(Filter, kw_only=True, frozen=True):
    """``task_runs``."""

    id: Ids | None = None
    name: Name | None = None
    tags: Tags | None = None
    state: StateCriterion | None = None
    start_time: NullableInstants | None = None
    subflow_runs: Exists | None = None
    flow_run_id: NullableIds | None = None


class DeploymentFilter(Filter, kw_only=True, frozen=True):
    """``deployments``; ``is_schedule_active`` reads *not paused*."""

    id: Ids | None = None
    name: Name | None = None
    paused: Flag | None = None
    is_schedule_active: Flag | None = None
    tags: Tags | None = None
    work_queue_name: AnyText | None = None


class WorkPoolFilter(Filter, kw_only=True, frozen=True):
    """``work_pools``."""

    id: Ids | None = None
    name: AnyText | None = None
    type: AnyText | None = None


class WorkQueueFilter(Filter, kw_only=True, frozen=True):
    """``work_queues``, ``work_pool_queues``."""

    id: Ids | None = None
    name: QueueName | None = None


class NamePart(Criterion, kw_only=True, frozen=True):
    """A case-insensitive part of a name."""

    like_: str | None = None


class AllTexts(Criterion, kw_only=True, frozen=True):
    """``block_capabilities``: has all."""

    all_: list[str] | None = None


class BlockTypeFilter(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``block_types``; its criteria are always and-ed."""

    name: NamePart | None = None
    slug: AnyText | None = None


class BlockSchemaFilter(Filter, kw_only=True, frozen=True):
    """``block_schemas``."""

    id: Ids | None = None
    block_type_id: Ids | None = None
    block_capabilities: AllTexts | None = None
    version: AnyText | None = None


class BlockDocumentFilter(Filter, kw_only=True, frozen=True):
    """``block_documents``: anonymous ones are left out unless asked for (api-contract §6)."""

    id: Ids | None = None
    is_anonymous: Flag | None = Flag(eq_=False)
    block_type_id: Ids | None = None
    name: Name | None = None


class WorkerFilter(Filter, kw_only=True, frozen=True):
    """``workers``."""

    last_heartbeat_time: Instants | None = None
    status: WorkerStatuses | None = None


class LogFilter(Filter, kw_only=True, frozen=True):
    """``logs``."""

    level: Level | None = None
    timestamp: Instants | None = None
    flow_run_id: Ids | None = None
    task_run_id: Ids | None = None


class VariableFilter(Filter, kw_only=True, frozen=True):
    """``variables``."""

    id: Ids | None = None
    name: Name | None = None
    value: Name | None = None
    tags: Tags | None = None


class ArtifactFilter(Filter, kw_only=True, frozen=True):
    """``artifacts``."""

    id: Ids | None = None
    key: ArtifactKey | None = None
    flow_run_id: Ids | None = None
    task_run_id: Ids | None = None
    type: KeyText | None = None


class ArtifactCollectionFilter(Filter, kw_only=True, frozen=True):
    """``artifacts`` of the routes about the newest of each key."""

    latest_id: Ids | None = None
    key: ArtifactKey | None = None
    flow_run_id: Ids | None = None
    task_run_id: Ids | None = None
    type: KeyText | None = None


class BlockDocumentSort(StrEnum):
    """Orders of block documents."""

    NAME_DESC = "NAME_DESC"
    NAME_ASC = "NAME_ASC"
    BLOCK_TYPE_AND_NAME_ASC = "BLOCK_TYPE_AND_NAME_ASC"


class NotificationPolicyFilter(Criterion, kw_only=True, frozen=True):
    """``flow_run_notification_policy_filter``; it asks for idle ones by itself (api-contract §6)."""

    is_active: Flag | None = Flag(eq_=False)


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
