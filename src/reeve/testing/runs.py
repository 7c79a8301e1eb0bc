"""Runs as a test reads them: each question is answered by the server, as things are now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from reeve.client.sync import Client
from reeve.errors import NotFoundError, ReeveError
from reeve.sdk.asking import answer
from reeve.sdk.following import state_of, until
from reeve.sdk.own_attempt import deliver_logs
from reeve.sdk.pauses import resume_flow_run
from reeve.sdk.states import State
from reeve.testing.threads import beside_any_loop
from reeve.wire import codec, endpoints, filters, queries, responses

WAIT_SECONDS = 60.0
_PAGE = queries.MAX_LIMIT


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A task run of a flow run, as it was when it was asked for; ``tries``: how often it has begun."""

    id: UUID
    name: str
    state: State[Any]
    tries: int


class Run:
    """A flow run of a house. What it says of itself is what the server knows at that moment."""

    def __init__(self, client: Client, run_id: UUID, ended: State[Any] | None = None) -> None:
        self._client = client
        self._ended = ended  # in this process: so it has its value or its error
        self.id = run_id

    @property
    def name(self) -> str:
        """What the run is called."""
        return self._read().name

    @property
    def state(self) -> State[Any]:
        """Where the run is. Its value is there if it ended in this process, or was persisted."""
        return self._ended or state_of(self._read())

    def result(self) -> Any:
        """Return the run's value, or raise what it raised: RunFailedError if it has not completed."""
        return self.state.result()

    @property
    def history(self) -> list[str]:
        """The names of the states it has been in, the oldest first."""
        found = self._client.call(endpoints.flow_run_states, query={"flow_run_id": self.id})
        return [state.name for state in found]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Its parameters, as JSON has them."""
        return self._read().parameters

    @property
    def due(self) -> datetime | None:
        """When it is, or was, to start."""
        due = self._read().expected_start_time
        return codec.parse(due) if due else None

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return self._read().tags

    @property
    def tasks(self) -> list[TaskRun]:
        """Its task runs, in the order in which they were called."""
        mine = filters.FlowRunFilter(id=filters.RunIds(any_=[self.id]))

        def page(offset: int) -> list[responses.TaskRun]:
            query = queries.TaskRunQuery(flow_runs=mine, limit=_PAGE, offset=offset)
            return self._client.call(endpoints.filter_task_runs, query)

        found = sorted(_all(page), key=lambda run: run.created)
        return [TaskRun(run.id, run.name, state_of(run), run.run_count) for run in found]

    def task(self, name: str) -> TaskRun:
        """Return the task run of this name, such as ``extract-0``; NotFoundError says which there are."""
        there = self.tasks
        for run in there:
            if run.name == name:
                return run
        known = ", ".join(run.name for run in there) or "none"
        raise NotFoundError(f"{self.name} has no task run {name!r}. Its task runs: {known}")

    @property
    def logs(self) -> list[str]:
        """What it and its task runs have logged, the oldest first."""
        deliver_logs()
        mine = filters.LogFilter(flow_run_id=filters.Ids(any_=[self.id]))

        def page(offset: int) -> list[responses.Log]:
            query = queries.LogQuery(
                logs=mine, sort=queries.LogSort.TIMESTAMP_ASC, limit=_PAGE, offset=offset
            )
            return self._client.call(endpoints.filter_logs, query)

        return [line.message for line in _all(page)]

    @property
    def artifacts(self) -> list[responses.Artifact]:
        """The artifacts that it and its task runs have made, the oldest first."""
        mine = filters.ArtifactFilter(flow_run_id=filters.Ids(any_=[self.id]))

        def page(offset: int) -> list[responses.Artifact]:
            query = queries.ArtifactQuery(artifacts=mine, limit=_PAGE, offset=offset)
            return self._client.call(endpoints.filter_artifacts, query)

        return sorted(_all(page), key=lambda artifact: artifact.created)

    def wait(self, *states: str, seconds: float = WAIT_SECONDS) -> Run:
        """Wait until the run has ended, or is in a state of one of these names, and return it.

        ``seconds`` are real ones. Raises TimeoutError, which says where the run is and why.
        """

        def reached(run: responses.FlowRunResponse) -> bool:
            return run.state_name in states or (run.state_type is not None and run.state_type.is_final)

        run = answer(until(self.id, reached, seconds))
        if not reached(run):
            why = self._client.call(endpoints.explain_flow_run, id=self.id)
            said = " ".join([why.summary, *(cause.sentence for cause in why.causes)])
            raise TimeoutError(f"{run.name} is {run.state_name} after {seconds:g} s. {said}")
        if states and run.state_name not in states:
            raise ReeveError(f"{run.name} has ended as {state_of(run)}, and is not {' or '.join(states)}.")
        return self

    def resume(self, **run_input: Any) -> None:
        """Let a paused or suspended run go on, with what it waits for."""
        beside_any_loop(lambda: resume_flow_run(self.id, run_input or None))

    def cancel(self) -> None:
        """Ask for its end: at once if nobody executes it, else by whoever does."""
        self._client.call(endpoints.cancel_flow_run, id=self.id)

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.state}>"

    def _read(self) -> responses.FlowRunResponse:
        return self._client.call(endpoints.read_flow_run, id=self.id)


def found(client: Client, wanted: queries.FlowRunFilters) -> list[Run]:
    """Return runs, those that are due first first."""

    def page(offset: int) -> list[responses.FlowRunResponse]:
        query = queries.FlowRunQuery(
            flows=wanted.flows,
            flow_runs=wanted.flow_runs,
            sort=queries.FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=_PAGE,
            offset=offset,
        )
        return client.call(endpoints.filter_flow_runs, query)

    return [Run(client, run.id) for run in _all(page)]


def _all(page: Callable[[int], list[Any]]) -> Iterator[Any]:
    """Yield what is on all pages."""
    for number in count():
        found = page(number * _PAGE)
        yield from found
        if len(found) < _PAGE:
            return
