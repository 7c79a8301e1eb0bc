"""Reads what a server of Prefect 2.20 holds, 200 objects at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from reeve.cli.importing.plan import Kind, Refusal, ids_in
from reeve.client.calls import ServerTimeoutError, ServerUnreachableError
from reeve.client.sync import Client
from reeve.errors import InvalidInputError, NotFoundError, ReeveError, UnauthorizedError
from reeve.wire import endpoints, queries, responses
from reeve.wire.endpoints import Endpoint

T = TypeVar("T")

PAGE = 200  # the most that 2.20 gives at once (api-contract §1)

# The operation that only says "absent" on reeve is a listing on a server with events.
_AUTOMATIONS: Endpoint[queries.Page, list[dict[str, Any]]] = Endpoint(
    "filter_automations", "POST", "/automations/filter", queries.Page, list[dict[str, Any]]
)


@dataclass(kw_only=True)
class Snapshot:
    """What a server held when it was read. ``documents`` by id; anonymous ones as others need them."""

    types: dict[str, responses.BlockType] = field(default_factory=dict)
    documents: dict[UUID, responses.BlockDocument] = field(default_factory=dict)
    variables: list[responses.Variable] = field(default_factory=list)
    tag_limits: list[responses.TagLimit] = field(default_factory=list)
    limits: list[responses.SlotLimit] = field(default_factory=list)
    pools: list[responses.WorkPool] = field(default_factory=list)
    queues: list[responses.WorkQueueResponse] = field(default_factory=list)
    policies: list[responses.NotificationPolicy] = field(default_factory=list)
    automations: list[str] = field(default_factory=list)
    flows: dict[UUID, responses.Flow] = field(default_factory=dict)
    deployments: list[responses.DeploymentResponse] = field(default_factory=list)
    unread: list[Refusal] = field(default_factory=list)


def read_server(client: Client) -> Snapshot:
    """Read a server; a listing that fails is noted, and the rest is read.

    Raises InvalidInputError when no server answers there, or does not let us in.
    """
    _check(client)
    found = Snapshot()
    with _noting(found, Kind.VARIABLE):
        found.variables = _all(client, endpoints.filter_variables, queries.VariableQuery)
    with _noting(found, Kind.TAG_LIMIT):
        found.tag_limits = _all(client, endpoints.filter_tag_limits, queries.Page)
    with _noting(found, Kind.LIMIT):
        found.limits = _all(client, endpoints.filter_slot_limits, queries.Page)
    with _noting(found, Kind.POOL):
        found.pools = _all(client, endpoints.filter_work_pools, queries.WorkPoolQuery)
    with _noting(found, Kind.QUEUE):
        for pool in found.pools:
            found.queues += _all(
                client, endpoints.filter_pool_queues, queries.WorkQueueQuery, work_pool_name=pool.name
            )
    with _noting(found, Kind.NOTIFICATION):
        found.policies = _all(client, endpoints.filter_notification_policies, queries.NotificationPolicyQuery)
    with _noting(found, Kind.AUTOMATION):
        found.automations = [str(one.get("name")) for one in _automations(client)]
    with _noting(found, Kind.DEPLOYMENT):
        found.flows = {one.id: one for one in _all(client, endpoints.filter_flows, queries.FlowQuery)}
        found.deployments = _all(client, endpoints.filter_deployments, queries.DeploymentQuery)
    with _noting(found, Kind.BLOCK):
        _read_blocks(client, found)
    return found


@contextmanager
def _noting(found: Snapshot, kind: Kind) -> Iterator[None]:
    """Have a listing that fails be a line of the report."""
    try:
        yield
    except ReeveError as error:
        why = f"they could not be read: {error.message}"
        remedy = "Import again when the server answers this listing"
        found.unread.append(Refusal(kind=kind, name="(all)", why=why, remedy=remedy))


def _read_blocks(client: Client, found: Snapshot) -> None:
    found.types = {
        one.slug: one for one in _all(client, endpoints.filter_block_types, queries.BlockTypeQuery)
    }
    named = _all(client, endpoints.filter_block_documents, _with_secrets)
    found.documents = {one.id: one for one in named}
    waiting = set(_referred_to(found))
    while waiting:
        document_id = waiting.pop()
        if document_id in found.documents:
            continue
        try:
            one = client.call(
                endpoints.read_block_document, query={"include_secrets": "true"}, id=document_id
            )
        except NotFoundError:  # it was deleted there: whoever refers to it will say so
            continue
        found.documents[one.id] = one
        waiting |= set(_inner(one))


def _with_secrets(limit: int, offset: int) -> queries.BlockDocumentQuery:
    return queries.BlockDocumentQuery(limit=limit, offset=offset, include_secrets=True)


def _referred_to(found: Snapshot) -> Iterator[UUID]:
    """Give the ids of all blocks that something refers to; anonymous ones are in no listing."""
    for one in found.deployments:
        yield from (each for each in (one.infrastructure_document_id, one.storage_document_id) if each)
        yield from ids_in([one.parameters, one.infra_overrides, one.pull_steps])
    for pool in found.pools:
        yield from ids_in(pool.base_job_template)
    for document in found.documents.values():
        yield from _inner(document)
    yield from (one.block_document_id for one in found.policies)


def _inner(document: responses.BlockDocument) -> Iterable[UUID]:
    return [UUID(one["block_document"]["id"]) for one in document.block_document_references.values()]


def _automations(client: Client) -> list[dict[str, Any]]:
    try:
        return _all(client, _AUTOMATIONS, queries.Page)
    except NotFoundError:  # "Automations are not enabled."
        return []


def _all(client: Client, endpoint: Endpoint[Any, list[T]], query: Callable[..., Any], **path: str) -> list[T]:
    """Return all that a listing has."""
    found: list[T] = []
    while True:
        page = client.call(endpoint, query(limit=PAGE, offset=len(found)), query=None, timeout=None, **path)
        found += page
        if len(page) < PAGE:
            return found


def _check(client: Client) -> None:
    try:
        client.call(endpoints.filter_work_pools, queries.WorkPoolQuery(limit=1))
    except (ServerUnreachableError, ServerTimeoutError):
        message = f"No server answers at {client.url}. Give --from the API's address: http://HOST:4200/api"
        raise InvalidInputError(message, field="from") from None
    except UnauthorizedError:
        message = (
            f"The server at {client.url} wants a key that it knows. Set PREFECT_API_KEY, or give --api-key"
        )
        raise InvalidInputError(message, field="api-key") from None
