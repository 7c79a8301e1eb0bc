"""Threads for what has no place in the event loop of an async test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from reeve.sdk.futures import in_event_loop

T = TypeVar("T")


def beside_any_loop(work: Callable[[], T]) -> T:
    """Do work that must not be done in an event loop: on a thread of its own there, which is waited for."""
    if not in_event_loop():
        return work()
    outcome: list[T] = []
    raised: list[BaseException] = []

    def do() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # raised where it was asked for
            raised.append(error)

    thread = threading.Thread(target=do, name="reeve-run")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return outcome[0]
