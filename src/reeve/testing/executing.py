"""Executing runs of deployments in this process: claimed as an agent claims them, with the engine of any run.

What is missing of an agent is the process: the flow runs in the test's own, where it can be watched by a
debugger, meets what the test has patched, and goes by the clock of the house.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from reeve.client.calls import VERSION
from reeve.client.sync import Client
from reeve.core.states import StateType
from reeve.sdk.engine.run import Kind, Subject
from reeve.sdk.entry import Job, load, run_job
from reeve.sdk.flows import Flow
from reeve.sdk.own_attempt import Granted
from reeve.sdk.states import RunStopped, State
from reeve.testing.threads import beside_any_loop
from reeve.wire import endpoints, requests
from reeve.wire.responses import Grant

NAME = "this test"
_ENDING = frozenset({StateType.CANCELLING, StateType.CANCELLED})


class Executor:
    """Claims the due runs of a pool, one at a time. ``flows``: those of deployments that are at hand."""

    def __init__(self, client: Client, pool: str) -> None:
        self.flows: dict[UUID, Flow[Any, Any]] = {}
        self._client = client
        self._pool = pool
        self._id = uuid4()
        self._epoch = self._seq = self._acked = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be an agent that the server knows of; at other times nobody waits for its sign of life."""
        who = requests.Register(
            id=self._id,
            name=NAME,
            host=os.uname().nodename,
            machine_id=self._id.hex,
            boot_id=self._id.hex,
            version=VERSION,
            pool=self._pool,
            limit=1,
        )
        self._epoch = self._client.call(endpoints.register_agent, who).epoch
        try:
            yield
        finally:
            self._client.call(endpoints.stop_agent, requests.Farewell(epoch=self._epoch), id=self._id)

    def execute_next(self) -> tuple[UUID, State[Any] | None] | None:
        """Execute the run that is first in line; None if none is due.

        Returns its id and the state it has ended in here, if it has. In an event loop it runs on a thread
        of its own meanwhile: like the process of an agent, it has a loop to itself.
        """
        grant = self._claim()
        if grant is None:
            return None
        attempt = Granted(grant.run.id, grant.attempt_id, grant.token)
        try:
            return grant.run.id, beside_any_loop(lambda: self._execute(grant, attempt))
        finally:
            attempt.leave()
            self._report_end(grant)

    def _claim(self) -> Grant | None:
        self._seq += 1
        poll = requests.Poll(
            epoch=self._epoch, seq=self._seq, free=1, held=[], acked_grant=self._acked, hold_seconds=0
        )
        grants = self._client.call(endpoints.poll_agent, poll, id=self._id).grants
        if not grants:
            return None
        self._acked = grants[0].number
        return grants[0]

    def _execute(self, grant: Grant, attempt: Granted) -> State[Any] | None:
        run = grant.run
        subject = Subject(kind=Kind.FLOW, id=run.id, name=run.name)
        try:
            return run_job(_job(grant), lambda: self._flow(grant), subject, attempt)
        except RunStopped as stop:
            subject.log.warning("%s", stop)
        except SystemExit:
            pass  # it would have ended the run's process, and no more
        except KeyboardInterrupt:
            if self._client.call(endpoints.read_flow_run, id=run.id).state_type not in _ENDING:
                raise
        return None

    def _flow(self, grant: Grant) -> Flow[Any, Any]:
        assert grant.deployment is not None, "only runs of deployments wait in queues"
        return self.flows.get(grant.deployment.id) or load(_job(grant), grant.deployment.path)

    def _report_end(self, grant: Grant) -> None:
        exited = requests.Exited(seq=1, exit_code=0, cause="Its process exited with 0.")
        told = requests.AttemptReports(id=grant.attempt_id, reports=[exited])
        self._client.call(endpoints.report_attempts, requests.Reports(epoch=self._epoch, attempts=[told]))


def _job(grant: Grant) -> Job:
    run, deployment = grant.run, grant.deployment
    return Job(
        flow_name=grant.flow_name,
        parameters=run.parameters,
        run_name=run.name,
        entrypoint=deployment.entrypoint if deployment else None,
        deployment_name=deployment.name if deployment else None,
        attempt_number=grant.attempt_number,
        tags=run.tags,
    )
