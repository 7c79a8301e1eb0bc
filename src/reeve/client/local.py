"""A line to the agent of this machine, which passes requests on, many at once (protocol §7).

A frame is four bytes of length and JSON: a ``Call`` there, a ``CallReply`` back. The agent answers with what
the server has answered and nothing else, so whatever fails on the way, the request is sent to the server
itself: every call can be repeated.
"""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_STREAM, socket  # socket's own class and enums cost a run ten pages

from msgspec import DecodeError, Raw, Struct, field

from reeve.client.calls import Reply, Request
from reeve.decoders import decoder
from reeve.wire.codec import encode
from reeve.wire.requests import Call
from reeve.wire.responses import NOT_PASSED_ON, CallReply

NAME = "calls"  # of the socket, in the agent's directory
LENGTH_BYTES = 4
LONGEST = 1 << 20  # bytes of a frame; what is longer would hold up the others
ANSWER_SECONDS = 3.0  # protocol §7
_AWAY_SECONDS = 30.0  # in which an agent is not asked again that gave no answer

_NOTHING = Raw(b"null")
_REPLY = decoder(CallReply)


class LocalLine(Struct, eq=False):
    """The line, at the path of the agent's socket; safe for threads and across forks.

    ``idle``: connections that no call holds.
    """

    path: str
    idle: list[socket] = field(default_factory=list)
    _owner: int = field(default_factory=os.getpid)
    _away_until: float = 0.0

    def exchange(self, request: Request) -> Reply | None:
        """Return the server's answer by way of the agent; None: ask the server."""
        if self._away_until and self._away_until > time.monotonic():
            return None
        body = _NOTHING if request.body is None else Raw(request.body)
        frame = encode(Call(method=request.method, path=request.path, key=request.key, body=body))
        if len(frame) > LONGEST or "?" in request.path:
            return None
        try:
            reply = self._talk(frame)
        except TimeoutError:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return None
        except (OSError, DecodeError):
            return None
        if reply.status == NOT_PASSED_ON:
            return None
        return Reply(reply.status, bytes(reply.body), reply.retry_after)

    def close(self) -> None:
        """Close the connections that no call holds."""
        while self.idle:
            self.idle.pop().close()

    def _talk(self, frame: bytes) -> CallReply:
        if self._owner != os.getpid():  # a fork: the parent still talks on these
            self._owner = os.getpid()
            self.idle = []
        try:
            line = self.idle.pop() if self.idle else self.connected()
        except IndexError:  # another thread has taken it
            line = self.connected()
        try:
            line.sendall(len(frame).to_bytes(LENGTH_BYTES) + frame)
            size = int.from_bytes(_received(line, LENGTH_BYTES))
            reply = _REPLY.decode(_received(line, size))
        except BaseException:
            line.close()
            raise
        self.idle.append(line)
        return reply

    def connected(self) -> socket:
        """Return a new connection."""
        line = socket(AF_UNIX, SOCK_STREAM)
        try:
            line.settimeout(ANSWER_SECONDS)
            try:
                line.connect(self.path)
            except OSError as error:
                if error.errno is not None or isinstance(error, TimeoutError):
                    raise
                self._connect_by_folder(line)  # the path has more than 107 bytes (unix(7))
        except BaseException:
            line.close()
            raise
        return line

    def _connect_by_folder(self, line: socket) -> None:
        directory, name = os.path.split(self.path)  # pathlib costs each start 5 ms
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            line.connect(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)


def _received(line: socket, size: int) -> bytes:
    data = line.recv(size)
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise ConnectionError("the agent has closed the line")
        data += part
    return data
