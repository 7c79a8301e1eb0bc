"""A run between its order and its process: forked by a template, or started cold. Stdlib only."""

from __future__ import annotations

import contextlib
import os

from reeve.drivers.process import spawn, spool, tree
from reeve.drivers.process.orders import GO
from reeve.drivers.process.templates import TemplateLostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from reeve.drivers.process.templates import Template, Templates


class Birth:
    """One run on its way. ``output`` is where its pipes will lead."""

    __slots__ = ("_inherited", "_order", "_pipes", "_template", "_templates", "output")

    def __init__(
        self, order: dict[str, Any], templates: Templates, inherited: spawn.Inherited, room: spool.Room
    ) -> None:
        """Order the run of a template that takes it. Raises OSError when there is no room for its files."""
        self._order = order
        self._templates = templates
        self._inherited = inherited
        self._template: Template | None = None
        quota = order.get("output_quota", spool.DEFAULT_QUOTA)
        self.output = spool.Output(order["spool_dir"], quota, room)
        try:
            self._pipes = spawn.Pipes()
            self._ask()
        except OSError:
            self.output.close()
            raise

    def child(self) -> spawn.Child:
        """Return the process, watched. One of a template waits for ``go``.

        Raises OSError when there is no room for it: then nothing is left of it.
        """
        try:
            pid = self._answer() or spawn.spawn(self._order, self._inherited, self._pipes)
            child = spawn.Child(pid, self._pipes)
        except OSError:
            self._pipes.close()
            self.output.close()
            raise
        self._pipes.close_ends()
        return child

    def give_up(self) -> None:
        """Have no run come of it: what a template has forked ends for want of a go."""
        with contextlib.suppress(OSError):
            self._answer()
        self._pipes.close()
        self.output.close()

    @property
    def forked(self) -> bool:
        """Whether a template has forked it."""
        return self._template is not None

    def go(self, child: spawn.Child) -> None:
        """Let the run begin: from now on it is in the shim's hands, and bears its mark."""
        if self._template:
            tree.set_limit_mark(child.pid, self._order["attempt"])
            os.write(self._pipes.verdict, GO)

    def _ask(self) -> None:
        """Order the run of a template, if there is one that takes it."""
        if found := self._templates.find(self._order):
            self._template, packet = found
            try:
                self._template.ask(packet, self._pipes)
            except TemplateLostError as error:
                self._start_cold(error)

    def _answer(self) -> int | None:
        """Return the pid from the template; None: the run is started cold."""
        if self._template is None:
            return None
        try:
            return self._template.answer()
        except TemplateLostError as error:
            self._start_cold(error)
            return None

    def _start_cold(self, error: TemplateLostError) -> None:
        """Give the template up. What it may have forked unseen holds the old pipes, and ends with them."""
        if self._template:
            self._templates.drop(self._template, str(error))
        self._template = None
        self._pipes.close()
        self._pipes = spawn.Pipes()
