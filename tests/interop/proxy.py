"""A proxy that writes down what passes between a client and a server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

# Headers of an answer that say something to a client.
_TELLING = ("content-encoding", "content-type", "location", "retry-after")
_OF_THE_CONNECTION = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}
)


@dataclass(frozen=True)
class Exchange:
    """One request, and its answer with headers of _TELLING; bodies are what their JSON says, else text."""

    method: str
    path: str
    asked: Any
    status: int
    answered: Any
    headers: Mapping[str, str]


@contextmanager
def recording(port: int) -> Iterator[tuple[int, list[Exchange]]]:
    """Stand before the server at ``port``: give the port to call instead, and the list that grows."""
    seen: list[Exchange] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port, seen, Lock()))
    server.daemon_threads = True  # clients keep connections open that nobody ends
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(port: int, seen: list[Exchange], lock: Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            kept = {k: v for k, v in self.headers.items() if k.lower() not in _OF_THE_CONNECTION}
            # Compressed only for who asks for nothing else: whether an answer is long enough to be compressed
            # depends on its figures.
            encoding = "gzip" if self.headers.get("accept-encoding") == "gzip" else "identity"
            kept |= {"accept-encoding": encoding, "host": f"127.0.0.1:{port}"}
            server = HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                server.request(self.command, self.path, body or None, kept)
                reply = server.getresponse()
                answer = reply.read()
            finally:
                server.close()
            told = {name: reply.headers[name] for name in _TELLING if name in reply.headers}
            plain = gzip.decompress(answer) if told.get("content-encoding") == "gzip" else answer
            with lock:
                seen.append(
                    Exchange(self.command, self.path, _content(body), reply.status, _content(plain), told)
                )
            self.send_response_only(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value.replace(f":{port}/", f":{self.server.server_port}/"))  # type: ignore[attr-defined]  # a ThreadingHTTPServer's
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815  # http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
            """Say nothing: the exchanges are the record."""

    return Handler


def _content(body: bytes) -> Any:
    if not body:
        return None
    with suppress(ValueError):
        return json.loads(body)
    return body.decode(errors="replace")
