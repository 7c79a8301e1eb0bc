"""Operations on limits on the tags of task runs."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import Door, Endpoint, filtering

# Always 200, also for a new one (api-contract §3).
create_tag_limit: Endpoint[requests.TagLimitCreate, responses.TagLimit] = Endpoint(
    "create_tag_limit", "POST", "/concurrency_limits/", requests.TagLimitCreate, responses.TagLimit
)
read_tag_limit: Endpoint[None, responses.TagLimit] = Endpoint(
    "read_tag_limit", "GET", "/concurrency_limits/{id}", None, responses.TagLimit
)
read_tag_limit_by_tag: Endpoint[None, responses.TagLimit] = Endpoint(
    "read_tag_limit_by_tag", "GET", "/concurrency_limits/tag/{tag}", None, responses.TagLimit
)
reset_tag_limit: Endpoint[requests.TagLimitReset, None] = Endpoint(
    "reset_tag_limit",
    "POST",
    "/concurrency_limits/tag/{tag}/reset",
    requests.TagLimitReset,
    None,
    body_optional=True,
)
delete_tag_limit: Endpoint[None, None] = Endpoint(
    "delete_tag_limit", "DELETE", "/concurrency_limits/{id}", None, None
)
delete_tag_limit_by_tag: Endpoint[None, None] = Endpoint(
    "delete_tag_limit_by_tag", "DELETE", "/concurrency_limits/tag/{tag}", None, None
)
filter_tag_limits = filtering(
    "filter_tag_limits", "/concurrency_limits/filter", queries.Page, responses.TagLimit, Door.OPERATOR
)
