"""``reeve import prefect``: the report, and what is on the server afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Server, Shell, running_server

from reeve.client.sync import Client
from reeve.settings import home_key
from reeve.wire import endpoints, requests
from reeve.wire.responses import BlockDocument, WorkPool, WorkQueueResponse

FIXTURES = Path(__file__).parents[1] / "fixtures" / "importing"
SECRET = {"title": "Key", "type": "string", "writeOnly": True, "format": "password"}


@pytest.fixture
def project(at_server: Shell, tmp_path: Path) -> Shell:
    """A directory with what a user of 2.20 has in his."""
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    return replace(at_server, environment={**at_server.environment, "SALES_POOL": f"pool-{tmp_path.name}"})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that holds a bit of everything; one of reeve's speaks 2.20's dialect, and starts sooner."""
    with running_server(tmp_path_factory.mktemp("source") / "home") as server:
        with server.client() as client:
            _fill(client)
        yield server


def _fill(client: Client) -> None:
    for number in range(201):  # one more than a page
        client.call(endpoints.create_variable, requests.VariableCreate(name=f"v{number}", value=str(number)))
    inner = _block(client, "inner", "in", {"key": "hunter2", "plain": 1})
    outer = _block(client, "outer", "out", {"inner": {"$ref": {"block_document_id": str(inner.id)}}})
    proc = _block(client, "infra", "anonymous-1", {"env": {}}, is_anonymous=True)
    hook = client.call(endpoints.read_block_type_by_slug, slug="webhook")
    [schema] = [one for one in client.call(endpoints.filter_block_schemas) if one.block_type_id == hook.id]
    ops = client.call(
        endpoints.create_block_document,
        requests.BlockDocumentCreate(
            name="ops",
            data={"url": "https://example.invalid"},
            block_schema_id=schema.id,
            block_type_id=hook.id,
        ),
    )
    client.call(
        endpoints.create_notification_policy,
        requests.NotificationPolicyCreate(state_names=["Failed"], tags=[], block_document_id=ops.id),
    )
    client.call(endpoints.create_tag_limit, requests.TagLimitCreate(tag="db", concurrency_limit=3))
    client.call(
        endpoints.create_slot_limit, requests.SlotLimitCreate(name="api", limit=2, slot_decay_per_second=0.5)
    )
    client.call(endpoints.create_work_pool, requests.WorkPoolCreate(name="boxes", type="docker"))
    client.call(
        endpoints.create_work_pool, requests.WorkPoolCreate(name="here", type="process", concurrency_limit=4)
    )
    for name, priority in (("slow", 2), ("urgent", 1)):
        body = requests.WorkQueueCreate(name=name, priority=priority, is_paused=name == "slow")
        client.call(endpoints.create_pool_queue, body, work_pool_name="here")
    flow = client.call(endpoints.create_flow, requests.FlowCreate(name="load"))
    client.call(
        endpoints.create_deployment,
        requests.DeploymentCreate(
            name="prod",
            flow_id=flow.id,
            entrypoint="load.py:load",
            path="/srv",
            work_pool_name="here",
            work_queue_name="urgent",
            parameters={"to": {"$ref": {"block_document_id": str(outer.id)}}},
            schedules=[
                requests.ScheduleCreate(schedule={"cron": "0 3 * * *", "timezone": "Europe/Zurich"}),
                requests.ScheduleCreate(schedule={"interval": 3600}, active=False),
            ],
            tags=["etl"],
            job_variables={"wrong": 1},
        ),
    )
    client.call(
        endpoints.create_deployment,
        requests.DeploymentCreate(
            name="old", flow_id=flow.id, work_queue_name="q", infrastructure_document_id=proc.id
        ),
    )


def _block(client: Client, slug: str, name: str, data: dict[str, Any], **more: bool) -> BlockDocument:
    kind = client.call(endpoints.create_block_type, requests.BlockTypeCreate(name=slug, slug=slug))
    fields = {"title": slug, "properties": {"key": SECRET}, "secret_fields": ["key"]}
    schema = client.call(
        endpoints.create_block_schema, requests.BlockSchemaCreate(fields=fields, block_type_id=kind.id)
    )
    body = requests.BlockDocumentCreate(
        name=name, data=data, block_schema_id=schema.id, block_type_id=kind.id, **more
    )
    return client.call(endpoints.create_block_document, body)


def report(shell: Shell, *arguments: str, code: int, **environ: str) -> dict[str, Any]:
    done = shell("import", "prefect", *arguments, "--json", **environ)
    assert done.code == code, done.err
    told: dict[str, Any] = json.loads(done.out)
    return told


def outcomes(told: dict[str, Any], kind: str) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in told["objects"] if one["kind"] == kind}


# --- files


def test_a_project_is_imported_and_then_nothing_is_left_to_do(project: Shell, client: Client) -> None:
    ahead = project("import", "prefect", "prefect.yaml", "--dry-run")
    assert "would be created  deployment Load Sales/prod" in ahead.out
    assert "Nothing was changed" in ahead.out
    assert project("deployments", "show", "Load Sales/prod").code == 1, "it was a dry run"

    done = project("import", "prefect", "prefect.yaml")
    assert (done.code, done.err) == (1, "")
    for said in (
        "created           deployment Load Sales/prod",
        "note: reeve takes no build steps",
        "the name of its flow is guessed, as jobs.other:run_it is not here",
        'its schedule {"cron":"99 3 * * *"} cannot be followed',
        "its triggers are automations",
        "{{ image.tag }} is what a build step puts out",
        "the environment variable 'NOT_SET_ANYWHERE' is not set",
        "deployment the 5. deployment\n    it has no 'name'",
        "3 created, 5 not carried over.",
        f"Serve the pool: reeve agent start -p {project.environment['SALES_POOL']}",
        "pip install 'prefect<3'",
        "pause the deployments there",
    ):
        assert said in done.out

    made = client.call(endpoints.read_deployment_by_name, flow_name="Load Sales", deployment_name="prod")
    assert (made.version, made.tags, made.parameters) == ("7", ["etl"], {"region": "eu"})
    assert (made.work_pool_name, made.work_queue_name) == (project.environment["SALES_POOL"], "nightly")
    assert made.infra_overrides == {"env": {"COLOUR": "blue"}}
    assert made.description == "Loads a day of sales."
    assert made.parameter_openapi_schema == {
        "title": "Parameters",
        "type": "object",
        "properties": {
            "day": {"title": "day", "position": 0, "type": "string"},
            "region": {"title": "region", "position": 1, "type": "string", "default": "us"},
            "tries": {"title": "tries", "position": 2, "type": "integer", "default": 3},
        },
        "required": ["day"],
    }
    assert made.pull_steps is not None
    assert "prefect.deployments.steps.git_clone" in made.pull_steps[0]
    rules = {next(iter(one.schedule)): (one.schedule["timezone"], one.active) for one in made.schedules}
    assert rules == {
        "cron": ("Europe/Zurich", True),
        "interval": ("UTC", False),
        "rrule": ("Asia/Tokyo", True),
    }

    again = project("import", "prefect", "prefect.yaml")
    assert "3 same, 5 not carried over.\nNothing to do" in again.out


def test_what_differs_is_left_alone_unless_told(project: Shell, client: Client) -> None:
    file = project.directory / "hello-deployment.yaml"
    file.write_text(file.read_text().replace("work_pool_name: null", "work_pool_name: built"))
    assert project("import", "prefect", "hello-deployment.yaml", "--paused").code == 0
    assert "paused" in project("deployments", "show", "hello/old").out
    assert project("deployments", "resume", "hello/old").code == 0
    told = report(project, "hello-deployment.yaml", "--paused", code=0)
    assert outcomes(told, "deployment") == {"hello/old": "same"}, "that it goes on here is no difference"

    file.write_text(file.read_text().replace("0 3 * * *", "0 4 * * *").replace("- etl", "- etl\n- new"))
    told = report(project, "hello-deployment.yaml", code=0)
    [entry] = [one for one in told["objects"] if one["kind"] == "deployment"]
    assert (entry["outcome"], sorted(entry["changes"])) == ("differs", ["schedules", "tags"])
    assert entry["changes"]["tags"] == {"here": ["etl"], "there": ["etl", "new"]}
    assert "What differs was left alone" in project("import", "prefect", "hello-deployment.yaml").out
    told = report(project, "hello-deployment.yaml", "--update", code=0)
    assert outcomes(told, "deployment") == {"hello/old": "updated"}
    there = client.call(endpoints.read_deployment_by_name, flow_name="hello", deployment_name="old")
    assert [one.schedule["cron"] for one in there.schedules] == ["0 4 * * *"]
    assert there.infra_overrides == {"env": {"B": "2"}, "env.A": "1"}, "a process block is job variables"

    client.call(endpoints.set_deployment_options, requests.DeploymentOptions(), id=there.id)
    file.write_text(file.read_text().replace("- new", "- newer"))
    told = report(project, "hello-deployment.yaml", "--update", code=0)
    [entry] = [one for one in told["objects"] if one["kind"] == "deployment"]
    assert entry["outcome"] == "differs"
    assert "deployed with reeve since" in entry["why"]


def test_what_a_file_cannot_say_is_told(project: Shell) -> None:
    file = project.directory / "hello-deployment.yaml"
    text = file.read_text()
    ahead = project("import", "prefect", file.name, "--dry-run")
    assert "would be created  work pool default-agent-pool" in ahead.out
    file.write_text(text.replace("type: process", "type: docker-container"))
    assert "its infrastructure is a 'docker-container'" in project("import", "prefect", file.name).out
    file.write_text(text.replace("storage: null", "storage: {bucket: b}"))
    assert "its code is in a storage block" in project("import", "prefect", file.name).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to import: --from URL"),
        (("prefect.yaml", "--from", "http://127.0.0.1:1"), "Say what to import: --from URL"),
        (("none.yaml",), "none.yaml cannot be read"),
        (("sales.py",), "sales.py is no YAML"),
        (("list.yaml",), "list.yaml is neither a prefect.yaml"),
        (("--from", "http://127.0.0.1:1"), "No server answers at http://127.0.0.1:1/api"),
        (("prefect.yaml", "--python", "none"), "--python: there is no "),
    ],
)
def test_bad_input_is_told_in_a_sentence(project: Shell, arguments: tuple[str, ...], said: str) -> None:
    (project.directory / "list.yaml").write_text("[1, 2]")
    done = project("import", "prefect", *arguments)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert "Traceback" not in done.err


# --- a server


def test_a_server_is_imported_whole(source: Server, at_server: Shell, client: Client) -> None:
    url, key = source.url.removesuffix("/api"), home_key(source.home) or ""
    refused = at_server("import", "prefect", "--from", url)
    assert "wants a key that it knows. Set PREFECT_API_KEY" in refused.err

    ahead = report(at_server, "--from", url, "--dry-run", code=0, PREFECT_API_KEY=key)
    told = report(at_server, "--from", url, "--api-key", key, code=0)
    assert ahead["objects"] == told["objects"], "a dry run says what a run does"
    assert len(outcomes(told, "variable")) == 201
    assert {one["outcome"] for one in told["objects"]} == {"created", "same"}
    assert outcomes(told, "block_type") == dict.fromkeys(["inner", "outer", "infra"], "created") | {
        "webhook": "same"
    }
    notes = {one["name"]: " ".join(one["notes"]) for one in told["objects"]}
    assert "a Prefect worker of that type must serve it" in notes["boxes"]
    assert "The job variable 'wrong' means nothing here" in notes["load/prod"]
    assert "its infrastructure is a 'infra'" in notes["load/old"]

    with source.client() as theirs:
        for pool in theirs.call(endpoints.filter_work_pools):
            assert _plain(client.call(endpoints.read_work_pool, name=pool.name)) == _plain(pool)
        queues = {_plain_queue(one) for one in client.call(endpoints.filter_work_queues)}
        assert {_plain_queue(one) for one in theirs.call(endpoints.filter_work_queues)} <= queues
    made = client.call(endpoints.read_deployment_by_name, flow_name="load", deployment_name="prod")
    outer = client.call(
        endpoints.read_block_document_by_name,
        query={"include_secrets": "true"},
        slug="outer",
        block_document_name="out",
    )
    assert made.parameters == {"to": {"$ref": {"block_document_id": str(outer.id)}}}
    assert outer.data == {"inner": {"key": "hunter2", "plain": 1}}
    schedules = {(one.schedule.get("cron"), one.active) for one in made.schedules}
    assert schedules == {("0 3 * * *", True), (None, False)}

    again = at_server("import", "prefect", "--from", url, "--api-key", key)
    assert "Nothing to do: what can be carried over is here." in again.out
    assert "hunter2" not in again.out


def test_a_secret_that_differs_is_not_shown(source: Server, at_server: Shell, client: Client) -> None:
    key = home_key(source.home) or ""
    report(at_server, "--from", source.url, "--api-key", key, code=0)
    inner = client.call(endpoints.read_block_document_by_name, slug="inner", block_document_name="in")
    client.call(
        endpoints.update_block_document, requests.BlockDocumentUpdate(data={"key": "mine"}), id=inner.id
    )
    told = at_server("import", "prefect", "--from", source.url, "--api-key", key).out
    assert "differs           block inner/in\n    data.key\n" in told
    assert "mine" not in told
    assert "hunter2" not in told
    updated = report(at_server, "--from", source.url, "--api-key", key, "--update", code=0)
    assert outcomes(updated, "block")["inner/in"] == "updated"


def _plain(pool: WorkPool) -> tuple[Any, ...]:
    return pool.type, pool.description, pool.is_paused, pool.concurrency_limit


def _plain_queue(queue: WorkQueueResponse) -> tuple[Any, ...]:
    return queue.work_pool_name, queue.name, queue.is_paused, queue.concurrency_limit, queue.priority
