"""What the network loses on the way: asked again, a command does not do a thing twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.cli.conftest import Shell
from tests.client.server import Script, ScriptedServer, drop, reply

from reeve.core.runs import FlowRunPolicy
from reeve.wire import codec, responses

NOW = "2026-01-31T03:00:00+00:00"
DEPLOYMENT = responses.DeploymentResponse(
    id=uuid4(),
    created=NOW,
    updated=NOW,
    infra_overrides={},
    name="prod",
    flow_id=uuid4(),
    schedules=[],
    parameters={},
    tags=[],
)
RUN = responses.FlowRunResponse(
    id=uuid4(),
    created=NOW,
    updated=NOW,
    name="fine-finch",
    flow_id=DEPLOYMENT.flow_id,
    parameters={},
    context={},
    empirical_policy=FlowRunPolicy(),
    tags=[],
)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def scripted(script: Script) -> Iterator[ScriptedServer]:
    """A server of the test's own making."""
    with ScriptedServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_repeated_request_carries_the_same_key(
    reeve: Shell, scripted: ScriptedServer, script: Script
) -> None:
    made = reply(codec.encode(RUN), 201)
    script.then(reply(codec.encode(DEPLOYMENT)), drop, made, reply(codec.encode(DEPLOYMENT)), made)
    for _ in range(2):
        done = reeve("run", "nightly/prod", "--json", REEVE_API_URL=scripted.url)
        assert (done.code, json.loads(done.out)["id"]) == (0, str(RUN.id))
    _, lost, repeated, _, another = script.seen
    assert lost.path == repeated.path == f"/api/deployments/{DEPLOYMENT.id}/create_flow_run"
    keys = [json.loads(seen.body)["idempotency_key"] for seen in (lost, repeated, another)]
    assert keys[0] == keys[1], "a repetition is the same request"
    assert keys[0] != keys[2], "and a new request is another"
