"""The filter language (api-contract §6), on the wire and statement by statement."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import product
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import msgspec
import pytest
from tests.server.outside import Json, Outside

from reeve.core.states import StateType
from reeve.core.work import WorkerStatus
from reeve.server.storage import find
from reeve.server.storage.filters import Where
from reeve.server.storage.store import Transaction
from reeve.wire import queries
from reeve.wire.filters import Criterion, Filter, Operator

LISTINGS: list[tuple[Any, type[msgspec.Struct]]] = [
    (find.flows, queries.FlowQuery),
    (find.deployments_, queries.DeploymentQuery),
    (find.flow_runs, queries.FlowRunQuery),
    (find.task_runs, queries.TaskRunQuery),
    (find.logs, queries.LogQuery),
    (find.work_pools, queries.WorkPoolQuery),
    (find.work_queues, queries.WorkQueueQuery),
    (partial(find.workers, pool_name="p"), queries.WorkerQuery),
    (find.notification_policies, queries.NotificationPolicyQuery),
    (find.variables_, queries.VariableQuery),
    (find.artifacts_, queries.ArtifactQuery),
    (find.latest_artifacts, queries.ArtifactCollectionQuery),
]


PLAIN: dict[type, list[Any]] = {
    UUID: [uuid4()],
    str: ["a", "50%_\\", "ü'\""],
    bool: [True, False],
    int: [20],
    datetime: [datetime.now(UTC)],
    StateType: list(StateType),
    WorkerStatus: list(WorkerStatus),
}


def some(type_: Any) -> Iterable[Any]:
    """Return values of a field's type: every operator alone, all together, under both words."""
    if get_origin(type_) in {UnionType, Union}:
        return [value for each in get_args(type_) if each is not type(None) for value in some(each)]
    if get_origin(type_) is list:
        return [[], list(some(get_args(type_)[0])), [*some(get_args(type_)[0])] * 2]
    if isinstance(type_, type) and issubclass(type_, Criterion | Filter):
        hints = get_type_hints(type_)
        operators = list(hints.pop("operator", ()) and Operator) or [None]
        fields = {name: list(some(hint)) for name, hint in hints.items()}
        alone = [{name: value} for name, values in fields.items() for value in values]
        together = {name: values[-1] for name, values in fields.items()}
        chosen = [{} if operator is None else {"operator": operator} for operator in operators]
        return [type_(**one, **word) for one, word in product([{}, together, *alone], chosen)]
    return PLAIN[type_]


async def test_every_filter_and_order_is_a_statement(api: Outside) -> None:
    """Both databases prepare all of them; shapes are many, values are parameters."""

    async def ask(tx: Transaction) -> int:
        asked = 0
        for listing, query_type in LISTINGS:
            for name, hint in get_type_hints(query_type).items():
                values = list(get_args(hint)[0]) if name == "sort" else some(hint)
                for value in values if name not in {"limit", "offset"} else ():
                    query = query_type(**{name: value})
                    assert await listing(tx, query, 200, 0) == []
                    asked += 1
        return asked

    assert await api.ctx.store.read(ask) > 500


class Found:
    """What a listing finds, by name."""

    def __init__(self, api: Outside) -> None:
        self.api = api

    async def __call__(self, noun: str, **query: Any) -> list[str]:
        answer = await self.api.post(f"/{noun}/filter", query)
        assert answer.status_code == 200, answer.text
        return sorted(each["name"] for each in answer.json())


@pytest.fixture
async def found(api: Outside) -> Found:
    """Two runs of a deployment in a pool, one of a flow alone with a task and a subflow."""
    await api.pool("p", type="process")
    await api.flow("lone", tags=["x"])
    deployment = await api.deployment("d", flow="deployed", work_pool_name="p", tags=["t"])
    await api.deployment("paused", flow="deployed", paused=True)
    await api.run_of(deployment, name="one", tags=["a", "b"])
    cancelled = await api.run_of(deployment, name="Two", tags=["b"])
    await api.enter(cancelled, "CANCELLED")
    lone = await api.run(flow="lone", name="lonely 100%", flow_version="7", idempotency_key="key")
    await api.enter(lone, "RUNNING")
    task = {"task_key": "t", "dynamic_key": "0", "flow_run_id": lone["id"], "name": "task", "tags": ["a"]}
    parent = (await api.post("/task_runs/", task)).json()
    await api.post("/task_runs/", {**task, "dynamic_key": "1", "name": "other", "tags": []})
    await api.run(flow="sub", name="child", parent_task_run_id=parent["id"])
    found = Found(api)
    found.__dict__.update(lone=lone, parent=parent, deployment=deployment)
    return found


EVERY = ["Two", "child", "lonely 100%", "one"]


async def test_filters_of_flow_runs(found: Any) -> None:
    async def runs(**filter_: Any) -> Any:
        return await found("flow_runs", flow_runs=filter_)

    lone, parent, deployment = found.lone["id"], found.parent["id"], found.deployment["id"]
    expected: list[tuple[Json, list[str]]] = [
        ({}, EVERY),
        ({"id": None}, EVERY),
        ({"id": {"any_": [lone, str(uuid4())]}}, ["lonely 100%"]),
        ({"id": {"any_": []}}, []),
        ({"id": {"not_any_": []}}, EVERY),
        ({"id": {"not_any_": [lone]}}, ["Two", "child", "one"]),
        ({"name": {"any_": ["one", "x"]}}, ["one"]),
        ({"name": {"like_": "O"}}, ["Two", "lonely 100%", "one"]),
        ({"name": {"like_": "o%e"}}, ["lonely 100%", "one"]),
        ({"name": {"like_": "\\"}}, []),
        ({"tags": {"all_": ["b"]}}, ["Two", "one"]),
        ({"tags": {"all_": ["a", "b"]}}, ["one"]),
        ({"tags": {"all_": []}}, EVERY),
        ({"tags": {"is_null_": True}}, ["child", "lonely 100%"]),
        ({"tags": {"is_null_": False}}, ["Two", "one"]),
        ({"tags": {"operator": "or_", "all_": ["a"], "is_null_": True}}, ["child", "lonely 100%", "one"]),
        ({"deployment_id": {"is_null_": True}}, ["child", "lonely 100%"]),
        ({"deployment_id": {"any_": [deployment]}}, ["Two", "one"]),
        ({"work_queue_name": {"any_": ["default"]}}, ["Two", "one"]),
        ({"work_queue_name": {"is_null_": True}}, ["child", "lonely 100%"]),
        ({"state": {"type": {"any_": ["RUNNING", "CANCELLED"]}}}, ["Two", "lonely 100%"]),
        ({"state": {"name": {"any_": ["Pending"]}}}, ["child"]),
        (
            {"state": {"operator": "or_", "type": {"any_": ["RUNNING"]}, "name": {"any_": ["Pending"]}}},
            ["child", "lonely 100%"],
        ),
        ({"flow_version": {"any_": ["7"]}}, ["lonely 100%"]),
        ({"start_time": {"is_null_": False}}, ["lonely 100%"]),
        ({"start_time": {"after_": "2026-01-01T00:00:00Z"}}, ["lonely 100%"]),
        ({"start_time": {"before_": "2026-01-01T00:00:00Z"}}, []),
        ({"expected_start_time": {"after_": "2026-01-01"}}, EVERY),
        ({"next_scheduled_start_time": {"after_": "2026-01-01T00:00:00Z"}}, ["one"]),
        ({"parent_flow_run_id": {"any_": [lone]}}, ["child"]),
        ({"parent_flow_run_id": {}}, EVERY),
        ({"parent_task_run_id": {"any_": [parent]}}, ["child"]),
        ({"parent_task_run_id": {"is_null_": True}}, ["Two", "lonely 100%", "one"]),
        ({"idempotency_key": {"any_": ["key"]}}, ["lonely 100%"]),
        ({"idempotency_key": {"not_any_": ["key"]}}, []),
        ({"name": {"any_": ["one"]}, "flow_version": {"any_": ["7"]}}, []),
        (
            {"operator": "or_", "name": {"any_": ["one"]}, "flow_version": {"any_": ["7"]}},
            ["lonely 100%", "one"],
        ),
        ({"operator": "or_"}, EVERY),
        ({"operator": "or_", "name": {}, "flow_version": {"any_": ["7"]}}, EVERY),
    ]
    for filter_, names in expected:
        assert await runs(**filter_) == names, filter_


async def test_an_exact_bound_is_within(api: Outside) -> None:
    at = "2030-01-01T00:00:00+00:00"
    await api.run(name="r", state={"type": "SCHEDULED", "state_details": {"scheduled_time": at}})
    for bound in ("before_", "after_"):
        for field in ("next_scheduled_start_time", "expected_start_time"):
            assert await Found(api)("flow_runs", flow_runs={field: {bound: at}}) == ["r"]


async def test_filters_of_related_objects(found: Any) -> None:
    deployed, lone = ["Two", "one"], ["lonely 100%"]
    expected: list[tuple[str, Json, list[str]]] = [
        ("flow_runs", {"flows": {"name": {"any_": ["deployed"]}}}, deployed),
        ("flow_runs", {"flows": {"tags": {"all_": ["x"]}}}, lone),
        ("flow_runs", {"flows": {}}, EVERY),
        ("flow_runs", {"flows": None, "deployments": None}, EVERY),
        ("flow_runs", {"deployments": {}}, deployed),
        ("flow_runs", {"work_pools": {}}, deployed),
        ("flow_runs", {"work_pool_queues": {}}, deployed),
        ("flow_runs", {"work_pools": {"name": {"any_": ["p"]}, "type": {"any_": ["docker"]}}}, []),
        ("flow_runs", {"work_pool_queues": {"name": {"startswith_": ["DEF"]}}}, deployed),
        ("flow_runs", {"task_runs": {}}, lone),
        ("flow_runs", {"task_runs": {"name": {"any_": ["task"]}}}, lone),
        ("flow_runs", {"deployments": {}, "task_runs": {}}, []),
        ("task_runs", {}, ["other", "task"]),
        ("task_runs", {"flow_runs": {"name": {"like_": "lonely"}}}, ["other", "task"]),
        ("task_runs", {"flows": {"name": {"any_": ["deployed"]}}}, []),
        ("task_runs", {"deployments": {}}, []),
        ("deployments", {}, ["d", "paused"]),
        ("deployments", {"flow_runs": {"state": {"type": {"any_": ["CANCELLED"]}}}}, ["d"]),
        ("deployments", {"task_runs": {}}, []),
        ("deployments", {"work_pools": {"name": {"any_": ["p"]}}}, ["d"]),
        ("deployments", {"work_pool_queues": {}}, ["d"]),
        ("deployments", {"flows": {"name": {"any_": ["lone"]}}}, []),
        ("flows", {}, ["deployed", "lone", "sub"]),
        ("flows", {"flow_runs": {"name": {"any_": ["child"]}}}, ["sub"]),
        ("flows", {"task_runs": {}}, ["lone"]),
        ("flows", {"deployments": {}}, ["deployed"]),
        ("flows", {"work_pools": {}}, ["deployed"]),
    ]
    for noun, query, names in expected:
        assert await found(noun, **query) == names, (noun, query)


async def test_filters_of_the_other_nouns(found: Any) -> None:
    lone = found.lone["id"]
    expected: list[tuple[str, str, Json, list[str]]] = [
        ("flows", "flows", {"deployment": {"is_null_": True}}, ["lone", "sub"]),
        ("flows", "flows", {"deployment": {"is_null_": False}}, ["deployed"]),
        ("flows", "flows", {"name": {"like_": "LO"}}, ["deployed", "lone"]),
        ("deployments", "deployments", {"paused": {"eq_": True}}, ["paused"]),
        ("deployments", "deployments", {"is_schedule_active": {"eq_": True}}, ["d"]),
        ("deployments", "deployments", {"is_schedule_active": {}}, ["d", "paused"]),
        ("deployments", "deployments", {"tags": {"all_": ["t"]}}, ["d"]),
        ("deployments", "deployments", {"work_queue_name": {"any_": ["default"]}}, ["d"]),
        ("task_runs", "task_runs", {"subflow_runs": {"exists_": True}}, ["task"]),
        ("task_runs", "task_runs", {"subflow_runs": {"exists_": False}}, ["other"]),
        ("task_runs", "task_runs", {"tags": {"all_": ["a"]}}, ["task"]),
        ("task_runs", "task_runs", {"flow_run_id": {"any_": [lone]}}, ["other", "task"]),
        ("task_runs", "task_runs", {"flow_run_id": {"any_": [lone], "is_null_": True}}, []),
        ("task_runs", "task_runs", {"flow_run_id": {"any_": [lone], "is_null_": False}}, ["other", "task"]),
        ("task_runs", "task_runs", {"state": {"type": {"any_": ["PENDING"]}}}, ["other", "task"]),
    ]
    for noun, key, filter_, names in expected:
        assert await found(noun, **{key: filter_}) == names, (noun, filter_)


async def test_orders(api: Outside) -> None:
    async def names(sort: str, noun: str = "flow_runs", **page: int) -> list[str]:
        answer = await api.post(f"/{noun}/filter", {"sort": sort, **page})
        assert answer.status_code == 200, answer.text
        return [each["name"] for each in answer.json()]

    def scheduled(day: int) -> Json:
        return {"type": "SCHEDULED", "state_details": {"scheduled_time": f"2030-01-0{day}T00:00:00Z"}}

    for name, day in (("b", 3), ("a", 1), ("c", 2)):
        await api.run(name=name, state=scheduled(day))
    ended = await api.run(name="d", state=scheduled(4))
    for state in ("RUNNING", "COMPLETED"):
        await api.enter(ended, state, force=True)
    assert await names("NAME_ASC") == ["a", "b", "c", "d"]
    assert await names("NAME_DESC") == ["d", "c", "b", "a"]
    assert await names("EXPECTED_START_TIME_ASC") == ["a", "c", "b", "d"]
    assert await names("EXPECTED_START_TIME_DESC") == ["d", "b", "c", "a"]
    assert await names("START_TIME_ASC") == ["d", "a", "c", "b"]
    assert await names("START_TIME_DESC") == ["b", "c", "a", "d"]
    assert await names("NEXT_SCHEDULED_START_TIME_ASC") == ["a", "c", "b", "d"]
    assert (await names("END_TIME_DESC"))[0] == "d"
    assert await names("NAME_ASC", limit=2, offset=1) == ["b", "c"]
    by_id = (await api.post("/flow_runs/filter", {})).json()
    assert [run["id"] for run in by_id] == sorted((run["id"] for run in by_id), reverse=True)
    assert (await api.post("/flow_runs/filter", {"sort": "CREATED_DESC"})).status_code == 422


async def test_pages_neither_repeat_nor_leave_out(api: Outside) -> None:
    made = {(await api.run(name="same"))["id"] for _ in range(7)}
    for sort in queries.FlowRunSort:
        pages = [
            (await api.post("/flow_runs/filter", {"sort": sort, "limit": 3, "offset": offset})).json()
            for offset in (0, 3, 6)
        ]
        seen = [run["id"] for page in pages for run in page]
        assert (len(seen), set(seen)) == (7, made), sort


def test_a_condition_names_its_values() -> None:
    """No value of a client is ever part of a statement."""
    where = Where()
    query = msgspec.convert(
        {"flow_runs": {"name": {"any_": ["x'; drop table flows"]}, "tags": {"all_": ["'"]}}},
        queries.FlowRunQuery,
    )
    text = where.of_flow_runs(query, "r")
    assert "drop" not in text
    assert where.values == [["x'; drop table flows"], '["\'"]']
