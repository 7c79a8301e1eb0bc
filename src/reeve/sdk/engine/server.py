"""A reporter that tells a server, with the token of the attempt this process belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import urandom
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, convert
from msgspec.structs import replace

from reeve.client.sync import Client
from reeve.core.rules.shared import is_persisted
from reeve.core.rules.verdict import SetStateStatus
from reeve.core.runs import FlowRunPolicy, TaskRunPolicy
from reeve.core.states import ProposedState, StateDetails, StateType
from reeve.errors import AttemptSupersededError, ReeveError
from reeve.sdk.engine.own_tasks import OwnTasks
from reeve.sdk.engine.reports import OpenTaskRun, Propose, Report
from reeve.sdk.engine.run import (
    Aborted,
    Accepted,
    Answer,
    FlowRunSpec,
    Kind,
    Opened,
    Rejected,
    TaskRunSpec,
    Wait,
)
from reeve.sdk.secret import shown
from reeve.sdk.states import RunStopped
from reeve.wire import codec, endpoints, requests, responses
from reeve.wire.endpoints.engine import set_flow_run_state, set_task_run_state
from reeve.wire.endpoints.table import Endpoint, Req, Res
from reeve.wire.requests.states import SetState, StateCreate

# Words of enums, looked up here once for all runs.
_TASK = Kind.TASK
_ACCEPT = SetStateStatus.ACCEPT
_PENDING = StateCreate(type=StateType.PENDING)


class Server:
    """Runs are opened and states proposed over HTTP.

    ``client`` must be patient: a run is not given up because its server is away, so that a network error
    never comes out of here. ``hasty`` is not: it is asked what can do without an answer. ``reporting`` is as
    patient as ``client``, and may have a shorter way for what the engine itself asks. What ``tell`` makes
    known of tasks need not be asked.
    """

    def __init__(self, client: Client, hasty: Client | None = None, reporting: Client | None = None) -> None:
        self._client = client
        self._hasty = hasty
        self._reporting = reporting
        self._teller: Client | None = None
        self._attempt_id: UUID | None = None
        self._own: OwnTasks | None = None

    @property
    def client(self) -> Client:
        """Calls of that server in the name of the attempt, for what user code asks of it."""
        return self._client

    def catch_up(self) -> None:
        """Wait until the server has heard what this process has done: what it is asked may be about that."""
        if self._own is not None:
            self._own.flush()

    @property
    def server(self) -> tuple[str, str | None]:
        """The address and the key with which other processes report as well."""
        return self._client.url, self._client.key

    def tell(self, client: Client, attempt_id: UUID, fresh: Sequence[UUID] = ()) -> None:
        """Judge the tasks of these flow runs here, and of those that are opened, where that can be done.

        ``client`` should give up after a few seconds: what it could not tell is told again.
        """
        self._teller, self._attempt_id = client, attempt_id
        self._own = OwnTasks(self._send, fresh)

    def _send(self, body: requests.TaskRunReports) -> responses.TaskRunReceipt:
        assert self._teller is not None, "there is one where there are tasks of its own"
        return self._teller.call(endpoints.report_task_runs, body, id=self._attempt_id)

    def finish(self, seconds: float) -> None:
        """Tell the rest, for at most ``seconds``."""
        if self._own is not None and self._own.begun is not None:
            self._own.begun.close(seconds)

    def blocks(self, report: Report) -> bool:
        """Whether the server has to be asked."""
        own = self._own
        match report:
            case OpenTaskRun(spec) if own is not None and own.takes(spec):
                return own.waits()
            case Propose(Kind.TASK, run_id, state) if own is not None and own.judges(run_id, state):
                return own.waits(state)
        return True

    def announce(self, run_id: UUID, version: str | None, policy: FlowRunPolicy, name: str | None) -> None:
        """Tell what a deployed flow's code says about its run.

        A deployment has no place for it (api-contract §5.2), so it costs a request, as with 2.20's engine;
        a flow without retries, version and a name for its run has nothing to tell.
        """
        if version is None and not policy.retries and name is None:
            return
        update = requests.FlowRunUpdate(flow_version=version, empirical_policy=policy, name=name or UNSET)
        self._call(endpoints.update_flow_run, update, id=run_id)

    def open_flow_run(self, spec: FlowRunSpec) -> Opened:
        """Make a subflow's run below a task run that stands for it in its parent (api-contract §12).

        Where that one has a result already, there is nothing to be made.
        """
        parent = self._create_task_run(
            TaskRunSpec(
                name=spec.flow_name,
                key=spec.key,
                position=spec.position,
                flow_run_id=spec.parent_id,
                policy=TaskRunPolicy(),
            )
        )
        if not spec.anew and (done := _with_result(parent)):
            return Opened(done.state_details.child_flow_run_id or parent.id, spec.flow_name, _state(done))
        flow = self._call(endpoints.create_flow, requests.FlowCreate(name=spec.flow_name))
        run = self._call(
            endpoints.create_flow_run,
            requests.FlowRunCreate(
                flow_id=flow.id,
                name=spec.run_name,
                state=_PENDING,
                flow_version=spec.version,
                parameters=_as_json(spec.parameters),
                parent_task_run_id=parent.id,
                empirical_policy=spec.policy,
                idempotency_key=str(uuid4()),  # for the repetitions of this one request
            ),
        )
        if self._own is not None:
            self._own.flow_run_opened(run.id)
        return Opened(run.id, run.name)

    def open_task_run(self, spec: TaskRunSpec) -> Opened:
        """Make a task run, or find the one that an earlier try of the flow run made for the same call."""
        if self._own is not None and self._own.takes(spec):
            return self._own.open(spec)
        run = self._create_task_run(spec)
        return Opened(run.id, run.name)

    def _create_task_run(self, spec: TaskRunSpec) -> responses.TaskRun:
        return self._call(
            endpoints.create_task_run,
            requests.TaskRunCreate(
                name=spec.run_name or f"{spec.name}-{spec.position}",
                task_key=spec.key,
                dynamic_key=spec.position,
                flow_run_id=spec.flow_run_id,
                state=_PENDING,
                empirical_policy=spec.policy,
                tags=list(spec.tags),
                task_inputs={
                    name: [{"input_type": "task_run", "id": str(id_)} for id_ in ids]
                    for name, ids in spec.inputs.items()
                },
            ),
        )

    def propose(self, kind: Kind, run_id: UUID, state: ProposedState, *, force: bool = False) -> Answer:
        """Judge a state of a task if that can be done here; else ask the server, which has heard the rest."""
        own = self._own
        if own is None:
            return self._ask(kind, run_id, state, force=force)
        if kind is _TASK:
            return self._propose_of_task(own, run_id, state, force=force)
        if own.begun is not None:
            own.begun.flush()
        answer = self._ask(kind, run_id, state, force=force)
        if isinstance(answer, Accepted):
            own.flow_run_entered(run_id, answer.state)
        return answer

    def _propose_of_task(self, own: OwnTasks, run_id: UUID, state: ProposedState, *, force: bool) -> Answer:
        if own.judges(run_id, state) and not force:
            return own.propose(run_id, state)
        own.hand_over(run_id)
        answer = self._ask(_TASK, run_id, state, force=force)
        if isinstance(answer, Accepted) and answer.state.type is StateType.RUNNING:
            own.goes_on()
        return answer

    def _ask(self, kind: Kind, run_id: UUID, state: ProposedState, *, force: bool) -> Answer:
        """Ask the server for a state. The transition id makes the request safe to repeat."""
        transition = _fresh_id()
        body = SetState(
            state=StateCreate(
                type=state.type,
                name=state.name,
                message=state.message,
                data=state.data,
                state_details=replace(state.details, transition_id=transition),
            ),
            force=force,
        )
        endpoint = set_task_run_state if kind is _TASK else set_flow_run_state
        return read_answer(self._call(endpoint, body, id=run_id), transition, state)

    def look(self, flow_run_id: UUID) -> StateType | None:
        """Return the kind of state a flow run is in; None if the server does not say so at once."""
        if self._hasty is None:
            return None
        try:
            return self._hasty.call(endpoints.read_flow_run, id=flow_run_id).state_type
        except ReeveError:
            return None

    def _call(self, endpoint: Endpoint[Req, Res], body: Req, **path: Any) -> Res:
        try:
            return (self._reporting or self._client).call(endpoint, body, **path)
        except AttemptSupersededError as error:
            raise RunStopped(str(error)) from error


def _fresh_id() -> UUID:
    """Return an id as uuid4() makes it; but in C, which costs a run six pages less."""
    chance = urandom(16).hex()
    return convert(f"{chance[:12]}4{chance[13:16]}a{chance[17:]}", UUID)


def read_answer(result: responses.OrchestrationResult, transition: UUID, proposed: ProposedState) -> Answer:
    """Say what the server's verdict means for the engine (api-contract §8.1).

    The answer to a repeated request is a REJECT with the state that the first one made: if that is the
    proposed one, it was accepted.
    """
    if result.status == _ACCEPT:
        return Accepted(proposed if result.state is None else _state(result.state))
    reason = result.details.get("reason")
    if result.status == SetStateStatus.WAIT:
        return Wait(result.details["delay_seconds"], reason)
    if result.status == SetStateStatus.ABORT:
        return Aborted(reason)
    assert result.state is not None, "only a run without any state is answered without one"
    current = _state(result.state)
    if current.type is proposed.type and current.details.transition_id == transition:
        return Accepted(current)
    return Rejected(current, _delay(result.state), reason)


def _with_result(run: responses.TaskRun) -> responses.State | None:
    state = run.state
    if state is None or state.type is not StateType.COMPLETED or not is_persisted(state.data):
        return None
    return state


def _state(state: responses.State) -> ProposedState:
    due = state.state_details.scheduled_time
    return ProposedState(
        type=state.type,
        name=state.name,
        message=state.message,
        data=state.data,
        details=StateDetails(
            flow_run_id=state.state_details.flow_run_id,
            task_run_id=state.state_details.task_run_id,
            scheduled_time=codec.parse(due) if due else None,
            transition_id=state.state_details.transition_id,
        ),
    )


def _as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON knows them; what it has no words for by its ``repr``, a secret as stars."""
    values: dict[str, Any] = msgspec.to_builtins(dict(parameters), enc_hook=shown, str_keys=True)
    return values


def _delay(state: responses.State) -> float:
    """Return how long the state waits, by the server's clock alone: this machine's may be another."""
    due = state.state_details.scheduled_time
    if due is None:
        return 0
    return max((codec.parse(due) - codec.parse(state.timestamp)).total_seconds(), 0)
