"""The routes, by noun: decode, one service call, encode."""

from reeve.server.http.request import Route
from reeve.server.http.routes import (
    agents,
    artifacts,
    attempts,
    blocks,
    deployments,
    events,
    flow_runs,
    flows,
    inputs,
    limits,
    logs,
    notification_policies,
    saved_searches,
    service,
    tag_limits,
    task_runs,
    ui,
    variables,
    work_pools,
    work_queues,
    worker_types,
)

ROUTES: tuple[Route, ...] = tuple(
    value
    for noun in (
        agents,
        artifacts,
        attempts,
        blocks,
        deployments,
        events,
        flow_runs,
        flows,
        inputs,
        limits,
        logs,
        notification_policies,
        saved_searches,
        service,
        tag_limits,
        task_runs,
        ui,
        variables,
        work_pools,
        work_queues,
        worker_types,
    )
    for value in vars(noun).values()
    if isinstance(value, Route)
)
