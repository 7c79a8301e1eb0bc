"""The web site of a shop that has a bad day, for ``scrape.py`` to read:  python examples/scraping/shop.py

Its products are at ``/products/1`` and so on. Of each ten, one answers 503 to the first two requests, one
answers too late to the first, one always does, and one is gone (404).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUSY, SLOW, STUCK, GONE = 3, 5, 7, 9  # last digits of products


class Shop(ThreadingHTTPServer):
    """A real server on a port of its own; ``asked`` counts the requests for each path."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0, seconds_late: float = 60) -> None:
        super().__init__(("127.0.0.1", port), Page)
        self.seconds_late = seconds_late
        self.asked: Counter[str] = Counter()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that have not waited."""


class Page(BaseHTTPRequestHandler):
    """One request."""

    server: Shop

    def do_GET(self) -> None:
        """Answer, in the way of this product."""
        self.server.asked[self.path] += 1
        asked, kind = self.server.asked[self.path], int(self.path.rpartition("/")[2]) % 10
        if kind == STUCK or (kind == SLOW and asked == 1):
            self.server.closing.wait(self.server.seconds_late)
        status = 404 if kind == GONE else 503 if kind == BUSY and asked <= 2 else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(f"<h1>Product {self.path}</h1>".encode() if status == 200 else b"")

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def open_shop() -> Iterator[Shop]:
    """Have a shop while the block runs."""
    shop = Shop()
    threading.Thread(target=shop.serve_forever, daemon=True).start()
    try:
        yield shop
    finally:
        shop.closing.set()
        shop.shutdown()
        shop.server_close()


if __name__ == "__main__":
    shop = Shop(8765)
    print(f"The shop is open: {shop.url}/products/1", flush=True)
    try:
        shop.serve_forever()
    except KeyboardInterrupt:
        shop.server_close()
