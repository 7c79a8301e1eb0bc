"""What runs share and leave behind, as the command line shows it."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from tests.cli.conftest import Shell

from reeve.client.sync import Client
from reeve.core.states import StateDetails, StateType
from reeve.wire import endpoints, requests


@pytest.fixture
def name() -> str:
    return f"v_{uuid4().hex}"


def test_a_variable_from_its_making_to_its_end(at_server: Shell, name: str) -> None:
    assert at_server("variables", "set", name, "eu-west", "--tag", "prod").code == 0
    refused = at_server("variables", "set", name, "eu-east")
    assert (refused.code, "--overwrite" in refused.err) == (1, True)
    assert at_server("variables", "get", name).out == "eu-west\n"
    assert at_server("variables", "set", name, "eu\neast", "--overwrite").code == 0
    listed = json.loads(at_server("variables", "ls", "--json").out)
    assert [(one["name"], one["value"]) for one in listed if one["name"] == name] == [(name, "eu\neast")]
    assert "eu east" in at_server("variables", "ls").out
    assert name not in at_server("variables", "ls", "--tag", "prod").out
    assert at_server("variables", "rm", name).code == 0
    for command in ("get", "rm"):
        missing = at_server("variables", command, name)
        assert (missing.code, "reeve variables ls" in missing.err) == (1, True)


def test_artifacts_are_listed_and_shown(at_server: Shell, client: Client) -> None:
    key = f"k-{uuid4().hex}"
    flow = client.call(endpoints.create_flow, requests.FlowCreate(name="left"))
    run = client.call(endpoints.create_flow_run, requests.FlowRunCreate(flow_id=flow.id))
    for text in ("# First", "# Second"):
        body = requests.ArtifactCreate(key=key, type="markdown", data=text, flow_run_id=run.id)
        client.call(endpoints.create_artifact, body)
    bar = client.call(endpoints.create_artifact, requests.ArtifactCreate(type="progress", data=40.0))
    listed = json.loads(at_server("artifacts", "ls", "--run", str(run.id), "--key", key, "--json").out)
    assert [one["data"] for one in listed] == ["# Second", "# First"]
    assert key in at_server("artifacts", "ls", "--type", "markdown").out
    assert "# Second" in at_server("artifacts", "show", key).out
    assert "40 %" in at_server("artifacts", "show", str(bar.id)).out
    assert json.loads(at_server("artifacts", "show", listed[1]["id"], "--json").out)["data"] == "# First"
    rows = requests.ArtifactCreate(type="table", data='[{"region":"north","orders":3},{"region":"west"}]')
    table = client.call(endpoints.create_artifact, rows)
    assert "\n\nregion  orders\nnorth   3\nwest\n" in at_server("artifacts", "show", str(table.id)).out
    missing = at_server("artifacts", "show", "nothing")
    assert (missing.code, "reeve artifacts ls" in missing.err) == (1, True)


def test_blocks_are_shown_without_their_secrets(at_server: Shell, client: Client) -> None:
    slug = f"vault-{uuid4().hex[:8]}"
    type_ = client.call(endpoints.create_block_type, requests.BlockTypeCreate(name=slug, slug=slug))
    fields = {"title": slug, "secret_fields": ["key"]}
    schema = client.call(
        endpoints.create_block_schema, requests.BlockSchemaCreate(fields=fields, block_type_id=type_.id)
    )
    body = requests.BlockDocumentCreate(
        name="main", data={"key": "sesame", "door": 3}, block_schema_id=schema.id, block_type_id=type_.id
    )
    made = client.call(endpoints.create_block_document, body)
    assert f"{slug}/main" in at_server("blocks", "ls").out
    assert [one["id"] for one in json.loads(at_server("blocks", "ls", "--type", slug, "--json").out)] == [
        str(made.id)
    ]
    shown = at_server("blocks", "show", f"{slug}/main").out
    assert ("door  3" in shown, "********" in shown, "sesame" in shown) == (True, True, False)
    assert "sesame" not in at_server("blocks", "show", str(made.id), "--json").out
    assert at_server("blocks", "rm", f"{slug}/main").code == 0
    for name in (f"{slug}/main", "nothing"):
        missing = at_server("blocks", "show", name)
        assert (missing.code, "reeve blocks ls" in missing.err) == (1, True)


def test_a_paused_run_is_resumed_with_what_it_waits_for(at_server: Shell, client: Client) -> None:
    flow = client.call(endpoints.create_flow, requests.FlowCreate(name="paused"))
    run = client.call(endpoints.create_flow_run, requests.FlowRunCreate(flow_id=flow.id))
    refused = at_server("runs", "resume", str(run.id))
    assert (refused.code, "not paused" in refused.err) == (1, True)
    keyset = {"response": "r", "schema": "s"}
    schema = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
    body = requests.FlowRunInputCreate(key="s", value=json.dumps(schema))
    client.call(endpoints.create_input, body, id=run.id)
    for type_, details in ((StateType.RUNNING, None), (StateType.PAUSED, keyset)):
        state = requests.StateCreate(type=type_, state_details=StateDetails(run_input_keyset=details))
        client.call(endpoints.set_flow_run_state, requests.SetState(state=state), id=run.id)
    refused = at_server("runs", "resume", str(run.id), "-P", "rows=many")
    assert (refused.code, "'rows'" in refused.err) == (1, True)
    assert "is Running." in at_server("runs", "resume", str(run.id), "-P", "rows=3").out
    assert json.loads(client.call(endpoints.read_input, id=run.id, key="r")) == {"rows": 3}
