"""Deployments of a house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from reeve import clock
from reeve.client.sync import Client
from reeve.sdk.deployments import run_deployment
from reeve.server.services.scheduling import coming_runs
from reeve.testing.clock import length
from reeve.testing.runs import Run, found
from reeve.testing.server import Server
from reeve.testing.threads import beside_any_loop
from reeve.testing.work import Work
from reeve.wire import filters, queries


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A run that a schedule asks for: when it is due, in UTC, and with which parameters."""

    at: datetime
    parameters: Mapping[str, Any]


class Deployment:
    """A deployment, its runs and its schedules. ``name`` is FLOW/DEPLOYMENT, as the command line calls it."""

    def __init__(self, deployment_id: UUID, name: str, server: Server, client: Client, work: Work) -> None:
        self.id = deployment_id
        self.name = name
        self._server = server
        self._client = client
        self._work = work

    def run(self, **parameters: Any) -> Run:
        """Ask for a run, execute it here and return it; ``parameters`` go over those of the deployment.

        What is due before it has its turn first. A run that nobody may claim is returned as it waits.
        """
        asked = self.start(**parameters)
        done = self._work.do(until=asked.id)
        return next((run for run in done if run.id == asked.id), asked)

    def start(self, **parameters: Any) -> Run:
        """Ask for a run, for an agent to execute, and return it."""
        asked = beside_any_loop(lambda: run_deployment(self.id, parameters, timeout=0))
        return Run(self._client, asked.id)

    def run_next(self) -> Run | None:
        """Set the clock to its next run, execute that here and return it; None if there is none.

        What else is due until then has its turn as well.
        """
        return self._work.do_one(self.id)

    def upcoming(self, **period: float) -> list[Upcoming]:
        """Return the runs that its schedules ask for in the time to come, as ``upcoming(days=30)``.

        The words are those of ``timedelta``. They are what the server would make, which makes them only some
        days ahead; of each schedule the first 1000. A paused deployment has none.
        """
        until = clock.now() + length(period)
        planned = self._server.perform(lambda ctx: coming_runs(ctx, self.id, until))
        return [Upcoming(run.date, run.parameters) for run in planned]

    @property
    def runs(self) -> list[Run]:
        """Its runs, those due first first."""
        mine = filters.FlowRunFilter(deployment_id=filters.NullableIds(any_=[self.id]))
        return found(self._client, queries.FlowRunFilters(flow_runs=mine))

    def __repr__(self) -> str:
        return f"<Deployment {self.name}>"
