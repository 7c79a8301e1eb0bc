"""Operations on work pools."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import Door, Endpoint, filtering

create_work_pool: Endpoint[requests.WorkPoolCreate, responses.WorkPool] = Endpoint(
    "create_work_pool", "POST", "/work_pools/", requests.WorkPoolCreate, responses.WorkPool, 201
)
read_work_pool: Endpoint[None, responses.WorkPool] = Endpoint(
    "read_work_pool", "GET", "/work_pools/{name}", None, responses.WorkPool
)
update_work_pool: Endpoint[requests.WorkPoolUpdate, None] = Endpoint(
    "update_work_pool", "PATCH", "/work_pools/{name}", requests.WorkPoolUpdate, None, 204
)
filter_work_pools = filtering(
    "filter_work_pools", "/work_pools/filter", queries.WorkPoolQuery, responses.WorkPool, Door.OPERATOR
)
pool_runs: Endpoint[requests.PoolRuns, list[responses.WorkerFlowRunResponse]] = Endpoint(
    "pool_runs",
    "POST",
    "/work_pools/{name}/get_scheduled_flow_runs",
    requests.PoolRuns,
    list[responses.WorkerFlowRunResponse],
    body_optional=True,
)
worker_heartbeat: Endpoint[requests.WorkerHeartbeat, None] = Endpoint(
    "worker_heartbeat",
    "POST",
    "/work_pools/{work_pool_name}/workers/heartbeat",
    requests.WorkerHeartbeat,
    None,
    204,
)
set_pool_options: Endpoint[requests.PoolOptions, responses.PoolOptions] = Endpoint(
    "set_pool_options",
    "PUT",
    "/work_pools/{name}/options",
    requests.PoolOptions,
    responses.PoolOptions,
    dialect=False,
)
delete_work_pool: Endpoint[None, None] = Endpoint(
    "delete_work_pool", "DELETE", "/work_pools/{name}", None, None, 204
)
count_work_pools: Endpoint[queries.WorkPoolFilters, int] = Endpoint(
    "count_work_pools", "POST", "/work_pools/count", queries.WorkPoolFilters, int, body_optional=True
)
filter_workers = filtering(
    "filter_workers",
    "/work_pools/{work_pool_name}/workers/filter",
    queries.WorkerQuery,
    responses.Worker,
    Door.OPERATOR,
)
delete_worker: Endpoint[None, None] = Endpoint(
    "delete_worker", "DELETE", "/work_pools/{work_pool_name}/workers/{name}", None, None, 204
)
