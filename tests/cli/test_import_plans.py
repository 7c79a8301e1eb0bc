"""What an import makes of a source: values in, plans out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from reeve.cli.importing.flow_source import FlowSource, flow_source, parse
from reeve.cli.importing.of_files import Around, plan_of_file
from reeve.cli.importing.of_server import plan_of_server
from reeve.cli.importing.plan import Choices, Item, Kind, Plan, Refusal
from reeve.cli.importing.reading import Snapshot
from reeve.cli.importing.writing import differences
from reeve.errors import InvalidInputError
from reeve.wire.responses import (
    BlockDocument,
    BlockSchema,
    BlockType,
    DeploymentResponse,
    DeploymentSchedule,
    Flow,
    NotificationPolicy,
    WorkPool,
    WorkQueueResponse,
)

AT = "2026-01-01T00:00:00+00:00"
STAMPS: dict[str, Any] = {"created": AT, "updated": AT}


def document(slug: str, name: str, data: dict[str, Any], *inner: tuple[str, BlockDocument]) -> BlockDocument:
    kind = BlockType(id=uuid4(), name=slug, slug=slug, **STAMPS)
    schema = BlockSchema(
        id=uuid4(), checksum="sha256:1", fields={}, block_type_id=kind.id, capabilities=[], **STAMPS
    )
    described = {
        key: {"block_document": {"id": str(one.id), "name": one.name, "block_type": {"slug": _slug(one)}}}
        for key, one in inner
    }
    return BlockDocument(
        id=uuid4(),
        name=name,
        data=data,
        block_schema_id=schema.id,
        block_schema=schema,
        block_type_id=kind.id,
        block_type=kind,
        block_document_references=described,
        **STAMPS,
    )


def _slug(one: BlockDocument) -> str:
    assert one.block_type is not None
    return one.block_type.slug


def deployment(flow: Flow, *rules: dict[str, Any], **fields: Any) -> DeploymentResponse:
    schedules = [
        DeploymentSchedule(id=uuid4(), deployment_id=uuid4(), schedule=rule, **STAMPS) for rule in rules
    ]
    usual: dict[str, Any] = {"infra_overrides": {}, "parameters": {}, "tags": [], "work_queue_name": "q"}
    return DeploymentResponse(
        id=uuid4(), name="prod", flow_id=flow.id, schedules=schedules, **STAMPS, **{**usual, **fields}
    )


def flow() -> Flow:
    return Flow(id=uuid4(), name="load", tags=["mine"], **STAMPS)


def planned(snapshot: Snapshot, **choices: Any) -> Plan:
    return plan_of_server(snapshot, Choices(**choices))


def of(plan: Plan, kind: Kind) -> list[Item | Refusal]:
    return [one for one in plan if one.kind is kind]


def items(plan: Plan, kind: Kind) -> list[Item]:
    return [one for one in of(plan, kind) if isinstance(one, Item)]


def refusals(plan: Plan) -> list[str]:
    return [f"{one.name}: {one.why}" for one in plan if isinstance(one, Refusal)]


# --- servers


def test_blocks_stand_before_what_refers_to_them() -> None:
    inner = document("inner", "in", {"n": 1})
    outer = document("outer", "out", {"inner": {"n": 1}, "own": 2}, ("inner", inner))
    plan = planned(Snapshot(documents={one.id: one for one in (outer, inner)}))
    first, second = items(plan, Kind.BLOCK)
    assert (first.name, second.name) == ("inner/in", "outer/out")
    assert str(second.fields["data"]["inner"]["$ref"]["block_document_id"]) == "inner/in"
    assert second.fields["data"]["own"] == 2


def test_secrets_that_came_hidden_are_named() -> None:
    hidden = document("outer", "out", {"open": 1, "deep": {"key": "********"}, "token": "********"})
    plan = planned(Snapshot(documents={hidden.id: hidden}))
    assert refusals(plan) == ["outer/out: its secrets could not be read: deep.key, token"]


def test_a_deployment_whose_block_is_gone_stops_no_other() -> None:
    owner = flow()
    gone = deployment(owner, parameters={"to": {"$ref": {"block_document_id": str(uuid4())}}})
    kept = deployment(owner)
    plan = planned(Snapshot(flows={owner.id: owner}, deployments=[gone, kept]))
    assert refusals(plan) == [
        "load/prod: It refers to a block that was deleted on the server that it comes from."
    ]
    [one] = items(plan, Kind.DEPLOYMENT)
    assert one.given == {"flow": "load", "flow_tags": ["mine"]}


def test_a_schedule_that_cannot_be_followed_is_left_out() -> None:
    owner = flow()
    made = deployment(owner, {"cron": "99 * * * *"}, {"interval": 60.0, "anchor_date": AT, "timezone": "UTC"})
    plan = planned(Snapshot(flows={owner.id: owner}, deployments=[made]))
    assert "99 * * * *" in refusals(plan)[0]
    [one] = items(plan, Kind.DEPLOYMENT)
    assert [each["schedule"]["interval"] for each in one.fields["schedules"]] == [60.0]


def test_what_will_not_run_is_noted() -> None:
    owner = flow()
    pool = WorkPool(id=uuid4(), name="p", type="process", base_job_template={}, **STAMPS)
    other = WorkPool(id=uuid4(), name="k", type="kubernetes", base_job_template={}, **STAMPS)
    infra = document("docker-container", "box", {})
    deployments = [
        deployment(owner, work_pool_name="p", infra_overrides={"image": "x"}),
        deployment(owner, work_pool_name="p", infra_overrides={"env": {"A": "{{ prefect.variables.a }}"}}),
        deployment(owner, infrastructure_document_id=infra.id),
        deployment(owner, work_queue_name=None),
    ]
    plan = planned(
        Snapshot(
            flows={owner.id: owner},
            pools=[pool, other],
            documents={infra.id: infra},
            deployments=deployments,
        )
    )
    notes = [" ".join(one.notes) for one in [*items(plan, Kind.POOL), *items(plan, Kind.DEPLOYMENT)]]
    for note, said in zip(
        notes,
        (
            "",
            "'kubernetes'",
            "'image' means nothing",
            "hand on as they stand",
            "'docker-container'",
            "no work",
        ),
        strict=True,
    ):
        assert said in note


def test_what_has_no_like_here_is_refused_with_a_remedy() -> None:
    policy = NotificationPolicy(
        id=uuid4(), is_active=True, state_names=[], tags=[], block_document_id=uuid4(), **STAMPS
    )
    queue = WorkQueueResponse(
        id=uuid4(), name="q", work_pool_name="p", filter={"deployment_ids": ["1"]}, **STAMPS
    )
    plan = planned(Snapshot(automations=["wake up"], policies=[policy], queues=[queue]))
    assert [one.kind for one in plan] == [Kind.QUEUE, Kind.NOTIFICATION, Kind.AUTOMATION]
    assert all(isinstance(one, Refusal) and one.remedy for one in plan)


def test_choices_are_applied() -> None:
    owner = flow()
    made = [deployment(owner), deployment(owner, infra_overrides={"command": "mine"})]
    plan = planned(Snapshot(flows={owner.id: owner}, deployments=made), paused=True, command="python -m x")
    first, second = items(plan, Kind.DEPLOYMENT)
    assert first.fields["job_variables"] == {"command": "python -m x"}
    assert second.fields["job_variables"] == {"command": "mine"}
    assert first.given["paused"] is True
    assert "paused" not in first.fields


# --- files


def look(_entrypoint: str, _directory: Path) -> FlowSource:
    return FlowSource(name="load")


def of_file(value: Any, **environ: str) -> Plan:
    around = Around(file=Path("/srv/prefect.yaml"), environ=environ, look=look, choices=Choices())
    return plan_of_file(value, around)


def test_the_directory_of_the_file_is_where_code_is_by_default() -> None:
    plan = of_file({"deployments": [{"name": "a", "entrypoint": "f.py:f", "work_pool": {"name": "p"}}]})
    [one] = items(plan, Kind.DEPLOYMENT)
    step = {"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}}
    assert one.fields["pull_steps"] == [step]
    assert one.fields["queue"] == "default"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (3, "it is no mapping"),
        ({"name": "a"}, "it has no 'entrypoint'"),
        ({"name": "a", "entrypoint": "f.py:f"}, "its 'work_pool' has no 'name'"),
        ({"name": "a", "entrypoint": "f.py:f", "work_pool": "p"}, "it cannot be read"),
        (
            {"name": "a", "entrypoint": "f.py:f", "work_pool": {"name": "p"}, "schedules": 3},
            "it cannot be read",
        ),
        ({"name": "{{ $NAME }}", "entrypoint": "f.py:f"}, "'NAME' is not set"),
        ({"name": "{{ prefect.variables.n }}", "entrypoint": "f.py:f"}, "is looked up on the server"),
    ],
)
def test_one_that_is_broken_stops_no_other(broken: Any, why: str) -> None:
    good = {"name": "b", "entrypoint": "f.py:f", "work_pool": {"name": "{{ $POOL }}"}}
    plan = of_file({"deployments": [broken, good]}, POOL="p")
    [refused] = refusals(plan)
    assert why in refused
    assert [one.name for one in items(plan, Kind.DEPLOYMENT)] == ["load/b"]


@pytest.mark.parametrize("value", [None, [], "text", {"name": "x"}, {"deployments": 3}])
def test_what_is_no_such_file_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"prefect\.yaml"):
        of_file(value)


# --- the source of a flow


def test_a_flow_is_read_and_not_run(tmp_path: Path) -> None:
    module = tmp_path / "jobs" / "__init__.py"
    module.parent.mkdir()
    module.write_text(
        "import nothing_here\nraise SystemExit\n@flow(name='N')\nasync def f(a, /, b: int = 2): ...\n"
    )
    read = flow_source("jobs:f", tmp_path)
    assert (read.name, read.is_certain) == ("N", True)
    assert read.schema == {
        "title": "Parameters",
        "type": "object",
        "properties": {
            "a": {"title": "a", "position": 0},
            "b": {"title": "b", "position": 1, "type": "integer", "default": 2},
        },
        "required": ["a"],
    }
    assert flow_source("gone.py:my_flow", tmp_path) == FlowSource(name="my-flow", is_certain=False)


def test_a_name_that_is_computed_is_a_guess() -> None:
    assert not parse("@flow(name=NAME)\ndef my_flow(): ...", "my_flow").is_certain
    with pytest.raises(LookupError):
        parse("x = 1", "my_flow")


# --- what differs


def test_an_interval_without_an_anchor_is_like_the_one_it_was_given() -> None:
    there = {"schedule": {"interval": 60.0, "anchor_date": AT, "timezone": "UTC"}, "active": True}
    cron = {"schedule": {"cron": "0 3 * * *", "day_or": True}, "active": True}
    wanted = {"schedule": {"interval": 60.0}, "active": True}
    assert differences({"schedules": [cron, there]}, {"schedules": [wanted, cron]}) == []
    assert differences({"schedules": [there]}, {"schedules": [{**wanted, "active": False}]}) == ["schedules"]
    assert differences({"schedules": [there, cron]}, {"schedules": [wanted]}) == ["schedules"]
    assert differences({"id": UUID(int=1)}, {"id": str(UUID(int=1))}) == []
