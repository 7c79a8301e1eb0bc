"""A real server for what user code asks of it, and runs of it that are executed in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.cli.conftest import Server, running_server

from reeve import Flow, State
from reeve.client.sync import Client
from reeve.sdk import home
from reeve.sdk.context import Origin
from reeve.sdk.engine.run import Kind, Subject
from reeve.sdk.engine.server import Server as Reporter
from reeve.sdk.flows import run_deployed
from reeve.wire import endpoints, requests
from reeve.wire.responses import FlowRunResponse, Grant

POOL = "p"


@dataclass
class Real:
    """The server; ``client`` holds the key of its home."""

    server: Server
    client: Client
    agent_id: UUID
    epoch: int
    seq: int = 0
    acked: int = 0
    held: list[UUID] = field(default_factory=list)

    def deployment(self, flow: str = "f", name: str = "d", **fields: Any) -> UUID:
        """Make a deployment in the pool and return its id."""
        of = self.client.call(endpoints.create_flow, requests.FlowCreate(name=flow))
        body = requests.DeploymentCreate(name=name, flow_id=of.id, work_pool_name=POOL, **fields)
        return self.client.call(endpoints.create_deployment, body).id

    def grant(self) -> Grant:
        """Be an agent that claims the next run that is due."""
        self.seq += 1
        poll = requests.Poll(
            epoch=self.epoch, seq=self.seq, free=1, held=self.held, acked_grant=self.acked, hold_seconds=20
        )
        (grant,) = self.client.call(endpoints.poll_agent, poll, id=self.agent_id).grants
        self.acked = grant.number
        self.held.append(grant.attempt_id)
        return grant

    def gone(self, grant: Grant) -> None:
        """Be the agent that has seen the process of a run end."""
        exited = requests.Exited(seq=1, exit_code=0, cause="Its process exited with 0.")
        told = requests.AttemptReports(id=grant.attempt_id, reports=[exited])
        self.client.call(endpoints.report_attempts, requests.Reports(epoch=self.epoch, attempts=[told]))
        self.held.remove(grant.attempt_id)

    def execute(self, flow: Flow[..., Any], **parameters: Any) -> tuple[UUID, State[Any]]:
        """Ask for a run of a flow, claim it and execute it here, as the process of an agent would."""
        body = requests.DeploymentFlowRunCreate(idempotency_key=uuid4().hex)
        asked = self.client.call(endpoints.create_run_of_deployment, body, id=self.deployment(flow.name))
        return asked.id, self.go_on(asked.id, flow, **parameters)

    def go_on(self, run_id: UUID, flow: Flow[..., Any], **parameters: Any) -> State[Any]:
        """Claim a run that is due and execute it here."""
        grant = self.grant()
        assert grant.run.id == run_id
        bound = flow.parameters.validate(flow.parameters.bind((), parameters))
        try:
            with Client(self.server.url, grant.token, patience=None) as client:
                reporter = Reporter(client)
                reporter.announce(run_id, flow.version, flow.policy, None)
                return run_deployed(flow, bound, _subject(grant.run), reporter, Origin())
        finally:
            self.gone(grant)

    def run(self, run_id: UUID) -> FlowRunResponse:
        """Read a run."""
        return self.client.call(endpoints.read_flow_run, id=run_id)


def _subject(run: FlowRunResponse) -> Subject:
    return Subject(kind=Kind.FLOW, id=run.id, name=run.name)


@contextmanager
def serving(server: Server) -> Iterator[Real]:
    """Give the pool, an agent and a client of a server."""
    with server.client() as client:
        client.call(endpoints.create_work_pool, requests.WorkPoolCreate(name=POOL, type="process"))
        agent_id = uuid4()
        who = requests.Register(
            id=agent_id, name="test", host="h", machine_id="m", boot_id="b", version="0", pool=POOL
        )
        epoch = client.call(endpoints.register_agent, who).epoch
        yield Real(server, client, agent_id, epoch)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """A server that the tests of a module share."""
    with running_server(tmp_path_factory.mktemp("server") / "home") as server, serving(server) as real:
        yield real


@pytest.fixture
def real(shared: Real, monkeypatch: pytest.MonkeyPatch) -> Iterator[Real]:
    """That server, as the one that the settings of the test's own process name."""
    for name, value in shared.server.environment.items():
        if name.startswith("REEVE_"):
            monkeypatch.setenv(name, value)
    yield shared
    home.hang_up()
