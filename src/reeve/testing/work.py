"""The runs of deployments in a house: executed here when they are due, which is up to its clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from reeve.client.sync import Client
from reeve.core.states import StateType
from reeve.testing.clock import Clock
from reeve.testing.executing import Executor
from reeve.testing.runs import Run
from reeve.testing.server import Server
from reeve.wire import codec, endpoints, filters, queries, responses

_WAITING = filters.StateCriterion(type=filters.StateTypes(any_=[StateType.SCHEDULED]))
_A_LITTLE = timedelta(microseconds=1)


class Work:
    """What is to be done for the deployments of a house."""

    def __init__(self, server: Server, client: Client, clock: Clock, executor: Executor) -> None:
        self._server = server
        self._client = client
        self._clock = clock
        self._executor = executor

    def do(self, *, until: UUID | None = None) -> list[Run]:
        """Execute all runs that are due, or those up to one of them; return them."""
        done: list[Run] = []
        with self._executor.at_work():
            while (run := self._next()) is not None:
                done.append(run)
                if run.id == until:
                    break
        return done

    def do_one(self, deployment_id: UUID | None = None) -> Run | None:
        """Execute the run that is due next, whenever that is; None if there is none that may be claimed.

        Of a deployment: all that is due until then has its turn as well.
        """
        for due, run_id in self._coming(deployment_id):
            self._clock.reach(due)
            if deployment_id is None:
                with self._executor.at_work():
                    run = self._next()
            else:
                run = next((run for run in self.do(until=run_id) if run.id == run_id), None)
            if run is not None:
                return run
        return None

    def do_through(self, length: timedelta) -> list[Run]:
        """Execute all that is due in the time to come, each run at its date."""
        asked_at = self._clock.now()
        end = asked_at + length
        done = self.do()
        while coming := self._coming(after=asked_at, before=end):
            due, _ = coming[0]
            self._clock.reach(due)
            asked_at = self._clock.now()  # what falls due from now on has its turn in the next round
            done += self.do()
        self._clock.reach(end)
        return done

    def _next(self) -> Run | None:
        """Execute the run that is first in line."""
        executed = self._executor.execute_next()
        if executed is None:  # the end of the last one may have let go of another
            self._server.do_duties()
            executed = self._executor.execute_next()
        if executed is None:
            return None
        run_id, state = executed
        return Run(self._client, run_id, state if state is not None and state.is_final else None)

    def _coming(
        self,
        deployment_id: UUID | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> list[tuple[datetime, UUID]]:
        """Return when the runs of deployments that wait are due, and their ids.

        ``after`` is not included, ``before`` is.
        """
        since = after + _A_LITTLE if after else None
        query = queries.FlowRunQuery(
            flow_runs=filters.FlowRunFilter(
                state=_WAITING,
                deployment_id=filters.NullableIds(
                    any_=[deployment_id] if deployment_id else None, is_null_=None if deployment_id else False
                ),
                next_scheduled_start_time=filters.Instants(after_=since, before_=before),
            ),
            sort=queries.FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
            limit=queries.MAX_LIMIT,
        )
        return [(_due_of(run), run.id) for run in self._client.call(endpoints.filter_flow_runs, query)]


def _due_of(run: responses.FlowRunResponse) -> datetime:
    assert run.next_scheduled_start_time is not None, "it was asked for by that"
    return codec.parse(run.next_scheduled_start_time)
