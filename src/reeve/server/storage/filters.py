"""The filter language as SQL: a filter and its table's alias → a condition, and the values it names (§6).

Values are parameters, never text. A criterion that restricts nothing is true. Several filters of one
request are and-ed, each as "a row related to one that matches": so even an empty filter asks for a relation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from reeve.server.storage import rows
from reeve.wire import filters, queries
from reeve.wire.filters import Operator

T = TypeVar("T")

EVERYTHING = "true"
NOTHING = "false"


class Where:
    """The condition of one statement, and the parameters it names.

    A method that is given None, because nothing was asked, returns None.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []

    def value(self, value: Any) -> str:
        """Take a parameter, and return its name in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"

    # What a listing of each kind takes, by the alias of its table

    def of_flows(self, query: queries.FlowFilters, f: str) -> str:
        """Return the condition of a listing of flows."""
        runs = "task_runs tr join flow_runs fr on fr.id = tr.flow_run_id"
        pools = (
            "deployments dp join work_queues wq on wq.id = dp.work_queue_id"
            " join work_pools wp on wp.id = wq.work_pool_id"
        )
        return _all(
            _given(query.flows, lambda own: self.flow(own, f)),
            _related(query.flow_runs, "flow_runs fr", f"fr.flow_id = {f}.id", self.flow_run, "fr"),
            _related(query.task_runs, runs, f"fr.flow_id = {f}.id", self.task_run, "tr"),
            _related(query.deployments, "deployments dp", f"dp.flow_id = {f}.id", self.deployment, "dp"),
            _related(query.work_pools, pools, f"dp.flow_id = {f}.id", self.work_pool, "wp"),
        )

    def of_deployments(self, query: queries.FlowRunFilters, d: str) -> str:
        """Return the condition of a listing of deployments."""
        runs = "task_runs tr join flow_runs fr on fr.id = tr.flow_run_id"
        own_run = f"fr.deployment_id = {d}.id"
        return _all(
            _given(query.deployments, lambda own: self.deployment(own, d)),
            _related(query.flows, "flows fl", f"fl.id = {d}.flow_id", self.flow, "fl"),
            _related(query.flow_runs, "flow_runs fr", own_run, self.flow_run, "fr"),
            _related(query.task_runs, runs, own_run, self.task_run, "tr"),
            self._place(query, d),
        )

    def of_flow_runs(self, query: queries.FlowRunFilters, r: str) -> str:
        """Return the condition of a listing of flow runs."""
        own_deployment = f"dp.id = {r}.deployment_id"
        return _all(
            _given(query.flow_runs, lambda own: self.flow_run(own, r)),
            _related(query.flows, "flows fl", f"fl.id = {r}.flow_id", self.flow, "fl"),
            _related(query.task_runs, "task_runs tr", f"tr.flow_run_id = {r}.id", self.task_run, "tr"),
            _related(query.deployments, "deployments dp", own_deployment, self.deployment, "dp"),
            self._place(query, r),
        )

    def of_task_runs(self, query: queries.TaskRunFilters, t: str) -> str:
        """Return the condition of a listing of task runs."""
        own_run = f"fr.id = {t}.flow_run_id"
        flows = "flow_runs fr join flows fl on fl.id = fr.flow_id"
        deployments = "flow_runs fr join deployments dp on dp.id = fr.deployment_id"
        return _all(
            _given(query.task_runs, lambda own: self.task_run(own, t)),
            _related(query.flows, flows, own_run, self.flow, "fl"),
            _related(query.flow_runs, "flow_runs fr", own_run, self.flow_run, "fr"),
            _related(query.deployments, deployments, own_run, self.deployment, "dp"),
        )

    def of_artifacts(self, query: queries.ArtifactFilters, a: str) -> str:
        """Return the condition of a listing of artifacts."""
        return _all(_given(query.artifacts, lambda own: self.artifact(own, a)), self._origin(query, a))

    def of_latest_artifacts(self, query: queries.ArtifactCollectionFilters, a: str) -> str:
        """Return the condition of a listing of the newest artifact of each key."""
        return _all(
            f"{a}.key is not null",
            f"not exists (select 1 from artifacts x where x.key = {a}.key"
            f" and (x.created, x.id) > ({a}.created, {a}.id))",
            _given(query.artifacts, lambda own: self.artifact_collection(own, a)),
            self._origin(query, a),
        )

    def _origin(self, query: queries.TaskRunFilters, a: str) -> str:
        own_run = f"fr.id = {a}.flow_run_id"
        flows = "flow_runs fr join flows fl on fl.id = fr.flow_id"
        deployments = "flow_runs fr join deployments dp on dp.id = fr.deployment_id"
        return _all(
            _related(query.flows, flows, own_run, self.flow, "fl"),
            _related(query.flow_runs, "flow_runs fr", own_run, self.flow_run, "fr"),
            _related(query.task_runs, "task_runs tr", f"tr.id = {a}.task_run_id", self.task_run, "tr"),
            _related(query.deployments, deployments, own_run, self.deployment, "dp"),
        )

    def of_block_types(self, query: queries.BlockTypeQuery, t: str) -> str:
        """Return the condition of a listing of block types."""
        own_schema = f"bs.block_type_id = {t}.id"
        return _all(
            _given(query.block_types, lambda own: self.block_type(own, t)),
            _related(query.block_schemas, "block_schemas bs", own_schema, self.block_schema, "bs"),
        )

    def of_block_documents(self, query: queries.BlockDocumentFilters, d: str, t: str, s: str) -> str:
        """Return the condition of a listing of block documents, which have one type and one schema."""
        return _all(
            self.block_document(query.block_documents or filters.BlockDocumentFilter(), d),
            _given(query.block_types, lambda own: self.block_type(own, t)),
            _given(query.block_schemas, lambda own: self.block_schema(own, s)),
        )

    def _place(self, query: queries.FlowRunFilters, owner: str) -> str:
        own_queue = f"wq.id = {owner}.work_queue_id"
        pools = "work_queues wq join work_pools wp on wp.id = wq.work_pool_id"
        return _all(
            _related(query.work_pool_queues, "work_queues wq", own_queue, self.work_queue, "wq"),
            _related(query.work_pools, pools, own_queue, self.work_pool, "wp"),
        )

    # Filters, one for each kind of object

    def flow(self, wanted: filters.FlowFilter, f: str) -> str:
        """Return the condition on flows."""
        deployed = f"exists (select 1 from deployments x where x.flow_id = {f}.id)"
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{f}.id"),
            _given(wanted.deployment, lambda one: _chosen(one.is_null_, f"not {deployed}", deployed)),
            self._name(wanted.name, f"{f}.name"),
            self._tags(wanted.tags, f"{f}.tags"),
        )

    def flow_run(self, wanted: filters.FlowRunFilter, r: str) -> str:
        """Return the condition on flow runs."""
        return _join(
            wanted.operator,
            self._run_ids(wanted.id, f"{r}.id"),
            self._name(wanted.name, f"{r}.name"),
            self._tags(wanted.tags, f"{r}.tags"),
            self._nullable_ids(wanted.deployment_id, f"{r}.deployment_id"),
            self._nullable_text(wanted.work_queue_name, f"{r}.work_queue_name"),
            self._state(wanted.state, r),
            self._text(wanted.flow_version, f"{r}.flow_version"),
            self._instants(wanted.start_time, f"{r}.start_time"),
            self._instants(wanted.expected_start_time, f"{r}.expected_start_time"),
            self._instants(wanted.next_scheduled_start_time, f"{r}.next_scheduled_start_time"),
            self._parents(wanted.parent_flow_run_id, r),
            self._nullable_ids(wanted.parent_task_run_id, f"{r}.parent_task_run_id"),
            self._keys(wanted.idempotency_key, f"{r}.idempotency_key"),
        )

    def task_run(self, wanted: filters.TaskRunFilter, t: str) -> str:
        """Return the condition on task runs."""
        subflows = f"exists (select 1 from flow_runs x where x.parent_task_run_id = {t}.id)"
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{t}.id"),
            self._name(wanted.name, f"{t}.name"),
            self._tags(wanted.tags, f"{t}.tags"),
            self._state(wanted.state, t),
            self._instants(wanted.start_time, f"{t}.start_time"),
            _given(wanted.subflow_runs, lambda one: _chosen(one.exists_, subflows, f"not {subflows}")),
            self._flow_run_ids(wanted.flow_run_id, f"{t}.flow_run_id"),
        )

    def deployment(self, wanted: filters.DeploymentFilter, d: str) -> str:
        """Return the condition on deployments; ``is_schedule_active`` reads *not paused*."""
        paused, resumed = f"{d}.paused", f"not {d}.paused"
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{d}.id"),
            self._name(wanted.name, f"{d}.name"),
            _given(wanted.paused, lambda one: _chosen(one.eq_, paused, resumed)),
            _given(wanted.is_schedule_active, lambda one: _chosen(one.eq_, resumed, paused)),
            self._tags(wanted.tags, f"{d}.tags"),
            self._text(wanted.work_queue_name, f"{d}.work_queue_name"),
        )

    def work_pool(self, wanted: filters.WorkPoolFilter, p: str) -> str:
        """Return the condition on work pools."""
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{p}.id"),
            self._text(wanted.name, f"{p}.name"),
            self._text(wanted.type, f"{p}.type"),
        )

    def work_queue(self, wanted: filters.WorkQueueFilter, q: str) -> str:
        """Return the condition on work queues."""
        return _join(
            wanted.operator, self._ids(wanted.id, f"{q}.id"), self._queue_name(wanted.name, f"{q}.name")
        )

    def block_type(self, wanted: filters.BlockTypeFilter, t: str) -> str:
        """Return the condition on block types."""
        part = wanted.name.like_ if wanted.name else None
        return _all(
            _given(part, lambda text: self._like(f"{t}.name", f"%{_literal(text)}%")),
            self._text(wanted.slug, f"{t}.slug"),
        )

    def block_schema(self, wanted: filters.BlockSchemaFilter, s: str) -> str:
        """Return the condition on block schemas."""
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{s}.id"),
            self._ids(wanted.block_type_id, f"{s}.block_type_id"),
            _given(wanted.block_capabilities, lambda one: _all(self._has_all(one.all_, f"{s}.capabilities"))),
            self._text(wanted.version, f"{s}.version"),
        )

    def block_document(self, wanted: filters.BlockDocumentFilter, d: str) -> str:
        """Return the condition on block documents."""
        anonymous = f"{d}.is_anonymous"
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{d}.id"),
            _given(wanted.is_anonymous, lambda one: _chosen(one.eq_, anonymous, f"not {anonymous}")),
            self._ids(wanted.block_type_id, f"{d}.block_type_id"),
            self._name(wanted.name, f"{d}.name"),
        )

    def worker(self, wanted: filters.WorkerFilter, w: str) -> str:
        """Return the condition on workers; their status restricts nothing (api-contract §6)."""
        return _all(self._instants(wanted.last_heartbeat_time, f"{w}.last_heartbeat_time"))

    def notification_policy(self, wanted: filters.NotificationPolicyFilter, n: str) -> str:
        """Return the condition on notification policies."""
        active, idle = f"{n}.is_active", f"not {n}.is_active"
        return _all(_given(wanted.is_active, lambda one: _chosen(one.eq_, active, idle)))

    def log(self, wanted: filters.LogFilter, g: str) -> str:
        """Return the condition on log lines."""
        return _join(
            wanted.operator,
            self._level(wanted.level, f"{g}.level"),
            self._instants(wanted.timestamp, f"{g}.timestamp"),
            self._ids(wanted.flow_run_id, f"{g}.flow_run_id"),
            self._ids(wanted.task_run_id, f"{g}.task_run_id"),
        )

    def variable(self, wanted: filters.VariableFilter, v: str) -> str:
        """Return the condition on variables."""
        return _join(
            wanted.operator,
            self._ids(wanted.id, f"{v}.id"),
            self._name(wanted.name, f"{v}.name"),
            self._name(wanted.value, f"{v}.value"),
            self._tags(wanted.tags, f"{v}.tags"),
        )

    def artifact(self, wanted: filters.ArtifactFilter, a: str) -> str:
        """Return the condition on artifacts."""
        return _join(wanted.operator, self._ids(wanted.id, f"{a}.id"), *self._artifact(wanted, a))

    def artifact_collection(self, wanted: filters.ArtifactCollectionFilter, a: str) -> str:
        """Return the condition on the newest artifact of each key."""
        return _join(wanted.operator, self._ids(wanted.latest_id, f"{a}.id"), *self._artifact(wanted, a))

    def _artifact(
        self, wanted: filters.ArtifactFilter | filters.ArtifactCollectionFilter, a: str
    ) -> list[str | None]:
        return [
            self._artifact_key(wanted.key, f"{a}.key"),
            self._ids(wanted.flow_run_id, f"{a}.flow_run_id"),
            self._ids(wanted.task_run_id, f"{a}.task_run_id"),
            self._keys(wanted.type, f"{a}.type"),
        ]

    # Criteria on one field

    def _ids(self, ids: filters.Ids | None, column: str) -> str | None:
        return _given(ids, lambda one: _all(self._any_id(one.any_, column)))

    def _run_ids(self, ids: filters.RunIds | None, column: str) -> str | None:
        if ids is None:
            return None
        excluded = _given(ids.not_any_, lambda these: f"{column} <> all({self.value(these)}::uuid[])")
        return _all(self._any_id(ids.any_, column), excluded)

    def _nullable_ids(self, ids: filters.NullableIds | None, column: str) -> str | None:
        if ids is None:
            return None
        return _join(ids.operator, self._any_id(ids.any_, column), _is_null(ids.is_null_, column))

    def _flow_run_ids(self, ids: filters.NullableIds | None, column: str) -> str | None:
        """``is_null_`` of a task run's flow run wins over ``any_`` (api-contract §6)."""
        if ids is None:
            return None
        if ids.is_null_ or ids.any_ is None:
            return _all(_is_null(ids.is_null_, column))
        return self._any_id(ids.any_, column)

    def _parents(self, ids: filters.ParentIds | None, r: str) -> str | None:
        if ids is None:
            return None
        own = f"x.id = {r}.parent_task_run_id"
        inside = self._any_id(ids.any_, "x.flow_run_id")
        return (
            EVERYTHING if inside is None else f"exists (select 1 from task_runs x where {own} and {inside})"
        )

    def _name(self, name: filters.Name | None, column: str) -> str | None:
        if name is None:
            return None
        part = _given(name.like_, lambda text: self._like(column, f"%{_literal(text)}%"))
        return _all(self._any_text(name.any_, column), part)

    def _artifact_key(self, key: filters.ArtifactKey | None, column: str) -> str | None:
        if key is None:
            return None
        there = _chosen(key.exists_, f"{column} is not null", f"{column} is null")
        return _all(self._name(key, column), there)

    def _queue_name(self, name: filters.QueueName | None, column: str) -> str | None:
        if name is None:
            return None
        return _all(
            self._any_text(name.any_, column),
            _given(
                name.startswith_,
                lambda texts: _any(self._like(column, f"{_literal(text)}%") for text in texts),
            ),
        )

    def _text(self, text: filters.AnyText | None, column: str) -> str | None:
        return _given(text, lambda one: _all(self._any_text(one.any_, column)))

    def _nullable_text(self, text: filters.NullableText | None, column: str) -> str | None:
        if text is None:
            return None
        return _join(text.operator, self._any_text(text.any_, column), _is_null(text.is_null_, column))

    def _keys(self, keys: filters.KeyText | None, column: str) -> str | None:
        if keys is None:
            return None
        excluded = _given(keys.not_any_, lambda these: f"{column} <> all({self.value(these)}::text[])")
        return _all(self._any_text(keys.any_, column), excluded)

    def _tags(self, tags: filters.Tags | None, column: str) -> str | None:
        if tags is None:
            return None
        return _join(
            tags.operator,
            self._has_all(tags.all_, column),
            _chosen(tags.is_null_, f"{column} = '[]'", f"{column} <> '[]'"),
        )

    def _state(self, state: filters.StateCriterion | None, r: str) -> str | None:
        if state is None:
            return None
        return _join(
            state.operator,
            _given(state.type, lambda one: _all(self._any_text(one.any_, f"{r}.state_type"))),
            _given(state.name, lambda one: _all(self._any_text(one.any_, f"{r}.state_name"))),
        )

    def _instants(self, instants: filters.Instants | None, column: str) -> str | None:
        if instants is None:
            return None
        null = instants.is_null_ if isinstance(instants, filters.NullableInstants) else None
        return _all(
            _given(instants.before_, lambda at: f"{column} <= {self.value(rows.micros(at))}"),
            _given(instants.after_, lambda at: f"{column} >= {self.value(rows.micros(at))}"),
            _is_null(null, column),
        )

    def _level(self, level: filters.Level | None, column: str) -> str | None:
        if level is None:
            return None
        return _all(
            _given(level.ge_, lambda least: f"{column} >= {self.value(least)}"),
            _given(level.le_, lambda most: f"{column} <= {self.value(most)}"),
        )

    def _any_id(self, ids: list[Any] | None, column: str) -> str | None:
        return _given(ids, lambda these: f"{column} = any({self.value(these)}::uuid[])")

    def _any_text(self, texts: Iterable[str] | None, column: str) -> str | None:
        return _given(texts, lambda these: f"{column} = any({self.value(list(these))}::text[])")

    def _has_all(self, texts: list[str] | None, column: str) -> str | None:
        return _given(texts, lambda these: f"{column} @> {self.value(rows.json(these))}::jsonb")

    def _like(self, column: str, pattern: str) -> str:
        # The backslash is PostgreSQL's default and nothing to SQLite: named, it means the same to both.
        return f"{column} ilike {self.value(pattern)} escape '\\'"


def _literal(text: str) -> str:
    """Return a text for a pattern: its wildcards stay what they are (api-contract §6)."""
    return text.replace("\\", "\\\\")


def _given(value: T | None, condition: Callable[[T], str | None]) -> str | None:
    """Return the condition on a value that was given; one that restricts nothing is true."""
    return None if value is None else condition(value) or EVERYTHING


def _is_null(wanted: bool | None, column: str) -> str | None:
    return _chosen(wanted, f"{column} is null", f"{column} is not null")


def _chosen(wanted: bool | None, yes: str, no: str) -> str | None:
    return None if wanted is None else yes if wanted else no


def _all(*conditions: str | None) -> str:
    return _join(Operator.AND, *conditions)


def _any(conditions: Iterable[str]) -> str:
    return _join(Operator.OR, NOTHING, *conditions)


def _join(operator: Operator, *conditions: str | None) -> str:
    """Combine the conditions that are there; without any it is everything."""
    given = [condition for condition in conditions if condition is not None]
    if not given:
        return EVERYTHING
    word = " and " if operator is Operator.AND else " or "
    return given[0] if len(given) == 1 else f"({word.join(given)})"


def _related(
    wanted: T | None, tables: str, relation: str, condition: Callable[[T, str], str], alias: str
) -> str | None:
    """Return the condition that a related row, called ``alias`` among ``tables``, matches a filter."""
    if wanted is None:
        return None
    return f"exists (select 1 from {tables} where {relation} and {condition(wanted, alias)})"
