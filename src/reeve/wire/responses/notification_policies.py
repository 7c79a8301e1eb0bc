"""Answers about notification policies."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from reeve.wire.codec import Timestamp


class NotificationPolicy(Struct, kw_only=True):
    """``FlowRunNotificationPolicy``."""

    id: UUID
    created: Timestamp
    updated: Timestamp
    is_active: bool
    state_names: list[str]
    tags: list[str]
    block_document_id: UUID
    message_template: str | None = None
