"""What filters and sorts should find, in plain Python over the values of a small world (api-contract §6).

A world is rows by table; ``worlds`` draws one, ``put`` stores it. ``questions`` draws what to ask of a
listing, whatever its query's fields are, and ``Oracle`` answers. The only SQL here is the INSERT of ``put``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from reeve.core.states import StateType
from reeve.core.work import WorkerStatus
from reeve.server.storage.store import Transaction
from reeve.wire.filters import Operator

Row = dict[str, Any]
World = dict[str, list[Row]]
Answer = list[Row]

# Few values, so that rows and filters often meet, and one stock of ids, so that a noun's is another's too.
IDS = [UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128) for number in range(1, 8)]
TIMES = [datetime(2026, 11, 22, 19, 30, tzinfo=UTC) + timedelta(microseconds=n) for n in range(5)]
TEXTS = ["a", "A", "ab", "a_b", "a%", "ä", "Ä", "x\\y", "'"]
PATTERNS = [*TEXTS, "", "b", "_", "%", "a%b", "\\", "ÄB"]
TYPES = [StateType.SCHEDULED, StateType.RUNNING, StateType.COMPLETED]
LEVELS = [10, 20, 30]

MAY_NOT_BE_NULL: dict[str, Row] = {  # what the schema asks for and no filter looks at
    "work_pools": {"base_job_template": {}, "is_paused": False, "on_lost": "wait"},
    "work_queues": {"description": "", "is_paused": False, "status": "READY"},
    "deployments": {
        "job_variables": {},
        "parameters": {},
        "enforce_parameter_schema": False,
        "status": "READY",
    },
    "flow_runs": {
        "parameters": {},
        "context": {},
        "empirical_policy": {},
        "run_count": 0,
        "total_run_time": 0.0,
        "auto_scheduled": False,
        "crash_count": 0,
        "had_lease": False,
    },
    "task_runs": {
        "task_key": "t",
        "empirical_policy": {},
        "task_inputs": {},
        "run_count": 0,
        "flow_run_run_count": 0,
        "total_run_time": 0.0,
    },
    "attempts": {"number": 1, "kind": "LEASED", "state": "EXITED", "unreachable": False, "last_seq": 0},
    "events": {"kind": "state.entered", "payload": {}},
    "logs": {"name": "l", "message": "m"},
    "workers": {"status": "ONLINE"},
    "block_types": {"is_protected": False},
    "block_schemas": {"fields": {}},
    "block_documents": {"data": '"sealed"', "key_id": "k"},
    "flow_run_notification_policies": {"state_names": [], "tags": []},
}
IN_ORDER = (  # what is referred to comes first
    *("flows", "work_pools", "work_queues", "workers", "deployments", "flow_runs"),
    *("flow_run_states", "task_runs", "task_run_states", "attempts", "events", "logs"),
    *("artifacts", "variables", "block_types", "block_schemas", "block_documents"),
    "flow_run_notification_policies",
)
UNIQUE: dict[str, Callable[[Row], Any]] = {
    "flows": lambda row: row["name"],
    "work_pools": lambda row: row["name"],
    "work_queues": lambda row: (row["work_pool_id"], row["name"]),
    "workers": lambda row: (row["work_pool_id"], row["name"]),
    "deployments": lambda row: (row["flow_id"], row["name"]),
    "flow_runs": lambda row: (row["flow_id"], row["idempotency_key"] or row["id"]),
    "variables": lambda row: row["name"],
    "block_types": lambda row: row["name"],
    "block_schemas": lambda row: (row["checksum"], row["version"]),
    "block_documents": lambda row: (row["block_type_id"], row["name"]),
}

texts, times, ids = st.sampled_from(TEXTS), st.sampled_from(TIMES), st.sampled_from(IDS)
tags = st.lists(texts, max_size=2)
maybe_times, maybe_texts, maybe_ids = (st.none() | each for each in (times, texts, ids))


def _one_of(rows: list[Row]) -> st.SearchStrategy[UUID]:
    return st.sampled_from([row["id"] for row in rows])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a few rows of each table; a reference without a foreign key may lead nowhere."""
    world: World = {}

    def made(table: str, most: int, **fields: st.SearchStrategy[Any]) -> list[Row]:
        stamps: Row = {"created": times} | ({} if table == "logs" else {"updated": times})
        row = st.fixed_dictionaries({"id": ids, **stamps, **fields})
        keys: list[Callable[[Row], Any]] = [lambda row: row["id"]]
        unique = st.lists(row, min_size=1, max_size=most, unique_by=(*keys, UNIQUE.get(table, keys[0])))
        world[table] = draw(unique)
        return world[table]

    states: Row = {"state_type": st.none() | st.sampled_from(TYPES), "state_name": maybe_texts}
    spans = {"start_time": maybe_times, "end_time": maybe_times, "expected_start_time": times}
    runs = {"tags": tags, "next_scheduled_start_time": maybe_times, **states, **spans}
    flows = _one_of(made("flows", 3, name=texts, tags=tags))
    pools = _one_of(made("work_pools", 2, name=texts, type=texts))
    priority = st.integers(1, 2)
    queues = _one_of(made("work_queues", 3, name=texts, work_pool_id=pools, priority=priority))
    made("workers", 3, name=texts, work_pool_id=pools, last_heartbeat_time=maybe_times)
    place = {"work_queue_id": st.none() | queues, "work_queue_name": maybe_texts}
    deployments = _one_of(
        made("deployments", 3, name=texts, flow_id=flows, paused=st.booleans(), tags=tags, **place)
    )
    flow_runs = _one_of(
        made(
            "flow_runs",
            7,
            name=texts,
            flow_id=flows,
            deployment_id=st.none() | deployments,
            flow_version=maybe_texts,
            idempotency_key=maybe_texts,
            parent_task_run_id=maybe_ids,
            **place,
            **runs,
        )
    )
    made("task_runs", 6, name=texts, flow_run_id=st.none() | flow_runs, **runs)
    for place_, row in enumerate(world["task_runs"]):
        row["dynamic_key"] = str(place_)
    origin = {"flow_run_id": maybe_ids, "task_run_id": maybe_ids}
    made("logs", 6, level=st.sampled_from(LEVELS), timestamp=times, **origin)
    made("artifacts", 6, key=maybe_texts, type=maybe_texts, **origin)
    made("variables", 4, name=texts, value=texts, tags=tags)
    types = _one_of(made("block_types", 3, name=texts))
    for row in world["block_types"]:
        row["slug"] = row["name"]
    able = st.lists(texts, max_size=2, unique=True)
    schemas = _one_of(
        made("block_schemas", 3, block_type_id=types, capabilities=able, version=texts, checksum=texts)
    )
    documents = _one_of(
        made(
            "block_documents",
            4,
            name=texts,
            is_anonymous=st.booleans(),
            block_schema_id=schemas,
            block_type_id=types,
        )
    )
    made("flow_run_notification_policies", 3, is_active=st.booleans(), block_document_id=documents)
    return world


async def put(tx: Transaction, world: World) -> None:
    """Store a world; all rows of a table have the same columns."""
    for table in IN_ORDER:
        full = [{**MAY_NOT_BE_NULL.get(table, {}), **row} for row in world.get(table, ())]
        if full:
            columns = list(full[0])  # each row is drawn in an order of its own
            places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
            statement = f"insert into {table} ({', '.join(columns)}) values ({places})"
            await tx.executemany(statement, [tuple(_stored(row[name]) for name in columns) for row in full])


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value


PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    UUID: ids,
    str: texts,
    bool: st.booleans(),
    int: st.sampled_from(LEVELS),
    datetime: times,
    StateType: st.sampled_from(TYPES),
    WorkerStatus: st.sampled_from(list(WorkerStatus)),
    Operator: st.sampled_from(Operator),
}
BY_NAME = {  # fields whose values their type does not tell
    "like_": st.sampled_from(PATTERNS),
    "startswith_": st.lists(st.sampled_from(PATTERNS), max_size=2),
    "limit": st.integers(0, 4) | st.just(200),
    "offset": st.sampled_from([0, 0, 0, 1, 2]),
    "include_secrets": st.just(False),
}
ALWAYS = {"operator", "limit", "offset", "sort"}


@cache
def questions(type_: Any) -> st.SearchStrategy[Any]:
    """Return queries, filters or criteria: with a few of their fields, so that they often find something."""
    hints = get_type_hints(type_)
    values = {name: BY_NAME[name] if name in BY_NAME else _values(hint) for name, hint in hints.items()}
    always = {name: values.pop(name) for name in sorted(ALWAYS & hints.keys())}
    chosen = [st.tuples(st.just(name), each) for name, each in sorted(values.items())]
    few = st.lists(st.one_of(chosen), max_size=2) if chosen else st.just([])
    return st.builds(lambda fixed, more: type_(**{**fixed, **dict(more)}), st.fixed_dictionaries(always), few)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is UnionType:
        return st.one_of([_values(each) for each in get_args(hint) if each is not type(None)])
    if get_origin(hint) is list:
        return st.lists(_values(get_args(hint)[0]), max_size=3)
    if hint in PLAIN:
        return PLAIN[hint]
    return questions(hint) if issubclass(hint, msgspec.Struct) else st.sampled_from(list(hint))


Operation = Callable[[Any, Any], bool]

ABSENCE: dict[str, Operation] = {
    "is_null_": lambda value, wanted: (value is None or value == []) is wanted,
    "exists_": lambda value, wanted: (value is not None) is wanted,
    "not_any_": lambda value, wanted: not wanted or (value is not None and value not in wanted),
}
PRESENCE: dict[str, Operation] = {
    "any_": lambda value, wanted: value in wanted,
    "all_": lambda value, wanted: set(wanted) <= set(value),
    "eq_": lambda value, wanted: value is wanted,
    "before_": lambda value, wanted: value <= wanted,
    "after_": lambda value, wanted: value >= wanted,
    "le_": lambda value, wanted: value <= wanted,
    "ge_": lambda value, wanted: value >= wanted,
}


class Oracle:
    """The answers of a world. ``fold`` is the case rule of the database: what ILIKE takes for the same."""

    def __init__(self, world: World, fold: Callable[[str], str]) -> None:
        self.world = world
        self.fold = fold

    # Listings: which rows match, in order. The caller cuts the page.

    def flows(self, query: Any) -> Answer:
        def related(f: Row) -> Row:
            runs, deployments = (
                self.where("flow_runs", flow_id=f["id"]),
                self.where("deployments", flow_id=f["id"]),
            )
            return {
                "flow_runs": runs,
                "task_runs": self.of_all("task_runs", "flow_run_id", runs),
                "deployments": deployments,
                "work_pools": self.pools(self.queues(deployments)),
            }

        return self.listing(query, "flows", related, "NAME_ASC")

    def deployments(self, query: Any) -> Answer:
        def related(d: Row) -> Row:
            runs = self.where("flow_runs", deployment_id=d["id"])
            queues = self.queues([d])
            return {
                "flows": self.where("flows", id=d["flow_id"]),
                "flow_runs": runs,
                "task_runs": self.of_all("task_runs", "flow_run_id", runs),
                "work_pool_queues": queues,
                "work_pools": self.pools(queues),
            }

        return self.listing(query, "deployments", related, "NAME_ASC")

    def flow_runs(self, query: Any) -> Answer:
        def related(r: Row) -> Row:
            queues = self.queues([r])
            return {
                "flows": self.where("flows", id=r["flow_id"]),
                "task_runs": self.where("task_runs", flow_run_id=r["id"]),
                "deployments": self.where("deployments", id=r["deployment_id"]),
                "work_pool_queues": queues,
                "work_pools": self.pools(queues),
            }

        return self.listing(query, "flow_runs", related, "ID_DESC")

    def task_runs(self, query: Any) -> Answer:
        def related(t: Row) -> Row:
            return self.origin(self.where("flow_runs", id=t["flow_run_id"]))

        return self.listing(query, "task_runs", related, "ID_DESC")

    def artifacts(self, query: Any) -> Answer:
        return self.listing(query, "artifacts", self.origin_of_artifact, "ID_DESC")

    def latest_artifacts(self, query: Any) -> Answer:
        newest: dict[str, Row] = {}
        for row in sorted(self.world["artifacts"], key=lambda row: (row["created"], row["id"])):
            if row["key"] is not None:
                newest[row["key"]] = row
        found = self.listing(query, "artifacts", self.origin_of_artifact, "ID_DESC")
        return [row for row in found if newest.get(row["key"]) is row]

    def logs(self, query: Any) -> Answer:
        return self.listing(query, "logs", _alone, "TIMESTAMP_ASC")

    def variables(self, query: Any) -> Answer:
        return self.listing(query, "variables", _alone, "NAME_ASC")

    def work_pools(self, query: Any) -> Answer:
        return self.listing(query, "work_pools", _alone, "NAME_ASC")

    def work_queues(self, query: Any) -> Answer:
        return self.listing(query, "work_queues", _alone, "NAME_ASC")

    def pool_queues(self, query: Any) -> Answer:
        """The queues of the first pool, as all listings of a pool's things in this oracle."""
        found = self.in_first_pool(self.work_queues(query))
        return sorted(found, key=lambda queue: (queue["priority"], queue["name"]))

    def workers(self, query: Any) -> Answer:
        return self.in_first_pool(self.listing(query, "workers", _alone, "LAST_HEARTBEAT_TIME_DESC"))

    def in_first_pool(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if row["work_pool_id"] == self.world["work_pools"][0]["id"]]

    def block_types(self, query: Any) -> Answer:
        def related(t: Row) -> Row:
            return {"block_schemas": self.where("block_schemas", block_type_id=t["id"])}

        return self.listing(query, "block_types", related, "NAME_ASC")

    def block_schemas(self, query: Any) -> Answer:
        return self.listing(query, "block_schemas", _alone, "CREATED_DESC")

    def block_documents(self, query: Any) -> Answer:
        def related(d: Row) -> Row:
            return {
                "block_types": self.where("block_types", id=d["block_type_id"]),
                "block_schemas": self.where("block_schemas", id=d["block_schema_id"]),
            }

        found = self.listing(query, "block_documents", related, "NAME_ASC")
        return found if query.block_documents else [row for row in found if not row["is_anonymous"]]

    def notification_policies(self, query: Any) -> Answer:
        return self.listing(query, "flow_run_notification_policies", _alone, "ID_ASC")

    # What belongs together

    def where(self, table: str, **equal: Any) -> list[Row]:
        return [row for row in self.world[table] if all(row[name] == equal[name] for name in equal)]

    def of_all(self, table: str, column: str, owners: Iterable[Row]) -> list[Row]:
        return [row for owner in owners for row in self.where(table, **{column: owner["id"]})]

    def queues(self, owners: Iterable[Row]) -> list[Row]:
        return [queue for owner in owners for queue in self.where("work_queues", id=owner["work_queue_id"])]

    def pools(self, queues: Iterable[Row]) -> list[Row]:
        return [pool for queue in queues for pool in self.where("work_pools", id=queue["work_pool_id"])]

    def origin(self, runs: list[Row]) -> Row:
        return {
            "flow_runs": runs,
            "flows": [flow for run in runs for flow in self.where("flows", id=run["flow_id"])],
            "deployments": [d for run in runs for d in self.where("deployments", id=run["deployment_id"])],
        }

    def origin_of_artifact(self, a: Row) -> Row:
        tasks = self.where("task_runs", id=a["task_run_id"])
        return {**self.origin(self.where("flow_runs", id=a["flow_run_id"])), "task_runs": tasks}

    def facts(self, table: str, row: Row) -> Row:
        """Return what the fields of a filter look at."""
        state = {"type": row.get("state_type"), "name": row.get("state_name")}
        facts = {**row, "state": state, "latest_id": row["id"], "block_capabilities": row.get("capabilities")}
        if table == "flows":
            facts["deployment"] = self.where("deployments", flow_id=row["id"]) or None
        if table == "deployments":
            facts["is_schedule_active"] = not row["paused"]
        if table == "task_runs":
            facts["subflow_runs"] = self.where("flow_runs", parent_task_run_id=row["id"]) or None
        if table == "flow_runs":
            parents = self.where("task_runs", id=row["parent_task_run_id"])
            facts["parent_flow_run_id"] = parents[0]["flow_run_id"] if parents else None
        return facts

    # Criteria

    def listing(self, query: Any, table: str, related: Callable[[Row], Row], order: str) -> Answer:
        own = "flow_run_notification_policy_filter" if table.endswith("policies") else table
        fields = set(query.__struct_fields__) - ALWAYS - {"include_secrets"}

        def wanted(row: Row) -> bool:
            rows = {own: [row], **related(row)}
            asked = ((name, getattr(query, name)) for name in fields)
            return all(
                any(self.matches(one, TABLES.get(name, name), each) for each in rows[name])
                for name, one in asked
                if one is not None
            )

        found = [row for row in self.world[table] if wanted(row)]
        return self.in_order(found, getattr(query, "sort", None) or order)

    def matches(self, filter_: Any, table: str, row: Row) -> bool:
        """Whether a row matches a filter; criteria that were given are combined by its operator."""
        facts = self.facts(table, row)
        if table == "workers":  # their status is never applied
            filter_ = msgspec.structs.replace(filter_, status=None)
        return self.combined(filter_, lambda name, criterion: self.holds(criterion, facts[name], table, name))

    def holds(self, criterion: Any, value: Any, table: str, field: str) -> bool:
        if field == "state":
            return self.combined(criterion, lambda name, part: self.holds(part, value[name], table, name))
        if (table, field) == ("task_runs", "flow_run_id") and (criterion.is_null_ or criterion.any_ is None):
            criterion = msgspec.structs.replace(criterion, any_=None)
        elif (table, field) == ("task_runs", "flow_run_id"):
            criterion = msgspec.structs.replace(criterion, is_null_=None)
        return self.combined(criterion, lambda name, wanted: self.passes(name, value, wanted))

    def combined(self, asked: Any, holds: Callable[[str, Any], bool]) -> bool:
        either = getattr(asked, "operator", None) is Operator.OR
        given_ = [
            holds(name, wanted)
            for name in asked.__struct_fields__
            if name != "operator" and (wanted := getattr(asked, name)) is not None
        ]
        return any(given_) if given_ and either else all(given_)

    def passes(self, operator: str, value: Any, wanted: Any) -> bool:
        """Whether a value passes an operator. What is absent passes none but those that look for absence."""
        if operator in ABSENCE:
            return ABSENCE[operator](value, wanted)
        if value is None:
            return False
        if operator in PRESENCE:
            return PRESENCE[operator](value, wanted)
        patterns = {"like_": [f"%{wanted}%"], "startswith_": [f"{each}%" for each in wanted]}
        return any(self.like(value, pattern) for pattern in patterns[operator])

    def like(self, value: str, pattern: str) -> bool:
        wild = {"%": ".*", "_": "."}
        parts = (wild.get(each, re.escape(each)) for each in self.fold(pattern))
        return re.fullmatch("".join(parts), self.fold(value), re.DOTALL) is not None

    # Orders

    def in_order(self, rows: list[Row], sort: str) -> Answer:
        """Sort as the name of the order says: ties by id, the same way; what has no value comes last."""
        column, _, way = sort.lower().rpartition("_")
        descending = way == "desc"
        placed = [(self.sort_key(row, column), self.tie(row, place), row) for place, row in enumerate(rows)]
        placed.sort(key=lambda one: ((one[0] is None) is not descending, *one[:2]), reverse=descending)
        return [row for *_, row in placed]

    def tie(self, row: Row, place: int) -> Any:
        return place if "timestamp" in row else row["id"]  # log lines stay as they came

    def sort_key(self, row: Row, column: str) -> Any:
        if column == "start_time":
            return row["start_time"] or row["expected_start_time"]
        if column == "block_type_and_name":
            (type_,) = self.where("block_types", id=row["block_type_id"])
            return type_["name"], row["name"]
        return row[column]


TABLES = {
    "work_pool_queues": "work_queues",
    "flow_run_notification_policy_filter": "flow_run_notification_policies",
}


def _alone(row: Row) -> Row:
    return {}
