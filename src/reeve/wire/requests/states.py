"""Requests about states."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from reeve.core.states import StateDetails, StateType


class StateCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A proposed state; ``id`` and ``timestamp`` are accepted and dropped (api-contract §2, set_state)."""

    type: StateType
    name: str | None = None
    message: str | None = None
    data: Any = None
    state_details: StateDetails | None = None
    timestamp: datetime | None = None
    id: UUID | None = None


class SetState(Struct, kw_only=True):
    """Body of ``set_state``."""

    state: StateCreate
    force: bool = False
