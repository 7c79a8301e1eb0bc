"""The shim's side of its templates: processes that have imported an engine and fork its runs. Stdlib only.

A run that no template takes is started cold, with an interpreter of its own: nobody waits for a template, and
whatever goes wrong with one costs its runs a fraction of a second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time

from reeve.drivers.process import spawn, tree
from reeve.drivers.process.orders import LONGEST_ORDER, READY, ROOM, packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LEAST_ROOM = 16 << 10  # bytes

_AT_ONCE = {"LD_BIND_NOW": "1"}  # else each run would find the functions of libraries anew, ten pages' worth

MOST = 4  # templates of one shim; each is some 20 MiB
_ANSWER_SECONDS = 2.0  # to an order; what takes longer is broken, or stopped
_RETRY_SECONDS = 60.0  # before a template is started again that could not be


class TemplateLostError(Exception):
    """A template gave no answer. What it has forked unseen ends by itself, for want of a go."""


class Template:
    """One of them: its process, the line to it, and whether it has said that it can fork."""

    __slots__ = ("line", "pid", "ready", "used_at")

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.line = line
        self.ready = False
        self.used_at = time.monotonic()

    def ask(self, order: bytes, pipes: spawn.Pipes) -> None:
        """Order a run. Raises TemplateLostError."""
        try:
            socket.send_fds(self.line, [order], pipes.ends)
        except OSError as error:
            raise TemplateLostError(f"it takes no order: {error.strerror}") from error

    def answer(self) -> int:
        """Return the pid of the run that was ordered first. Raises TemplateLostError, or OSError: no room."""
        try:
            answer = self.line.recv(64)
        except OSError as error:
            raise TemplateLostError(f"it gives no answer: {error.strerror or error}") from error
        if not answer:
            raise TemplateLostError("it has ended")
        number = int(answer)
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return number

    def end(self) -> None:
        """Kill and reap it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.line.close()


class Templates:
    """Those of a shim, by what they were started with."""

    __slots__ = ("_broken", "_inherited", "_known", "_log")

    def __init__(self, inherited: spawn.Inherited, log: Callable[[str], None]) -> None:
        self._log = log
        self._inherited = inherited
        self._known: dict[str, Template] = {}
        self._broken: dict[str, float] = {}  # until when it is not started again

    @property
    def pids(self) -> set[int]:
        """The processes of all."""
        return {template.pid for template in self._known.values()}

    def owns(self, pid: int) -> bool:
        """Whether a living process is a spare of one of them: it has no session of its own yet."""
        process = tree.read(pid)
        return process is not None and process.session in self.pids

    def find(self, order: dict[str, Any]) -> tuple[Template, bytes] | None:
        """Return the template that takes an order, and the order for it; None: start the run cold.

        ``order["template"]`` is its argv and env in JSON. One that is wanted for the first time is started.
        """
        wanted = order.get("template")
        if not wanted or (packet := packed(order)) is None:
            return None
        template = self._known.get(wanted) or self._start(wanted, len(packet))
        if template is None or len(packet) > LONGEST_ORDER or not _is_ready(template):
            return None
        template.used_at = time.monotonic()
        return template, packet

    def drop(self, template: Template, why: str) -> None:
        """End a template that failed, and start it no more for a while."""
        for key, one in list(self._known.items()):
            if one is template:
                del self._known[key]
                self._give_up(key, why)
                template.end()

    def bury(self) -> None:
        """Forget the templates that have ended by themselves: they could not import their engine, or fork."""
        for template in list(self._known.values()):
            if os.waitid(os.P_PID, template.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self.drop(template, "it has ended")

    def _start(self, key: str, room: int) -> Template | None:
        if self._broken.get(key, 0) > time.monotonic():
            return None
        if len(self._known) >= MOST:
            self._end_oldest()
        try:
            template = _start(
                json.loads(key), min(max(room * 2, _LEAST_ROOM), LONGEST_ORDER), self._inherited
            )
        except OSError as error:
            self._give_up(key, f"it cannot be started: {error.strerror}")
            return None
        self._known[key] = template
        return template

    def _give_up(self, key: str, why: str) -> None:
        self._broken[key] = time.monotonic() + _RETRY_SECONDS
        self._log(f"runs start cold for {_RETRY_SECONDS:.0f} s, since their template failed: {why}")

    def _end_oldest(self) -> None:
        key = min(self._known, key=lambda one: self._known[one].used_at)
        self._known.pop(key).end()


def _is_ready(template: Template) -> bool:
    if not template.ready:
        template.line.setblocking(False)
        try:
            template.ready = template.line.recv(64) == READY
        except OSError:
            return False
        template.line.settimeout(_ANSWER_SECONDS)
    return template.ready


def _start(wanted: dict[str, Any], room: int, inherited: spawn.Inherited) -> Template:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line = theirs.fileno()
    argv = [*wanted["argv"], str(line)]
    try:
        pid = spawn.helper(argv, {**wanted["env"], **_AT_ONCE, ROOM: "-" * room}, line, inherited)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return Template(pid, ours)
