"""The shim's loop: files that are waited for, and what is done when one has news. Stdlib only.

Nothing in it may wait for the network, and no error may end it: the runs would end with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Loop:
    """Files and their handlers, which get the events (epoll(7)) that were seen."""

    __slots__ = ("_handlers", "_poll")

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, file: int, handler: Callable[[int], None]) -> None:
        """Call ``handler`` whenever a file can be read, or has come to its end."""
        self._poll.register(file, select.EPOLLIN)
        self._handlers[file] = handler

    def unwatch(self, file: int) -> None:
        """Watch a file no more; to be called before it is closed. One that is not watched is fine."""
        if self._handlers.pop(file, None):
            self._poll.unregister(file)

    def watches(self, file: int) -> bool:
        """Whether a file is watched."""
        return file in self._handlers

    def heed(self, file: int, *, writing: bool) -> None:
        """Wait for room to write in a watched file as well, or no more."""
        self._poll.modify(file, select.EPOLLIN | (select.EPOLLOUT if writing else 0))

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Return the files that have news, and which."""
        return self._poll.poll(seconds)

    def handle(self, news: list[tuple[int, int]]) -> None:
        """Call the handlers."""
        for file, events in news:
            if handler := self._handlers.get(file):  # an earlier one of this round may have closed it
                guard(handler, events)


def guard(action: Callable[..., object], *arguments: Any) -> None:
    """Run an action of the loop; whatever goes wrong in it, the runs must not end with the loop."""
    try:
        action(*arguments)
    except Exception:  # noqa: BLE001 - see above
        log(traceback.format_exc())


def swallow(pipe: int) -> None:
    """Take what is in a pipe, and forget it."""
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 4096)


def log(text: str) -> None:
    """Write a line to the log of the shim."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text.strip()}\n"
    with contextlib.suppress(OSError):  # a full disk; there is nowhere else to say it
        os.write(2, line.encode(errors="replace"))
