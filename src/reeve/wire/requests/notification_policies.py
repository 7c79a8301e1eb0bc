"""Requests about notification policies."""

from __future__ import annotations

from uuid import UUID

from msgspec import UNSET, Struct, UnsetType


class NotificationPolicyCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``FlowRunNotificationPolicyCreate``: body of ``POST /flow_run_notification_policies/``."""

    is_active: bool = True
    state_names: list[str]
    tags: list[str]
    block_document_id: UUID
    message_template: str | None = None


class NotificationPolicyUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``FlowRunNotificationPolicyUpdate``: body of ``PATCH /flow_run_notification_policies/{id}``."""

    is_active: bool | None | UnsetType = UNSET
    state_names: list[str] | None | UnsetType = UNSET
    tags: list[str] | None | UnsetType = UNSET
    block_document_id: UUID | None | UnsetType = UNSET
    message_template: str | None | UnsetType = UNSET
