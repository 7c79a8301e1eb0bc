"""Operations on notification policies."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import Door, Endpoint, filtering

ONE = "/flow_run_notification_policies/{id}"

create_notification_policy: Endpoint[requests.NotificationPolicyCreate, responses.NotificationPolicy] = (
    Endpoint(
        "create_notification_policy",
        "POST",
        "/flow_run_notification_policies/",
        requests.NotificationPolicyCreate,
        responses.NotificationPolicy,
        201,
    )
)
read_notification_policy: Endpoint[None, responses.NotificationPolicy] = Endpoint(
    "read_notification_policy", "GET", ONE, None, responses.NotificationPolicy
)
update_notification_policy: Endpoint[requests.NotificationPolicyUpdate, None] = Endpoint(
    "update_notification_policy", "PATCH", ONE, requests.NotificationPolicyUpdate, None, 204
)
delete_notification_policy: Endpoint[None, None] = Endpoint(
    "delete_notification_policy", "DELETE", ONE, None, None, 204
)
filter_notification_policies = filtering(
    "filter_notification_policies",
    "/flow_run_notification_policies/filter",
    queries.NotificationPolicyQuery,
    responses.NotificationPolicy,
    Door.OPERATOR,
)
