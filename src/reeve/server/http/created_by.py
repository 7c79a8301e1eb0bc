"""Who made an object, as far as the client's headers say (api-contract §1)."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from uuid import UUID

from reeve.core.runs import CreatedBy
from reeve.server.http.body import SUBSTITUTE

AUTOMATION = "AUTOMATION"


def created_by(headers: Mapping[bytes, bytes]) -> CreatedBy | None:
    """Return the automation that made the request; None if none did, or it cannot be read."""
    with contextlib.suppress(KeyError, ValueError):
        return CreatedBy(
            id=UUID(headers[b"prefect-automation-id"].decode("latin-1")),
            type=AUTOMATION,
            display_value=_text(headers.get(b"prefect-automation-name", b"")) or None,
        )
    return None


def _text(encoded: bytes) -> str:
    with contextlib.suppress(binascii.Error):
        return base64.b64decode(encoded).decode(errors="replace").replace("\x00", SUBSTITUTE)
    return ""
