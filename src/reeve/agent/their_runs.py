"""Runs of a 2.20 server: taken, given back and ended by the states that are proposed for them.

That server knows no attempts. What tells an agent that a Pending run is its own is the transition id of that
state, made from the agent's id; what tells it that a run's process is its own is the pid written there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

from msgspec.structs import replace

from reeve.client.aio import AsyncClient
from reeve.core.runs import RetryType
from reeve.core.states import StateDetails, StateType
from reeve.wire import endpoints
from reeve.wire.filters import (
    AnyText,
    FlowRunFilter,
    NullableText,
    Operator,
    QueueName,
    RunIds,
    StateCriterion,
    StateNames,
    StateTypes,
    WorkPoolFilter,
    WorkQueueFilter,
)
from reeve.wire.queries import FlowRunQuery
from reeve.wire.requests import Exited, FlowRunUpdate, LogCreate, Note, NotLaunched, SetState, StateCreate
from reeve.wire.responses import FlowRunResponse, State

CANCELLING = "Cancelling"  # its type is CANCELLED where an older client asked for it (A90)
LAUNCH_TRIES = 3  # as a reeve server's: claims of a run that may end without a launch
_PAGE = 200  # flow runs in one answer, at the most
_LOGGER = "reeve.agent"

log = logging.getLogger("reeve.agent")


class Runs:
    """What one agent does to the runs of one server."""

    def __init__(self, client: AsyncClient, agent_id: UUID) -> None:
        self._client = client
        self._agent_id = agent_id
        self._returned: dict[UUID, int] = {}

    async def take(self, run_id: UUID) -> bool:
        """Propose Pending; say whether the run is this agent's now (A71-A74).

        Asked again after a lost answer, the server says that the transition was made: by us.
        """
        state = StateCreate(
            type=StateType.PENDING, state_details=StateDetails(transition_id=self._mark(run_id))
        )
        verdict = await self._client.call(endpoints.set_flow_run_state, SetState(state=state), id=run_id)
        if self._is_ours(run_id, verdict.state):
            return True
        if verdict.status == "ABORT":
            reason = f"Server sent an abort signal: {verdict.details.get('reason')}"
        else:
            reason = f"Server returned a non-pending state '{verdict.state.type if verdict.state else None}'"
        log.info("Aborted submission of flow run '%s': %s", run_id, reason)
        return False

    async def taken(self, pool: str) -> list[UUID]:
        """Return Pending runs, of a pool or of none, that this agent has taken: an earlier life may have."""
        pending = StateCriterion(type=StateTypes(any_=[StateType.PENDING]))
        of_pool = FlowRunQuery(
            flow_runs=FlowRunFilter(state=pending), work_pools=WorkPoolFilter(name=AnyText(any_=[pool]))
        )
        without = FlowRunQuery(
            flow_runs=FlowRunFilter(state=pending, work_queue_name=NullableText(is_null_=True))
        )
        found = [
            *await self._client.call(endpoints.filter_flow_runs, of_pool),
            *await self._client.call(endpoints.filter_flow_runs, without),
        ]
        return [run.id for run in found if self._is_ours(run.id, run.state)]

    async def cancelling(self, run_ids: list[UUID]) -> set[UUID]:
        """Return those runs that are to be cancelled, by both names of that (A90)."""
        types = StateCriterion(type=StateTypes(any_=[StateType.CANCELLING, StateType.CANCELLED]))
        found: set[UUID] = set()
        for start in range(0, len(run_ids), _PAGE):
            ids = RunIds(any_=run_ids[start : start + _PAGE])
            query = FlowRunQuery(flow_runs=FlowRunFilter(id=ids, state=types))
            for run in await self._client.call(endpoints.filter_flow_runs, query):
                if _is_cancelling(run):
                    found.add(run.id)
        return found

    async def cancelling_of(
        self, pool: str, queues: list[str] | None, besides: list[UUID]
    ) -> list[FlowRunResponse]:
        """Return the runs of a pool, or of queues of it, that are to be cancelled, besides those (A91)."""
        by_either_name = StateCriterion(
            operator=Operator.OR,
            type=StateTypes(any_=[StateType.CANCELLING]),
            name=StateNames(any_=[CANCELLING]),
        )
        query = FlowRunQuery(
            flow_runs=FlowRunFilter(id=RunIds(not_any_=besides), state=by_either_name),
            work_pools=WorkPoolFilter(name=AnyText(any_=[pool])),
            work_pool_queues=None if queues is None else WorkQueueFilter(name=QueueName(any_=queues)),
        )
        found = await self._client.call(endpoints.filter_flow_runs, query)
        return [run for run in found if _is_cancelling(run)]

    async def cancelled(self, run_id: UUID, message: str | None = None) -> None:
        """Mark a run Cancelled, if it still is to be."""
        run = await self._read(run_id)
        if _is_cancelling(run):
            await self._cancelled(run, message)

    async def launched(self, run_id: UUID, pid: str) -> None:
        """Write where a run's process is (A101)."""
        await self._client.call(endpoints.update_flow_run, FlowRunUpdate(infrastructure_pid=pid), id=run_id)

    async def not_launched(self, run_id: UUID, report: NotLaunched) -> None:
        """Say that a run came to nothing: cancelled, failed for good, or waiting again for any agent."""
        run = await self._read(run_id)
        if _is_cancelling(run):
            await self._cancelled(run)
        elif not self._is_ours(run_id, run.state):
            return  # it was given back before, or somebody else has decided
        elif report.permanent:
            await self._propose(run_id, StateType.FAILED, f"Submission failed. {report.reason}")  # A76
        elif self._returned.get(run_id, 0) + 1 >= LAUNCH_TRIES:
            message = f"Flow run could not be submitted to infrastructure: {report.reason}"  # A102
            await self._propose(run_id, StateType.CRASHED, message)
        else:
            self._returned[run_id] = self._returned.get(run_id, 0) + 1
            await self._propose(run_id, StateType.SCHEDULED, f"Given back: {report.reason}")

    async def exited(self, run_id: UUID, pid: str | None, report: Exited) -> None:
        """Say how a run's process ended, where the run itself has not (A105, W23, W28)."""
        self._returned.pop(run_id, None)
        run = await self._read(run_id)
        if pid is not None and run.infrastructure_pid not in {None, pid}:
            return  # the run has another process by now
        if _is_cancelling(run):
            await self._cancelled(run)
        elif run.state_type in {StateType.PENDING, StateType.RUNNING}:
            await self._crashed(run_id, report)
        elif (
            run.state_type is StateType.SCHEDULED and run.empirical_policy.retry_type is RetryType.IN_PROCESS
        ):
            # Nobody would ever try again: the process that waited for that is gone.
            policy = replace(run.empirical_policy, retry_type=RetryType.RESCHEDULE)
            await self._client.call(
                endpoints.update_flow_run, FlowRunUpdate(empirical_policy=policy), id=run_id
            )

    async def say(self, run_id: UUID, level: int, message: str) -> None:
        """Write a line to a run's log."""
        await self.say_all(run_id, [Note(level=level, message=message, at=datetime.now(UTC))])

    async def say_all(self, run_id: UUID, notes: Sequence[Note]) -> None:
        """Write lines to a run's log (W43)."""
        lines = [
            LogCreate(
                name=_LOGGER, level=one.level, message=one.message, timestamp=one.at, flow_run_id=run_id
            )
            for one in notes
        ]
        if lines:
            await self._client.call(endpoints.create_logs, lines)

    # --- states

    async def _crashed(self, run_id: UUID, report: Exited) -> None:
        cause = report.cause
        if report.exit_code == 0:
            cause = f"Its process ended without a final state ({cause})."
        if report.output_tail:
            await self.say(run_id, logging.ERROR, f"{cause} Its last output:\n{report.output_tail}")
        await self._propose(run_id, StateType.CRASHED, cause)
        log.info("Reported flow run '%s' as crashed: %s", run_id, cause)

    async def _cancelled(self, run: FlowRunResponse, message: str | None = None) -> None:
        """Mark a run Cancelled, now that nothing of it is left; without a message its own stays (A99)."""
        message = message or (run.state.message if run.state else None)
        state = _state(StateType.CANCELLED, message)
        await self._client.call(endpoints.set_flow_run_state, SetState(state=state, force=True), id=run.id)

    async def _propose(self, run_id: UUID, type_: StateType, message: str) -> None:
        body = SetState(state=_state(type_, message))
        await self._client.call(endpoints.set_flow_run_state, body, id=run_id)

    async def _read(self, run_id: UUID) -> FlowRunResponse:
        return await self._client.call(endpoints.read_flow_run, id=run_id)

    def _mark(self, run_id: UUID) -> UUID:
        return uuid5(self._agent_id, str(run_id))

    def _is_ours(self, run_id: UUID, state: State | None) -> bool:
        return (
            state is not None
            and state.type is StateType.PENDING
            and state.state_details.transition_id == self._mark(run_id)
        )


def _is_cancelling(run: FlowRunResponse) -> bool:
    return run.state_type is StateType.CANCELLING or (
        run.state_type is StateType.CANCELLED and run.state_name == CANCELLING
    )


def _state(type_: StateType, message: str | None) -> StateCreate:
    """Return a state to propose; 2.20 takes details of nothing, and not none."""
    return StateCreate(type=type_, message=message, state_details=StateDetails())
