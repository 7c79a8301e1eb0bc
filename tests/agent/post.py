"""A real server and real agents for many tests of what an agent does: their runs are plain commands."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests.acceptance.house import PATIENCE, House, until

from reeve import settings
from reeve.agent import Agent
from reeve.core.states import StateDetails, StateType
from reeve.wire import endpoints as api
from reeve.wire import filters, queries, requests, responses

QUEUES = ("first", "second")
LIMIT = 3
SLEEP = "echo $$; exec sleep 300"


class Post:
    """A house with a server; its agent ``main`` serves QUEUES of default-agent-pool, LIMIT runs at once."""

    def __init__(self, root: Path) -> None:
        self.house = self.fresh(root)
        self.call = self.house.client.call
        self.flow = self.call(api.create_flow, requests.FlowCreate(name="f"))
        for name, type_ in (("own", "process"), ("boxes", "docker")):
            self.call(api.create_work_pool, requests.WorkPoolCreate(name=name, type=type_))
        self.agent("main", *_options("-q", QUEUES), "-l", str(LIMIT))

    @staticmethod
    def fresh(root: Path) -> House:
        """Return a house whose server has seen nobody yet."""
        house = House(root, f"sqlite:///{root / 'reeve.db'}")
        house.start_server()
        return house

    # --- agents

    def agent(self, name: str, *options: str, **environ: str) -> None:
        """Start an agent; it is looking for work when this returns."""
        process = self.house.start(name, "agent", "start", "--name", name, *options, **environ)
        started = self.log(name).count("Agent started!")
        until(
            f"{name} to start",
            lambda: self.log(name).count("Agent started!") > started or process.poll() is not None,
        )
        assert process.poll() is None, self.log(name)

    def once(self, *queues: str, **arguments: Any) -> str:
        """Have an agent in this process do what is due; return what it said."""
        agent = Agent(
            queues, **arguments, name=uuid4().hex, run_once=True, settings=settings.load(self.house.environ())
        )
        said = io.StringIO()
        handler = logging.StreamHandler(said)
        agent.logger.addHandler(handler)
        agent.logger.setLevel(logging.INFO)
        try:
            asyncio.run(_live(agent))
        finally:
            agent.logger.removeHandler(handler)
        return said.getvalue()

    def log(self, name: str = "main") -> str:
        return self.house.log(name)

    def says(self, text: str, name: str = "main", times: int = 1) -> None:
        until(f"{name} to say {text!r}", lambda: self.log(name).count(text) >= times)

    # --- runs

    def deployment(self, script: str | None = None, queue: str = "first", **fields: Any) -> UUID:
        """Deploy a shell script; None: what the other fields say."""
        command = {} if script is None else {"command": ["/bin/sh", "-c", script]}
        fields["infra_overrides"] = {**command, **fields.get("infra_overrides", {})}
        body = requests.DeploymentCreate(
            name=uuid4().hex, flow_id=self.flow.id, work_queue_name=queue, **fields
        )
        return self.call(api.create_deployment, body).id

    def ask(self, deployment: UUID, after: float | None = None, **fields: Any) -> UUID:
        """Ask for a run, due now or so many seconds from now."""
        if after is not None:
            due = StateDetails(scheduled_time=datetime.now(UTC) + timedelta(seconds=after))
            fields["state"] = requests.StateCreate(type=StateType.SCHEDULED, state_details=due)
        body = requests.DeploymentFlowRunCreate(**fields)
        return self.call(api.create_run_of_deployment, body, id=deployment).id

    def run(self, script: str | None = None, queue: str = "first", **fields: Any) -> UUID:
        """Ask for a run of a new deployment."""
        return self.ask(self.deployment(script, queue, **fields))

    def did(self, script: str | None = None, queue: str = "first", **fields: Any) -> list[str]:
        """Run a script to its end; return the lines it wrote."""
        run_id = self.run(script, queue, **fields)
        self.house.ends(run_id)
        return self.lines(run_id)

    def lines(self, run_id: UUID) -> list[str]:
        """Return what a run wrote to its streams."""
        query = queries.LogQuery(logs=filters.LogFilter(flow_run_id=filters.Ids(any_=[run_id])))
        return [line.message for line in self.call(api.filter_logs, query) if line.name != "reeve.agent"]

    def pid(self, run_id: UUID) -> int:
        """Return the process of a run that writes its pid first (SLEEP)."""
        written = until(f"the pid of {run_id}", lambda: self.lines(run_id))
        return int(written[0])

    def state(self, run_id: UUID) -> str | None:
        return self.house.read(run_id).state_name

    def states(self, run_id: UUID) -> list[responses.State]:
        return self.call(api.flow_run_states, query={"flow_run_id": run_id})

    def message(self, run_id: UUID) -> str:
        """Wait for the end of a run; return the message of its last state."""
        self.house.ends(run_id)
        return self.states(run_id)[-1].message or ""

    def cancel(self, run_id: UUID, type_: StateType = StateType.CANCELLING) -> None:
        """Cancel as a 2.20 client does: by a state called Cancelling."""
        body = requests.SetState(state=requests.StateCreate(type=type_, name="Cancelling"))
        self.call(api.set_flow_run_state, body, id=run_id)

    # --- what there is

    def queue(self, name: str, pool: str = "own", **fields: Any) -> None:
        body = requests.WorkQueueCreate(name=name, **fields)
        self.call(api.create_pool_queue, body, work_pool_name=pool)

    def block(self, slug: str = "process", **data: Any) -> UUID:
        """Keep an infrastructure block; return its id."""
        self.call(api.install_system_block_types)
        type_ = self.call(api.read_block_type_by_slug, slug=slug)
        wanted = queries.BlockSchemaQuery(
            block_schemas=filters.BlockSchemaFilter(block_type_id=filters.Ids(any_=[type_.id]))
        )
        schema = self.call(api.filter_block_schemas, wanted)[0]
        body = requests.BlockDocumentCreate(
            name=uuid4().hex, data=data, block_schema_id=schema.id, block_type_id=type_.id
        )
        return self.call(api.create_block_document, body).id


async def _live(agent: Agent) -> None:
    async with agent, asyncio.timeout(PATIENCE):
        await agent.wait()


def _options(flag: str, values: Collection[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
