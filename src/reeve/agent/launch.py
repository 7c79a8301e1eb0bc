"""Launch: hand the order to the driver, and note the handle."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import msgspec

from reeve.agent import faults
from reeve.agent.journal import Entry
from reeve.drivers.base import Driver, Handle, Launch, NotLaunchedError

_PAUSES = (0.2, 1.0, 5.0)  # seconds before a launch whose outcome is not known is asked for again

log = logging.getLogger("reeve.agent")


async def launch(driver: Driver, order: Launch, flow_run_id: UUID) -> Handle:
    """Launch an attempt, once. Raises NotLaunchedError, with a sentence for the user, when nothing runs.

    A driver that fails in another way has perhaps launched: it is asked again, which launches nothing twice.
    """
    for pause in _PAUSES:
        try:
            faults.reach("before_launch")
            handle = await driver.launch(order)
            faults.reach("after_launch")
        except NotLaunchedError:
            raise
        except Exception:
            log.exception("The launch of flow run '%s' failed; trying again", flow_run_id)
            await asyncio.sleep(pause)
        else:
            return handle
    raise NotLaunchedError(f"The driver '{driver.name}' fails whenever it is asked to launch.")


def note(entry: Entry, handle: Handle, grace_seconds: float) -> None:
    """Note in an attempt's entry how it is found again and stopped."""
    entry.handle = plain(handle)
    entry.grace_seconds = grace_seconds


def handle_of(entry: Entry) -> Handle | None:
    """Return the handle that an entry holds, if it was launched."""
    if entry.handle is None:
        return None
    return msgspec.convert(entry.handle, Handle, dec_hook=lambda kind, text: kind(text))


def plain(handle: Handle) -> dict[str, Any]:
    """Return a handle as JSON has it: its path as text."""
    values: dict[str, Any] = msgspec.to_builtins(handle, enc_hook=str)
    return values
