"""Runs of deployments, asked for and waited for by user code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import msgspec

from reeve.core.states import StateDetails, StateType
from reeve.errors import InvalidInputError, NotFoundError
from reeve.sdk import home
from reeve.sdk.asking import Question, ask, both
from reeve.sdk.context import Scope, current_scope
from reeve.sdk.following import state_of, until
from reeve.sdk.secret import revealed
from reeve.sdk.states import State
from reeve.wire import endpoints, requests, responses

_PENDING = requests.StateCreate(type=StateType.PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRun:
    """A run of a deployment, as it was when it was last looked at.

    Its state has no value: what its flow returned stays in its process.
    """

    id: UUID
    name: str
    deployment_id: UUID | None
    parameters: Mapping[str, Any]
    state: State[Any]


def _run_deployment(  # noqa: PLR0913  # as many things can be said of a run; all but two by name
    name: str | UUID,
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: datetime | None = None,
    timeout: float | None = None,
    flow_run_name: str | None = None,
    tags: Iterable[str] = (),
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
    as_subflow: bool = True,
    poll_interval: float | None = None,  # noqa: ARG001  # 2.20's; here the server says when there is news
) -> Question[DeploymentRun]:
    """Ask for a run of a deployment, wait for its end and return it.

    name
        ``FLOW/DEPLOYMENT``, or the deployment's id.
    parameters
        Instead of the deployment's own; JSON, or what has a form in it.
    scheduled_time
        When it is due; now by default.
    timeout
        For how many seconds it is waited for: without, until it has ended; 0 does not wait. A run that has
        not ended by then goes on, and is returned as it is.
    idempotency_key
        The same key again gives the same run. In a run there is one by default, of that run and of the
        place of the call in it: when the run is repeated, by a retry or after a crash, it finds what it had
        asked for. One that has ended badly by then is asked for anew.
    as_subflow
        In a flow: show it in its graph, and cancel it when the flow is cancelled.
    poll_interval
        Taken for the sake of programs of 2.20, and not needed.

    In plain Python the server of the settings is asked. Raises NotFoundError, ConflictError for parameters
    that do not fit the deployment.
    """
    deployment = yield from _deployment(name)
    scope = current_scope() if home.reporting() is not None else None
    call = _Call.of(scope, str(name)) if scope else None
    body = requests.DeploymentFlowRunCreate(
        state=_scheduled(scheduled_time),
        name=flow_run_name,
        parameters=_as_json(parameters or {}),
        tags=sorted(set(tags)),
        parent_task_run_id=(yield from call.parent()) if call and as_subflow else None,
        work_queue_name=work_queue_name,
        job_variables=dict(job_variables) if job_variables is not None else None,
    )
    if idempotency_key is not None or call is None:
        run = yield from _ask_for(deployment, body, idempotency_key or str(uuid4()))
    else:
        run = yield from _ask_once(deployment, body, call.key)
    if timeout != 0 and not _ended(run):
        run = yield from until(run.id, _ended, timeout)
    return DeploymentRun(
        id=run.id,
        name=run.name,
        deployment_id=run.deployment_id,
        parameters=run.parameters,
        state=state_of(run),
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """The place of a call in the run that makes it: the same in each repetition of that run."""

    scope: Scope
    deployment: str
    position: str

    @classmethod
    def of(cls, scope: Scope, deployment: str) -> _Call:
        run, started = scope.run, scope.around.started
        assert started is not None, "a run that a server hears of is in a flow"
        counted = started.position(f"deployment {deployment} {run.id} {run.tries}")
        inside_task = f"{run.id.hex}-" if scope.task_name is not None else ""
        return cls(scope, deployment, f"{inside_task}{counted}")

    @property
    def key(self) -> str:
        return f"{self.scope.around.flow_run_id} {self.deployment} {self.position}"

    def parent(self) -> Question[UUID]:
        """Make the task run that stands for the run in its parent's graph, or find it again."""
        body = requests.TaskRunCreate(
            name=f"{self.deployment}-{self.position}",
            task_key=f"deployment {self.deployment}",
            dynamic_key=self.position,
            flow_run_id=self.scope.around.flow_run_id,
            state=_PENDING,
        )
        return (yield from ask(endpoints.create_task_run, body)).id


def _ask_once(
    deployment: UUID, body: requests.DeploymentFlowRunCreate, key: str
) -> Question[responses.FlowRunResponse]:
    """Ask for the run of a place, or find it again; for another one where an earlier try's has failed."""
    for number in count():
        run = yield from _ask_for(deployment, body, f"{key} again {number}" if number else key)
        if not _ended(run) or run.state_type is StateType.COMPLETED:
            return run
    raise AssertionError  # count() has no end


def _ask_for(
    deployment: UUID, body: requests.DeploymentFlowRunCreate, key: str
) -> Question[responses.FlowRunResponse]:
    body = msgspec.structs.replace(body, idempotency_key=key)
    return ask(endpoints.create_run_of_deployment, body, id=deployment)


def _deployment(name: str | UUID) -> Question[UUID]:
    if isinstance(name, UUID):
        return name
    flow_name, _, deployment_name = name.partition("/")
    if not (flow_name and deployment_name):
        message = f"name must be FLOW/DEPLOYMENT or the deployment's id, got {name!r}"
        raise InvalidInputError(message, field="name")
    try:
        found = yield from ask(
            endpoints.read_deployment_by_name, flow_name=flow_name, deployment_name=deployment_name
        )
    except NotFoundError:
        message = f"There is no deployment {name!r}. See: reeve deployments ls"
        raise NotFoundError(message) from None
    return found.id


def _scheduled(due: datetime | None) -> requests.StateCreate | None:
    if due is None:
        return None
    details = StateDetails(scheduled_time=due.astimezone())
    return requests.StateCreate(type=StateType.SCHEDULED, state_details=details)


def _ended(run: responses.FlowRunResponse) -> bool:
    return run.state_type is not None and run.state_type.is_final


def _as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    try:
        values: dict[str, Any] = msgspec.to_builtins(dict(parameters), str_keys=True, enc_hook=revealed)
    except TypeError as error:
        raise InvalidInputError(f"parameters must be what JSON knows: {error}", field="parameters") from None
    return values


run_deployment, arun_deployment = both(_run_deployment)
