"""The agents at the shim's door: their requests, what they are answered and told. Stdlib only."""

from __future__ import annotations

import select
import socket
import time
import traceback

from reeve.drivers.process import messages
from reeve.drivers.process.loop import guard, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from reeve.drivers.process.loop import Loop

    Command = Callable[["Caller", dict[str, Any]], dict[str, Any] | None]

_PART = 64 << 10  # bytes taken at a time; room for more would be asked of the kernel each time
_LONGEST_BACKLOG = 64 << 20  # bytes an agent may be behind before its connection is dropped


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that is answered with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """One agent's socket, and what it has not taken yet."""

    __slots__ = ("backlog", "greeted", "is_behind", "lines", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.lines = messages.Lines()
        self.backlog = bytearray()
        self.greeted = False
        self.is_behind = False  # whether the loop waits for it to take more


class Caller:
    """Whom to answer, now or later."""

    __slots__ = ("_agents", "connection", "id")

    def __init__(self, agents: Agents, connection: Connection, request: dict[str, Any]) -> None:
        self._agents = agents
        self.connection = connection
        self.id = request.get("id")

    def answer(self, ok: dict[str, Any]) -> None:
        self._agents.send(self.connection, {"id": self.id, "ok": ok})

    def refuse(self, error: Exception) -> None:
        """Answer with an error; one that nobody foresaw goes to the log as well."""
        if not isinstance(error, Refusal):
            log("".join(traceback.format_exception(error)))
            error = Refusal("invalid", f"The request could not be done: {error!r}")
        answer = {"code": error.code, "message": str(error)}
        self._agents.send(self.connection, {"id": self.id, "error": answer})


class Agents:
    """All connections.

    ``commands`` by what a request asks to do: each returns its answer, None when that comes later, or raises.
    ``settle`` is called when a round of launches is complete.
    """

    def __init__(
        self, listener: socket.socket, loop: Loop, commands: dict[str, Command], settle: Callable[[], None]
    ) -> None:
        self.connections: list[Connection] = []
        self._untold: set[Connection] = set()  # what there is for them has not been sent
        self._listener = listener
        self._loop = loop
        self._commands = commands
        self._settle = settle
        loop.watch(listener.fileno(), lambda _: self._accept())

    def tell(self, event: bytes) -> None:
        """Send an event, encoded, to all who have said hello."""
        for connection in self.connections:
            if connection.greeted:
                self._send(connection, event)

    def close(self) -> None:
        """Send what is still to be sent; a second for each."""
        for connection in self.connections:
            connection.socket.settimeout(1)
            guard(connection.socket.sendall, connection.backlog)

    def _accept(self) -> None:
        try:
            accepted = self._listener.accept()[0]
        except BlockingIOError:
            return
        except OSError as error:  # no file left for it: it waits, and the loop must not spin
            log(f"cannot accept an agent: {error}")
            time.sleep(0.05)
            return
        accepted.setblocking(False)
        connection = Connection(accepted)
        self.connections.append(connection)
        self._loop.watch(accepted.fileno(), lambda events: self._serve(connection, events))

    def _serve(self, connection: Connection, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._flush(connection)
            data = connection.socket.recv(_PART)
            if not data:
                self._drop(connection)
            for request in connection.lines.feed(data):
                self._dispatch(connection, request)
            self._settle()
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            log(f"an agent's connection is dropped: {error}")
            self._drop(connection)

    def _dispatch(self, connection: Connection, request: dict[str, Any]) -> None:
        caller = Caller(self, connection, request)
        if request.get("do") != "launch":
            self._settle()  # what was asked before
        try:
            answer = self._command(connection, request)(caller, request)
        except Exception as error:  # noqa: BLE001 - answered, so that nobody waits for ever
            caller.refuse(error)
        else:
            if answer is not None:
                caller.answer(answer)

    def _command(self, connection: Connection, request: dict[str, Any]) -> Command:
        do = request.get("do", "")
        if not connection.greeted and do != "hello":
            raise Refusal("hello_first", "Say hello, with your protocol, before anything else.")
        if do not in self._commands:
            raise Refusal("unknown", f"This shim knows no {do!r}.")
        return self._commands[do]

    def send(self, connection: Connection, message: dict[str, Any]) -> None:
        """Send a message with the next ``flush``, or as soon as the agent takes it."""
        self._send(connection, messages.encode(message))

    def _send(self, connection: Connection, line: bytes) -> None:
        connection.backlog += line
        self._untold.add(connection)

    def flush(self) -> None:
        """Send what has gathered in a round of the loop: an agent is woken once for all of it."""
        untold, self._untold = self._untold, set()
        for connection in untold:
            self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        file = connection.socket.fileno()
        if not self._loop.watches(file):
            return
        try:
            sent = connection.socket.send(connection.backlog) if connection.backlog else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        del connection.backlog[:sent]
        if len(connection.backlog) > _LONGEST_BACKLOG:
            log("an agent takes no answers; its connection is dropped")
            self._drop(connection)
            return
        if connection.is_behind != bool(connection.backlog):
            connection.is_behind = bool(connection.backlog)
            self._loop.heed(file, writing=connection.is_behind)

    def _drop(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self._loop.unwatch(connection.socket.fileno())
            connection.socket.close()
