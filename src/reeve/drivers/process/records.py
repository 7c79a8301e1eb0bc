"""Exit records: on disk before they are told, kept until an agent has them. Stdlib only."""

from __future__ import annotations

from reeve.drivers.process import messages, spool
from reeve.drivers.process.loop import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from reeve.drivers.process.run import Run


class Records:
    """``ended``: what no agent has acknowledged. ``_unsaved``: what is not on disk yet, and where it goes."""

    __slots__ = ("_unsaved", "ended")

    def __init__(self) -> None:
        self.ended: dict[str, dict[str, Any]] = {}
        self._unsaved: dict[str, tuple[str, bytes]] = {}

    @property
    def are_saved(self) -> bool:
        """Whether all are on disk, or nowhere to be put."""
        return not self._unsaved

    def keep(self, run: Run, record: dict[str, Any]) -> bytes:
        """Take a record, to be saved; return the event that tells it, which is what is saved."""
        told = messages.exited(record)
        self.ended[run.attempt] = record
        self._unsaved[run.attempt] = run.directory, told
        return told

    def acknowledge(self, attempts: Iterable[str]) -> None:
        """Forget records that an agent has, once they are on disk."""
        for attempt in attempts:
            if attempt not in self._unsaved:
                self.ended.pop(attempt, None)

    def save(self) -> None:
        """Bring exit records to disk; when there is no room they are told all the same, and written later."""
        files: dict[str, int] = {}
        for attempt, (directory, told) in list(self._unsaved.items()):
            try:
                files[attempt] = spool.add_exit(directory, told)
            except FileNotFoundError:
                log(f"the spool of {attempt} was taken away; its exit record is kept in memory only")
                del self._unsaved[attempt]
            except OSError as error:
                log(f"the exit record of {attempt} cannot be written yet: {error}")
        for attempt, file in files.items():
            try:
                spool.settle_exit(file)
                del self._unsaved[attempt]
            except OSError as error:
                log(f"the exit record of {attempt} is not on disk yet: {error}")
