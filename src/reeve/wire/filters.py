"""The filter language (api-contract §6), as far as the routes of today take it; ``queries`` hold filters.

A field that is absent or null does not restrict. ``and_`` is the default operator throughout.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from reeve.core.states import StateType
from reeve.core.work import WorkerStatus


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


class NotificationPolicyFilter(Criterion, kw_only=True, frozen=True):
    """``flow_run_notification_policy_filter``; it asks for idle ones by itself (api-contract §6)."""

    is_active: Flag | None = Flag(eq_=False)
