"""How each kind of object is found, made and changed on reeve's server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from reeve.cli.importing.of_server import (
    block_fields,
    deployment_fields,
    ref_of,
    schedules_of,
)
from reeve.cli.importing.plan import BlockRef, Item, Kind, with_ids, with_refs
from reeve.client.sync import Client
from reeve.errors import NotFoundError, ReeveError
from reeve.wire import endpoints, requests, responses

_SECRETS = {"include_secrets": "true"}


class Here:
    """The server that objects are carried to. ``made``: what is new in this import."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.made: set[tuple[Kind, str]] = set()
        self._refs: dict[UUID, BlockRef] = {}

    def is_new(self, item: Item) -> bool:
        """Whether an object came with another that was made: the queue ``default`` with its pool."""
        return item.kind is Kind.QUEUE and (Kind.POOL, item.name.split("/")[0]) in self.made

    def id_of(self, ref: BlockRef) -> UUID:
        """Return the id of a block; raises NotFoundError."""
        try:
            return self._document(ref).id
        except NotFoundError:
            message = f"it needs the block {ref}, which is not here"
            raise NotFoundError(message) from None

    def ref_of(self, document_id: UUID) -> BlockRef:
        """Return how the block of an id is called.

        Raises ReeveError when it is gone: NotFoundError would say that what refers to it is not here.
        """
        if document_id not in self._refs:
            try:
                found = self.client.call(endpoints.read_block_document, id=document_id)
            except NotFoundError:
                message = f"what is here refers to a block that is not here any more: {document_id}"
                raise ReeveError(message) from None
            self._refs[document_id] = ref_of(found)
        return self._refs[document_id]

    def refs(self, value: Any) -> Any:
        """Return a value of this server with references by name."""
        return with_refs(value, self.ref_of)

    def ids(self, value: Any) -> Any:
        """Return a value with references by this server's ids; raises NotFoundError."""
        return with_ids(value, self.id_of)

    def _document(self, ref: BlockRef) -> responses.BlockDocument:
        return self.client.call(
            endpoints.read_block_document_by_name,
            query=_SECRETS,
            slug=ref.slug,
            block_document_name=ref.name,
        )

    def document(self, name: str) -> responses.BlockDocument:
        """Return a block by TYPE/NAME; raises NotFoundError."""
        slug, _, own = name.partition("/")
        return self._document(BlockRef(slug, own))


class Writer(Protocol):
    """What an import does with one kind of object."""

    def find(self, here: Here, item: Item) -> dict[str, Any]:
        """Return the fields of the one that is there, a deployment's engine too; raises NotFoundError."""

    def create(self, here: Here, item: Item) -> None:
        """Make it."""

    def update(self, here: Here, item: Item) -> None:
        """Write what is wanted over it."""


class _BlockTypes:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        here.client.call(endpoints.read_block_type_by_slug, slug=item.name)
        return {}

    def create(self, here: Here, item: Item) -> None:
        here.client.call(endpoints.create_block_type, requests.BlockTypeCreate(**item.given))

    def update(self, here: Here, item: Item) -> None:
        raise AssertionError(item, here)  # it has no fields that could differ


class _Blocks:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        return block_fields(here.document(item.name))

    def create(self, here: Here, item: Item) -> None:
        schema = self._schema(here, item)
        body = requests.BlockDocumentCreate(
            name=item.name.partition("/")[2],
            data=here.ids(item.fields["data"]),
            block_schema_id=schema.id,
            block_type_id=schema.block_type_id,
            is_anonymous=item.given["is_anonymous"],
        )
        here.client.call(endpoints.create_block_document, body)

    def update(self, here: Here, item: Item) -> None:
        body = requests.BlockDocumentUpdate(
            block_schema_id=self._schema(here, item).id,
            data=here.ids(item.fields["data"]),
            merge_existing_data=False,
        )
        here.client.call(endpoints.update_block_document, body, id=here.document(item.name).id)

    def _schema(self, here: Here, item: Item) -> responses.BlockSchema:
        slug = item.name.partition("/")[0]
        type_ = here.client.call(endpoints.read_block_type_by_slug, slug=slug)
        body = requests.BlockSchemaCreate(
            fields=item.given["fields"],
            block_type_id=type_.id,
            capabilities=item.given["capabilities"],
            version=item.given["version"],
        )
        return here.client.call(endpoints.create_block_schema, body)


class _Variables:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        one = here.client.call(endpoints.read_variable, name=item.name)
        return {"value": one.value, "tags": one.tags}

    def create(self, here: Here, item: Item) -> None:
        here.client.call(endpoints.create_variable, requests.VariableCreate(name=item.name, **item.fields))

    def update(self, here: Here, item: Item) -> None:
        here.client.call(endpoints.update_variable, requests.VariableUpdate(**item.fields), name=item.name)


class _TagLimits:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        one = here.client.call(endpoints.read_tag_limit_by_tag, tag=item.name)
        return {"concurrency_limit": one.concurrency_limit}

    def create(self, here: Here, item: Item) -> None:
        here.client.call(endpoints.create_tag_limit, requests.TagLimitCreate(tag=item.name, **item.fields))

    def update(self, here: Here, item: Item) -> None:
        self.create(here, item)


class _Limits:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        one = here.client.call(endpoints.read_slot_limit, id_or_name=item.name)
        return {name: getattr(one, name) for name in item.fields}

    def create(self, here: Here, item: Item) -> None:
        here.client.call(endpoints.create_slot_limit, requests.SlotLimitCreate(name=item.name, **item.fields))

    def update(self, here: Here, item: Item) -> None:
        body = requests.SlotLimitUpdate(**item.fields)
        here.client.call(endpoints.update_slot_limit, body, id_or_name=item.name)


class _Pools:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        one = here.client.call(endpoints.read_work_pool, name=item.name)
        return {
            "type": one.type,
            "description": one.description,
            "paused": one.is_paused,
            "concurrency_limit": one.concurrency_limit,
            "base_job_template": here.refs(one.base_job_template),
        }

    def create(self, here: Here, item: Item) -> None:
        wanted = here.ids({**item.given, **item.fields})
        body = requests.WorkPoolCreate(name=item.name, **_renamed(wanted))
        here.client.call(endpoints.create_work_pool, body)

    def update(self, here: Here, item: Item) -> None:
        changed = here.ids({name: one for name, one in item.fields.items() if name != "type"})
        here.client.call(
            endpoints.update_work_pool, requests.WorkPoolUpdate(**_renamed(changed)), name=item.name
        )


class _Queues:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        pool, _, name = item.name.partition("/")
        one = here.client.call(endpoints.read_pool_queue, work_pool_name=pool, name=name)
        return {
            "description": one.description,
            "paused": one.is_paused,
            "concurrency_limit": one.concurrency_limit,
            "priority": one.priority,
            "filter": one.filter,
        }

    def create(self, here: Here, item: Item) -> None:
        pool, _, name = item.name.partition("/")
        body = requests.WorkQueueCreate(name=name, **_renamed(item.fields))
        here.client.call(endpoints.create_pool_queue, body, work_pool_name=pool)

    def update(self, here: Here, item: Item) -> None:
        pool, _, name = item.name.partition("/")
        body = requests.WorkQueueUpdate(**_renamed(item.fields))
        here.client.call(endpoints.update_pool_queue, body, work_pool_name=pool, name=name)


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a pool or a queue as requests call them."""
    return {"is_paused" if name == "paused" else name: value for name, value in fields.items()}


class _Notifications:
    """A policy has no name: it is the one that tells the same of the same."""

    def find(self, here: Here, item: Item) -> dict[str, Any]:
        return {"active": self._there(here, item).is_active}

    def create(self, here: Here, item: Item) -> None:
        given = {name: value for name, value in item.given.items() if name != "block"}
        body = requests.NotificationPolicyCreate(
            is_active=item.fields["active"], block_document_id=here.id_of(item.given["block"]), **given
        )
        here.client.call(endpoints.create_notification_policy, body)

    def update(self, here: Here, item: Item) -> None:
        body = requests.NotificationPolicyUpdate(is_active=item.fields["active"])
        here.client.call(endpoints.update_notification_policy, body, id=self._there(here, item).id)

    def _there(self, here: Here, item: Item) -> responses.NotificationPolicy:
        for one in here.client.call(endpoints.filter_notification_policies):
            told = {
                "state_names": one.state_names,
                "tags": one.tags,
                "block": here.ref_of(one.block_document_id),
                "message_template": one.message_template,
            }
            if told == item.given:
                return one
        raise NotFoundError


class _Deployments:
    def find(self, here: Here, item: Item) -> dict[str, Any]:
        one = self._there(here, item)

        def ref(document_id: UUID | None) -> BlockRef | None:
            return None if document_id is None else here.ref_of(document_id)

        options = here.client.call(endpoints.read_deployment_options, id=one.id)
        return {
            **deployment_fields(one),
            "engine": options.engine,
            "schedules": schedules_of(one.schedules),
            "paused": one.paused,
            "parameters": here.refs(one.parameters),
            "job_variables": here.refs(one.infra_overrides),
            "infrastructure": ref(one.infrastructure_document_id),
            "storage": ref(one.storage_document_id),
        }

    def create(self, here: Here, item: Item) -> None:
        flow = here.client.call(
            endpoints.create_flow, requests.FlowCreate(name=item.given["flow"], tags=item.given["flow_tags"])
        )
        wanted = here.ids({**item.given, **item.fields})
        body = requests.DeploymentCreate(
            name=item.name.partition("/")[2],
            flow_id=flow.id,
            schedules=[requests.ScheduleCreate(**one) for one in wanted.get("schedules", [])],
            work_pool_name=wanted.get("pool"),
            work_queue_name=wanted.get("queue"),
            parameter_openapi_schema=wanted.get("parameter_schema"),
            infrastructure_document_id=wanted.get("infrastructure"),
            storage_document_id=wanted.get("storage"),
            **{name: wanted[name] for name in _DEPLOYMENT if name in wanted},
        )
        here.client.call(endpoints.create_deployment, body)

    def update(self, here: Here, item: Item) -> None:
        self.create(here, item)

    def _there(self, here: Here, item: Item) -> responses.DeploymentResponse:
        flow, _, name = item.name.partition("/")
        return here.client.call(endpoints.read_deployment_by_name, flow_name=flow, deployment_name=name)


_DEPLOYMENT = (  # fields that are called the same in the request
    *("entrypoint", "path", "pull_steps", "enforce_parameter_schema", "tags", "description", "version"),
    *("manifest_path", "paused", "parameters", "job_variables"),
)

WRITERS: dict[Kind, Writer] = {
    Kind.BLOCK_TYPE: _BlockTypes(),
    Kind.BLOCK: _Blocks(),
    Kind.VARIABLE: _Variables(),
    Kind.TAG_LIMIT: _TagLimits(),
    Kind.LIMIT: _Limits(),
    Kind.POOL: _Pools(),
    Kind.QUEUE: _Queues(),
    Kind.NOTIFICATION: _Notifications(),
    Kind.DEPLOYMENT: _Deployments(),
}
