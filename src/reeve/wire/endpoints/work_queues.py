"""Operations on work queues."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import Door, Endpoint, filtering

create_pool_queue: Endpoint[requests.WorkQueueCreate, responses.WorkQueueResponse] = Endpoint(
    "create_pool_queue",
    "POST",
    "/work_pools/{work_pool_name}/queues",
    requests.WorkQueueCreate,
    responses.WorkQueueResponse,
    201,
)
read_pool_queue: Endpoint[None, responses.WorkQueueResponse] = Endpoint(
    "read_pool_queue", "GET", "/work_pools/{work_pool_name}/queues/{name}", None, responses.WorkQueueResponse
)
update_pool_queue: Endpoint[requests.WorkQueueUpdate, None] = Endpoint(
    "update_pool_queue",
    "PATCH",
    "/work_pools/{work_pool_name}/queues/{name}",
    requests.WorkQueueUpdate,
    None,
    204,
)
filter_pool_queues = filtering(
    "filter_pool_queues",
    "/work_pools/{work_pool_name}/queues/filter",
    queries.WorkQueueQuery,
    responses.WorkQueueResponse,
    Door.OPERATOR,
)
create_work_queue: Endpoint[requests.WorkQueueCreate, responses.WorkQueueResponse] = Endpoint(
    "create_work_queue", "POST", "/work_queues/", requests.WorkQueueCreate, responses.WorkQueueResponse, 201
)
read_work_queue: Endpoint[None, responses.WorkQueueResponse] = Endpoint(
    "read_work_queue", "GET", "/work_queues/{id}", None, responses.WorkQueueResponse
)
read_work_queue_by_name: Endpoint[None, responses.WorkQueueResponse] = Endpoint(
    "read_work_queue_by_name", "GET", "/work_queues/name/{name}", None, responses.WorkQueueResponse
)
update_work_queue: Endpoint[requests.WorkQueueUpdate, None] = Endpoint(
    "update_work_queue", "PATCH", "/work_queues/{id}", requests.WorkQueueUpdate, None, 204
)
filter_work_queues = filtering(
    "filter_work_queues",
    "/work_queues/filter",
    queries.WorkQueueQuery,
    responses.WorkQueueResponse,
    Door.OPERATOR,
)
queue_runs: Endpoint[requests.QueueRuns, list[responses.FlowRunResponse]] = Endpoint(
    "queue_runs",
    "POST",
    "/work_queues/{id}/get_runs",
    requests.QueueRuns,
    list[responses.FlowRunResponse],
    body_optional=True,
)
delete_pool_queue: Endpoint[None, None] = Endpoint(
    "delete_pool_queue", "DELETE", "/work_pools/{work_pool_name}/queues/{name}", None, None, 204
)
delete_work_queue: Endpoint[None, None] = Endpoint(
    "delete_work_queue", "DELETE", "/work_queues/{id}", None, None, 204
)
work_queue_status: Endpoint[None, responses.WorkQueueStatusDetail] = Endpoint(
    "work_queue_status", "GET", "/work_queues/{id}/status", None, responses.WorkQueueStatusDetail
)
