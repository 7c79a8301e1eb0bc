"""Exit records: on disk before they are told, kept until an agent has them. Stdlib only."""

from __future__ import annotations

from reeve.drivers.process import spool
from reeve.drivers.process.loop import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from reeve.drivers.process.run import Run


class Records:
    """``ended``: what no agent has acknowledged. ``unsaved``: those not on disk yet, and where they go."""

    __slots__ = ("ended", "unsaved")

    def __init__(self) -> None:
        self.ended: dict[str, dict[str, Any]] = {}
        self.unsaved: dict[str, str] = {}

    def keep(self, run: Run, record: dict[str, Any]) -> None:
        """Take a record, to be saved."""
        self.ended[run.attempt] = record
        self.unsaved[run.attempt] = run.directory

    def acknowledge(self, attempt: str) -> None:
        """Forget a record that an agent has, once it is on disk."""
        if attempt not in self.unsaved:
            self.ended.pop(attempt, None)

    def save(self, attempts: Iterable[str]) -> None:
        """Bring exit records to disk; when there is no room they are told all the same, and written later."""
        files: dict[str, int] = {}
        for attempt in attempts:
            try:
                files[attempt] = spool.write_exit(self.unsaved[attempt], self.ended[attempt])
            except FileNotFoundError:
                log(f"the spool of {attempt} was taken away; its exit record is kept in memory only")
                del self.unsaved[attempt]
            except OSError as error:
                log(f"the exit record of {attempt} cannot be written yet: {error}")
        for attempt, file in files.items():
            try:
                spool.settle_exit(self.unsaved[attempt], file)
                del self.unsaved[attempt]
            except OSError as error:
                log(f"the exit record of {attempt} is not on disk yet: {error}")
