"""What every service is given: the store, the hub, and the figures and secrets of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from reeve.core.attempts import LeaseTerms
from reeve.server.services.hub import Hub
from reeve.server.services.lookout import Lookout
from reeve.server.services.presence import Presence
from reeve.server.services.secrets import Keyring
from reeve.server.storage.store import Store


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: an operator, or the attempt whose token was shown."""

    attempt_id: UUID | None = None

    @property
    def is_operator(self) -> bool:
        """Whether the caller holds a key of the home, or the door is open."""
        return self.attempt_id is None


@dataclass(frozen=True, slots=True)
class Context:
    """The server as its services see it."""

    store: Store
    hub: Hub
    secret: bytes  # of the attempt tokens; the same for all servers of a database
    keyring: Keyring  # of what blocks hold; the same too, and not in the database
    terms: LeaseTerms = field(default_factory=LeaseTerms)
    presence: Presence = field(default_factory=Presence)
    lookout: Lookout = field(default_factory=Lookout)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    allow_reset: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)  # to be shown, by 2.20's names
