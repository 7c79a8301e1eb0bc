"""What a user means by a name: the run, the deployment, the pool, or a sentence that helps to name it."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import NoReturn
from uuid import UUID

from reeve.client.sync import Client
from reeve.core.agents import AgentStatus
from reeve.errors import InvalidInputError, NotFoundError
from reeve.wire import endpoints, filters, queries
from reeve.wire.responses import Agent, DeploymentResponse, FlowRunResponse

SHORTEST_PREFIX = 4


def run(client: Client, text: str) -> FlowRunResponse:
    """Return the run with this id, or the one recent or coming run whose id begins so.

    InvalidInputError for what cannot be an id or fits several runs, NotFoundError if it fits none.
    """
    if (id_ := _uuid(text)) is not None:
        try:
            return client.call(endpoints.read_flow_run, id=id_)
        except NotFoundError:
            raise NotFoundError(f"There is no run {text}. See: reeve runs ls") from None
    if len(text) < SHORTEST_PREFIX or set(text.lower()) - set("0123456789abcdef-"):
        message = f"{text!r} is no run's id, nor {SHORTEST_PREFIX} or more of its first characters"
        raise InvalidInputError(f"{message}. See: reeve runs ls", field="id")
    fits = {run.id: run for run in _near_now(client) if str(run.id).startswith(text.lower())}
    if not fits:
        raise NotFoundError(f"No recent run's id begins with {text!r}. See: reeve runs ls")
    if len(fits) > 1:
        names = ", ".join(f"{run.id} ({run.name})" for run in list(fits.values())[:5])
        raise InvalidInputError(f"{len(fits)} runs begin with {text!r}: {names}", field="id")
    return next(iter(fits.values()))


def agent(client: Client, name: str) -> Agent:
    """Return the agent of a name, or with this id; of several the one that is there, or was last.

    NotFoundError names those there are.
    """
    known = client.call(endpoints.list_agents)
    fits = [one for one in known if name in {one.name, str(one.id)}]
    if not fits:
        names = ", ".join(sorted({one.name for one in known})) or "none yet"
        raise NotFoundError(f"There is no agent {name!r}. There are: {names}. See: reeve agent ls")
    return max(fits, key=lambda one: (one.status is AgentStatus.ONLINE, one.last_seen))


def deployment(client: Client, text: str) -> DeploymentResponse:
    """Return the deployment called FLOW/DEPLOYMENT, or with this id.

    NotFoundError names the nearest there are.
    """
    id_ = _uuid(text)
    flow_name, slash, name = text.partition("/")
    if id_ is None and not (flow_name and slash and name):
        message = f"{text!r} is no deployment: name it as FLOW/DEPLOYMENT. See: reeve deployments ls"
        raise InvalidInputError(message, field="deployment")
    try:
        if id_ is not None:
            return client.call(endpoints.read_deployment, id=id_)
        return client.call(endpoints.read_deployment_by_name, flow_name=flow_name, deployment_name=name)
    except NotFoundError:
        _no_deployment(client, text)


def deployment_names(client: Client, deployments: list[DeploymentResponse]) -> dict[UUID, str]:
    """Return how users call each deployment: FLOW/DEPLOYMENT, by its id."""
    flows = flow_names(client, {deployment.flow_id for deployment in deployments})
    return {each.id: f"{flows.get(each.flow_id, each.flow_id)}/{each.name}" for each in deployments}


def flow_names(client: Client, ids: set[UUID]) -> dict[UUID, str]:
    """Return the names of flows, by their ids."""
    if not ids:
        return {}
    wanted = queries.FlowQuery(flows=filters.FlowFilter(id=filters.Ids(any_=sorted(ids))))
    return {flow.id: flow.name for flow in client.call(endpoints.filter_flows, wanted)}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) > 31 else None
    except ValueError:
        return None


def _near_now(client: Client) -> list[FlowRunResponse]:
    """Return the last 200 runs that were due, and the next 200."""
    now = datetime.now(UTC)
    past = queries.FlowRunQuery(
        sort=queries.FlowRunSort.EXPECTED_START_TIME_DESC,
        flow_runs=filters.FlowRunFilter(expected_start_time=filters.Instants(before_=now)),
    )
    coming = queries.FlowRunQuery(
        sort=queries.FlowRunSort.EXPECTED_START_TIME_ASC,
        flow_runs=filters.FlowRunFilter(expected_start_time=filters.Instants(after_=now)),
    )
    ask = endpoints.filter_flow_runs
    return [*client.call(ask, past), *client.call(ask, coming)]


def _no_deployment(client: Client, text: str) -> NoReturn:
    names = deployment_names(client, client.call(endpoints.filter_deployments)).values()
    near = get_close_matches(text, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See: reeve deployments ls"
    raise NotFoundError(f"There is no deployment {text!r}. {hint}")
