"""A line to the agent of this machine, which passes requests on, many at once (protocol §7).

A frame is four bytes of length and JSON: a ``Call`` there, a ``CallReply`` back. The agent answers with what
the server has answered and nothing else, so whatever fails on the way, the request is sent to the server
itself: every call can be repeated.
"""

from __future__ import annotations

import os
import socket
import time

from msgspec import DecodeError, Raw

from reeve.client.calls import Reply, Request
from reeve.client.retry import Terms
from reeve.wire import codec
from reeve.wire.requests import Call
from reeve.wire.responses import NOT_PASSED_ON, CallReply

NAME = "calls"  # of the socket, in the agent's directory
LENGTH_BYTES = 4
LONGEST = 1 << 20  # bytes of a frame; what is longer would hold up the others
ANSWER_SECONDS = 3.0  # protocol §7
_LONGEST_PATH = 107  # bytes of a socket's path (unix(7))
_AWAY_SECONDS = 30.0  # in which an agent is not asked again that gave no answer

_NOTHING = Raw(b"null")


class LocalLine:
    """The line, at the path of the agent's socket; safe for threads and across forks.

    ``connected`` are connections that there are already.
    """

    def __init__(self, path: str, *connected: socket.socket) -> None:
        self._path = path
        self._is_short = len(os.fsencode(path)) <= _LONGEST_PATH
        self._idle = list(connected)
        self._owner = os.getpid()
        self._away_until = 0.0

    def exchange(self, request: Request, terms: Terms) -> Reply | None:
        """Return the server's answer by way of the agent; None: ask the server."""
        if self._away_until > time.monotonic():
            return None
        call = Call(
            method=request.method,
            path=request.target.removeprefix(terms.address.prefix),
            key=terms.key,
            body=_NOTHING if request.body is None else Raw(request.body),
        )
        frame = codec.encode(call)
        if len(frame) > LONGEST or "?" in call.path:
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
        while self._idle:
            self._idle.pop().close()

    def _talk(self, frame: bytes) -> CallReply:
        line = self._line()
        try:
            line.sendall(framed(frame))
            size = int.from_bytes(_received(line, LENGTH_BYTES))
            reply = codec.decode(_received(line, size), CallReply)
        except BaseException:
            line.close()
            raise
        self._idle.append(line)
        return reply

    def _line(self) -> socket.socket:
        if self._owner != os.getpid():  # a fork: the parent still talks on these
            self._owner = os.getpid()
            self._idle = []
        try:
            return self._idle.pop()
        except IndexError:
            return self._connected()

    def _connected(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.settimeout(ANSWER_SECONDS)
            if self._is_short:
                line.connect(self._path)
            else:
                self._connect_by_folder(line)
        except BaseException:
            line.close()
            raise
        return line

    def _connect_by_folder(self, line: socket.socket) -> None:
        directory, name = os.path.split(self._path)  # pathlib costs each start 5 ms
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            line.connect(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)


def framed(data: bytes) -> bytes:
    """Return the frame that data crosses the line in."""
    return len(data).to_bytes(LENGTH_BYTES) + data


def _received(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise ConnectionError("the agent has closed the line")
        data += part
    return data
