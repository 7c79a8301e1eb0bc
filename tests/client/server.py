"""A real HTTP server that behaves as a test tells it to, request by request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler"], None]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # which of the server's connections it came on


@dataclass
class Script:
    """What the server does next, and what it has seen; with nothing left to do it answers ``true``."""

    behaviours: deque[Behaviour] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    dropped: threading.Event = field(default_factory=threading.Event)

    def then(self, *behaviours: Behaviour) -> None:
        """Queue what is done with the next requests."""
        self.behaviours.extend(behaviours)


class Handler(BaseHTTPRequestHandler):
    """One connection of the scripted server."""

    protocol_version = "HTTP/1.1"
    script: Script

    def setup(self) -> None:
        super().setup()
        self.script.connections += 1
        self.number = self.script.connections

    def behave(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.script.seen.append(Seen(self.command, self.path, dict(self.headers), body, self.number))
        behaviour = self.script.behaviours.popleft() if self.script.behaviours else reply(b"true")
        behaviour(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = behave  # noqa: N815  # http.server's names

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def reply(body: bytes, status: int = 200, **headers: str) -> Behaviour:
    """Answer properly; the connection stays open."""

    def behave(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def drop(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def reply_then_drop(body: bytes) -> Behaviour:
    """Answer as if the connection stayed open, and close it: what an idle time-out looks like."""

    def behave(handler: Handler) -> None:
        reply(body)(handler)
        handler.close_connection = True

    return behave


def raw(data: bytes) -> Behaviour:
    """Send bytes of one's own, and close."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return behave


def hang(handler: Handler) -> None:
    """Answer nothing until the test ends."""
    handler.script.released.wait()
    handler.close_connection = True


class ScriptedServer(ThreadingHTTPServer):
    """Serves a script; counts connections it has closed."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        self.script = script
        super().__init__(("127.0.0.1", 0), type("ScriptedHandler", (Handler,), {"script": script}))

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)  # type: ignore[arg-type]  # a socket, in http.server's wide type
        self.script.dropped.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"
