"""The plan that follows from what a 2.20 server holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import msgspec

from reeve.cli.importing.plan import (
    SERVED_TYPES,
    BlockRef,
    Choices,
    Item,
    Kind,
    Plan,
    Refusal,
    job_notes,
    pool_notes,
    with_refs,
)
from reeve.cli.importing.reading import Snapshot
from reeve.core.blocks import checksum, slugs_referred_to
from reeve.core.schedules import schedule_from_json, schedule_to_json, validate
from reeve.core.sealing import HIDDEN
from reeve.errors import InvalidInputError, ReeveError
from reeve.wire.codec import parse
from reeve.wire.responses import BlockDocument, DeploymentResponse, DeploymentSchedule

DELIVERED = ("slack-webhook", "webhook", "email")  # types of blocks by which reeve's server notifies


class GoneError(ReeveError):
    """It refers to a block that was deleted on the server that it comes from."""


def plan_of_server(found: Snapshot, choices: Choices) -> Plan:
    """Return what is wanted, blocks first: what refers to another stands after it."""
    plan: Plan = [*found.unread]
    blocks = list(_in_order(found.documents))
    plan += _types(found, blocks)
    for one in blocks:
        plan.append(_block(one))
    plan += [_variable(one.name, one.value, one.tags) for one in found.variables]
    plan += [
        Item(kind=Kind.TAG_LIMIT, name=one.tag, fields={"concurrency_limit": one.concurrency_limit})
        for one in found.tag_limits
    ]
    plan += [
        Item(
            kind=Kind.LIMIT,
            name=one.name,
            fields={
                "limit": one.limit,
                "active": one.active,
                "slot_decay_per_second": one.slot_decay_per_second,
            },
        )
        for one in found.limits
    ]
    plan += _pools(found)
    plan += _queues(found)
    plan += _policies(found)
    plan += [_automation(name) for name in found.automations]
    for deployment in found.deployments:
        plan += _deployment(found, deployment, choices)
    return plan


def _variable(name: str, value: str, tags: list[str]) -> Item:
    return Item(kind=Kind.VARIABLE, name=name, fields={"value": value, "tags": tags})


def _automation(name: str) -> Refusal:
    return Refusal(
        kind=Kind.AUTOMATION,
        name=name,
        why="reeve has no events and no automations",
        remedy="Notifications, time limits and crash budgets of deployments do the usual ones: "
        "docs/guides/from-prefect.md",
    )


# --- blocks


def _ref_in(found: Snapshot, document_id: UUID) -> BlockRef:
    if document_id not in found.documents:
        raise GoneError
    return ref_of(found.documents[document_id])


def ref_of(document: BlockDocument) -> BlockRef:
    """Return how a document is called on every server."""
    slug = document.block_type.slug if document.block_type else "?"
    return BlockRef(slug, document.name or f"anonymous-{document.id}")


def block_fields(document: BlockDocument) -> dict[str, Any]:
    """Return what can differ of a document: its data, those it refers to by name, and its schema."""
    return {
        "data": {**document.data, **_references(document.block_document_references)},
        # Of the fields as they are told: what a server was given to reckon the checksum of had other words.
        "schema": checksum(document.block_schema.fields) if document.block_schema else None,
    }


def _references(described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {"$ref": {"block_document_id": BlockRef(inner["block_type"]["slug"], inner["name"])}}
        for key, inner in ((key, one["block_document"]) for key, one in described.items())
    }


def _in_order(documents: Mapping[UUID, BlockDocument]) -> Iterator[BlockDocument]:
    """Give all documents, each after those that it refers to."""
    done: set[UUID] = set()

    def visit(document_id: UUID) -> Iterator[BlockDocument]:
        if document_id in done or document_id not in documents:
            return
        done.add(document_id)
        for one in documents[document_id].block_document_references.values():
            yield from visit(UUID(one["block_document"]["id"]))
        yield documents[document_id]

    for document_id in documents:
        yield from visit(document_id)


def _types(found: Snapshot, blocks: list[BlockDocument]) -> Iterator[Item]:
    """Give the types that the blocks are of, or that their schemas name."""
    used: dict[str, None] = {}
    for one in blocks:
        used[ref_of(one).slug] = None
        if one.block_schema:
            used.update(dict.fromkeys(slugs_referred_to(one.block_schema.fields)))
    for slug in used:
        if slug in found.types:
            type_ = found.types[slug]
            shown = ("logo_url", "documentation_url", "description", "code_example")
            given = {"slug": slug, "name": type_.name, **{name: getattr(type_, name) for name in shown}}
            yield Item(kind=Kind.BLOCK_TYPE, name=slug, given=given)


def _block(document: BlockDocument) -> Item | Refusal:
    name, schema = str(ref_of(document)), document.block_schema
    if schema is None:
        why = "its schema did not come with it"
        return Refusal(kind=Kind.BLOCK, name=name, why=why, remedy="Save it there again, then import again")
    fields = block_fields(document)
    unread = list(_hidden(fields["data"]))
    if unread:
        return Refusal(
            kind=Kind.BLOCK,
            name=name,
            why=f"its secrets could not be read: {', '.join(unread)}",
            remedy="Import with a key that may read secrets, or save the block in reeve from Python",
        )
    given = {
        "fields": schema.fields,
        "capabilities": schema.capabilities,
        "version": schema.version,
        "is_anonymous": document.is_anonymous,
    }
    return Item(kind=Kind.BLOCK, name=name, fields=fields, given=given)


def _hidden(data: Any, path: str = "") -> Iterator[str]:
    """Give the dotted places of secrets that came hidden."""
    if data == HIDDEN:
        yield path
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _hidden(value, f"{path}.{key}" if path else str(key))


# --- where runs wait


def _pools(found: Snapshot) -> Iterator[Item | Refusal]:
    for one in found.pools:
        try:
            template = with_refs(one.base_job_template, lambda target: _ref_in(found, target))
        except ReeveError as error:
            yield _gone(Kind.POOL, one.name, error)
            continue
        yield Item(
            kind=Kind.POOL,
            name=one.name,
            fields={
                "type": one.type,
                "description": one.description,
                "paused": one.is_paused,
                "concurrency_limit": one.concurrency_limit,
                "base_job_template": template,
            },
            notes=pool_notes(one.type, one.base_job_template),
        )


def _queues(found: Snapshot) -> Iterator[Item | Refusal]:
    """Give the queues of each pool by priority: making one moves those that come after it."""
    for one in sorted(found.queues, key=lambda queue: (queue.work_pool_name or "", queue.priority)):
        name = f"{one.work_pool_name}/{one.name}"
        if (one.filter or {}).get("deployment_ids"):
            yield Refusal(
                kind=Kind.QUEUE,
                name=name,
                why="its filter names deployments by their ids, which are others here",
                remedy="Have those deployments name a queue of their own",
            )
            continue
        yield Item(
            kind=Kind.QUEUE,
            name=name,
            fields={
                "description": one.description or "",
                "paused": one.is_paused,
                "concurrency_limit": one.concurrency_limit,
                "priority": one.priority,
                "filter": one.filter,
            },
        )


def _policies(found: Snapshot) -> Iterator[Item | Refusal]:
    for one in found.policies:
        states = ", ".join(one.state_names) or "every state"
        try:
            block = _ref_in(found, one.block_document_id)
        except GoneError as error:
            yield _gone(Kind.NOTIFICATION, f"{states} → ?", error)
            continue
        told = f"blocks of the type {block.slug!r} carry no notifications in reeve: {', '.join(DELIVERED)} do"
        yield Item(
            kind=Kind.NOTIFICATION,
            name=f"{states} → {block}",
            fields={"active": one.is_active},
            given={
                "state_names": one.state_names,
                "tags": one.tags,
                "block": block,
                "message_template": one.message_template,
            },
            notes=() if block.slug in DELIVERED else (told,),
        )


# --- deployments


def _deployment(found: Snapshot, one: DeploymentResponse, choices: Choices) -> Plan:
    flow = found.flows.get(one.flow_id)
    name = f"{flow.name if flow else '?'}/{one.name}"
    kept, refused = _schedules(name, one.schedules)
    overrides = choices.job_variables(one.infra_overrides)

    def refs(value: Any) -> Any:
        return with_refs(value, lambda target: _ref_in(found, target))

    def ref(document_id: UUID | None) -> BlockRef | None:
        return None if document_id is None else _ref_in(found, document_id)

    try:
        fields = {
            **deployment_fields(one),
            "schedules": kept,
            "paused": one.paused,
            "parameters": refs(one.parameters),
            "job_variables": refs(overrides),
            "infrastructure": ref(one.infrastructure_document_id),
            "storage": ref(one.storage_document_id),
        }
    except ReeveError as error:
        return [*refused, _gone(Kind.DEPLOYMENT, name, error)]
    given = {"flow": flow.name if flow else "?", "flow_tags": flow.tags if flow else []}
    fields, given = choices.apart(fields, given)
    notes = _deployment_notes(found, one, overrides)
    return [Item(kind=Kind.DEPLOYMENT, name=name, fields=fields, given=given, notes=notes), *refused]


def deployment_fields(one: DeploymentResponse) -> dict[str, Any]:
    """Return what can differ of a deployment, without schedules and what may refer to blocks."""
    return {
        "entrypoint": one.entrypoint,
        "path": one.path,
        "pull_steps": one.pull_steps,
        "pool": one.work_pool_name,
        "queue": one.work_queue_name,
        "parameter_schema": one.parameter_openapi_schema,
        "enforce_parameter_schema": one.enforce_parameter_schema,
        "tags": one.tags,
        "description": one.description,
        "version": one.version,
        "manifest_path": one.manifest_path,
    }


def schedule_fields(rule: dict[str, Any], active: bool, **limits: Any) -> dict[str, Any]:
    """Return a schedule in one form, however it was written; InvalidInputError for one that cannot be."""
    read = schedule_from_json(rule)
    validate(read)
    plain = {name: value for name, value in schedule_to_json(read).items() if value is not None}
    return {"schedule": plain, "active": active, **{name: one for name, one in limits.items() if one}}


def schedules_of(schedules: list[DeploymentSchedule]) -> list[dict[str, Any]]:
    """Return schedules as they were made, the oldest first."""
    return [_schedule(one) for one in sorted(schedules, key=lambda one: parse(one.created))]


def _schedule(one: DeploymentSchedule) -> dict[str, Any]:
    return schedule_fields(
        one.schedule,
        one.active,
        max_active_runs=one.max_active_runs,
        max_scheduled_runs=one.max_scheduled_runs,
        catchup=one.catchup,
    )


def _schedules(
    name: str, schedules: list[DeploymentSchedule]
) -> tuple[list[dict[str, Any]], list[Item | Refusal]]:
    """Return the schedules that can be followed, and what is wrong with the others."""
    kept: list[dict[str, Any]] = []
    refused: list[Item | Refusal] = []
    for one in sorted(schedules, key=lambda one: parse(one.created)):
        try:
            kept.append(_schedule(one))
        except InvalidInputError as error:
            refused.append(no_schedule(name, one.schedule, error))
    return kept, refused


def no_schedule(name: str, rule: Any, error: ReeveError) -> Refusal:
    """Return what is said of a schedule that cannot be followed."""
    text = msgspec.json.encode(rule).decode()
    return Refusal(
        kind=Kind.DEPLOYMENT,
        name=name,
        why=f"its schedule {text} cannot be followed: {error.message}",
        remedy="The deployment is made without it: give it another with reeve deploy",
    )


def _deployment_notes(
    found: Snapshot, one: DeploymentResponse, overrides: Mapping[str, Any]
) -> tuple[str, ...]:
    if one.work_queue_name is None:
        return ("it has no work queue: no agent takes its runs",)
    if one.infrastructure_document_id in found.documents:
        block = found.documents[one.infrastructure_document_id]
        slug = ref_of(block).slug
        if slug != "process":
            what = f"its infrastructure is a {slug!r}, and reeve's agents start processes"
            return (f"{what}: its runs wait for an agent of Prefect",)
        return job_notes(block.data, overrides)
    pool = next((each for each in found.pools if each.name == one.work_pool_name), None)
    if pool is None or pool.type not in SERVED_TYPES:
        return ()
    return job_notes(pool.base_job_template, overrides)


def _gone(kind: Kind, name: str, error: ReeveError) -> Refusal:
    return Refusal(kind=kind, name=name, why=error.message, remedy="Mend it there, then import again")
