"""Every filter, operator, sort and page on both databases, against an oracle (api-contract §6)."""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.oracle import Oracle, Row, World, put, questions, worlds

from reeve.server.storage import blocks, figures, find
from reeve.server.storage.store import Store, Transaction, open_store
from reeve.wire import queries

Listing = Callable[..., Awaitable[list[Any]]]  # of a transaction, a query, a limit, an offset, perhaps a pool
Counting = Callable[[Transaction, Any], Awaitable[int]]

LISTINGS: dict[str, tuple[Any, Listing]] = {
    "flows": (queries.FlowQuery, find.flows),
    "deployments": (queries.DeploymentQuery, find.deployments_),
    "flow_runs": (queries.FlowRunQuery, find.flow_runs),
    "task_runs": (queries.TaskRunQuery, find.task_runs),
    "logs": (queries.LogQuery, find.logs),
    "artifacts": (queries.ArtifactQuery, find.artifacts_),
    "latest_artifacts": (queries.ArtifactCollectionQuery, find.latest_artifacts),
    "variables": (queries.VariableQuery, find.variables_),
    "work_pools": (queries.WorkPoolQuery, find.work_pools),
    "work_queues": (queries.WorkQueueQuery, find.work_queues),
    "pool_queues": (queries.WorkQueueQuery, find.work_queues),
    "workers": (queries.WorkerQuery, find.workers),
    "block_types": (queries.BlockTypeQuery, blocks.types),
    "block_schemas": (queries.BlockSchemaQuery, blocks.schemas),
    "block_documents": (queries.BlockDocumentQuery, blocks.documents),
    "notification_policies": (queries.NotificationPolicyQuery, find.notification_policies),
}
COUNTS: dict[str, Counting] = {
    "flows": figures.count_flows,
    "deployments": figures.count_deployments,
    "flow_runs": figures.count_flow_runs,
    "task_runs": figures.count_task_runs,
    "artifacts": find.count_artifacts,
    "latest_artifacts": find.count_latest_artifacts,
    "variables": find.count_variables,
    "work_pools": find.count_work_pools,
    "block_documents": blocks.count_documents,
}
OF_A_POOL = ("pool_queues", "workers")
RUNS = ("flow_runs", "task_runs", "deployments", "flows")  # they have most criteria and relations
QUESTIONS = 30  # to each world

thorough = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


class _DoneError(Exception):
    """All was asked: the world can go."""


@pytest.fixture
async def store(database_url: str) -> Any:
    store = await open_store(database_url)
    yield store
    await store.close()


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, Any]:
    noun = draw(st.sampled_from(RUNS) | st.sampled_from(sorted(LISTINGS)))
    return noun, draw(questions(LISTINGS[noun][0]))


@thorough
@given(worlds(), st.lists(asked(), min_size=QUESTIONS, max_size=QUESTIONS))
async def test_listings_find_what_the_oracle_says(
    store: Store, world: World, asked: list[tuple[str, Any]]
) -> None:
    async def compare(tx: Transaction) -> None:
        await put(tx, world)
        oracle = Oracle(world, await case_rule(tx))
        for noun, query in asked:
            expected = getattr(oracle, noun)(query)
            of_pool = [world["work_pools"][0]["name"]] if noun in OF_A_POOL else []
            found = await LISTINGS[noun][1](tx, query, query.limit, query.offset, *of_pool)
            assert ids(found) == ids(page(expected, query)), repr((noun, query))
            if noun in COUNTS:
                assert await COUNTS[noun](tx, query) == len(expected), repr((noun, query))
        raise _DoneError

    with pytest.raises(_DoneError):
        await store.write(compare)


async def case_rule(tx: Transaction) -> Callable[[str], str]:
    """Return what ILIKE does to letters here: SQLite, and PostgreSQL in the locale C, know those of ASCII."""
    if await tx.fetchval("select 'Ä' ilike 'ä'"):
        return str.lower
    ascii_only = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
    return lambda text: text.translate(ascii_only)


def page(rows: list[Row], query: Any) -> list[Row]:
    return rows[query.offset :][: query.limit]


def ids(found: list[Any]) -> list[Any]:
    return [_id(each) for each in found]


def _id(each: Any) -> Any:
    if isinstance(each, dict):
        return each["id"]
    each = getattr(each, "document", each)  # a block's document is stored beside what it holds
    return getattr(each, "latest_id", None) or each.id
