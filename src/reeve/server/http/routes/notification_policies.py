"""Notification policies."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import find, notification_policies
from reeve.wire import endpoints, queries, requests, responses


@serves(endpoints.create_notification_policy)
async def create_notification_policy(
    request: Request[requests.NotificationPolicyCreate],
) -> responses.NotificationPolicy:
    return await notification_policies.create(request.context, request.body)


@serves(endpoints.read_notification_policy)
async def read_notification_policy(request: Request[None]) -> responses.NotificationPolicy:
    return await notification_policies.read(request.context, request.path["id"])


@serves(endpoints.update_notification_policy)
async def update_notification_policy(request: Request[requests.NotificationPolicyUpdate]) -> None:
    await notification_policies.update(request.context, request.path["id"], request.body)


@serves(endpoints.delete_notification_policy)
async def delete_notification_policy(request: Request[None]) -> None:
    await notification_policies.delete(request.context, request.path["id"])


@serves(endpoints.filter_notification_policies)
async def filter_notification_policies(
    request: Request[queries.NotificationPolicyQuery],
) -> list[responses.NotificationPolicy]:
    query = request.body
    return await find.notification_policies(request.context, query, *page(query.limit, query.offset))
