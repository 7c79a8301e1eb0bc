"""The lease of an attempt as the shim counts it, and its renewal when the agent is silent (protocol §3, §9).

Stdlib only. The renewal speaks HTTP/1.0 itself: ``http.client`` would make the shim half as large again, and
with it every fork.
"""

from __future__ import annotations

import json
import os
import signal
import socket

from reeve.drivers.process.spawn import die_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Of 20 s: the agent renews every 5, and has 3 more before the shim does it (protocol §3).
RENEW_AFTER = 0.25
SHIM_AFTER = RENEW_AFTER + 0.15

_TIMEOUT = 5  # seconds for each step of the request
_DEADLINE = 8  # seconds for all of it
_LONGEST_ANSWER = 1 << 20


class Lease:
    """The right to an attempt, counted in boot time from when the last acknowledged renewal was sent."""

    __slots__ = ("margin", "replace", "seconds", "sent_at")

    def __init__(self, order: dict[str, Any]) -> None:
        self.seconds = float(order["seconds"])
        self.sent_at = float(order["sent_at"])
        self.margin = float(order["margin_seconds"])
        self.replace = order["on_lost"] == "replace"

    def renewed(self, sent_at: float, seconds: float) -> None:
        """Take an acknowledged renewal; one that was overtaken by a later one changes nothing."""
        if sent_at >= self.sent_at:
            self.sent_at = sent_at
            self.seconds = seconds

    def wants_shim(self, now: float) -> bool:
        """Whether the agent has been silent for so long that the shim must renew."""
        return now >= self.sent_at + self.seconds * SHIM_AFTER

    def is_lost(self, now: float) -> bool:
        """Whether another attempt may soon begin, so that this one must end. Under ``wait``: never."""
        return self.replace and now >= self.sent_at + self.seconds - self.margin

    def left(self, now: float) -> float:
        """Return the seconds until it ends: what a lost one leaves its tree to end by itself."""
        return max(0.0, self.sent_at + self.seconds - now)


class Renewal:
    """One request under way, made by a child so that the shim's loop never waits."""

    __slots__ = ("answer", "attempts", "pid", "pipe", "sent_at")

    def __init__(self, door: tuple[str, int, bool, str], tokens: dict[str, str], now: float) -> None:
        self.attempts = list(tokens)
        self.sent_at = now
        self.answer = b""
        body = {"attempts": [{"id": attempt, "token": token} for attempt, token in tokens.items()]}
        self.pipe, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.pid = _fork(door, body, end)
        except OSError:
            os.close(self.pipe)
            raise
        finally:
            os.close(end)

    def read(self) -> bool:
        """Take what has come; return whether that was all."""
        try:
            part = os.read(self.pipe, _LONGEST_ANSWER)
        except BlockingIOError:
            return False
        self.answer += part
        return not part

    def result(self) -> dict[str, Any]:
        """Reap the child, and return the server's answer, or ``{"error": why not}``."""
        os.close(self.pipe)
        os.waitpid(self.pid, 0)
        try:
            answer: dict[str, Any] = json.loads(self.answer)
        except ValueError:
            answer = {"error": "no answer in time"}
        return answer


def prepare(door: tuple[str, int, bool, str]) -> None:
    """Import what a renewal at this door needs, before the first run: the files may be replaced later."""
    if door[2]:
        import ssl  # noqa: F401 - five megabytes that only https needs


def _fork(door: tuple[str, int, bool, str], body: dict[str, Any], end: int) -> int:
    shim = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(shim)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(_DEADLINE)
        os.dup2(end, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))  # the lock and the pipes of runs are the shim's alone
        try:
            answer = post(door, body)
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        os.set_blocking(3, True)
        os.write(3, json.dumps(answer).encode())
    finally:
        os._exit(0)


def post(door: tuple[str, int, bool, str], body: dict[str, Any]) -> dict[str, Any]:
    """Make one request and return the JSON object of its answer.

    ``door`` is host, port, whether TLS, path. Raises OSError, or ValueError for an answer that is no success.
    """
    host, port, tls, path = door
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.0\r\nHost: {_authority(host, port)}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((host, port), timeout=_TIMEOUT) as plain:
        line = _wrap(plain, host) if tls else plain
        line.sendall(head.encode() + content)
        return _parse(_receive(line))


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _wrap(plain: socket.socket, host: str) -> socket.socket:
    import ssl  # see prepare

    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _receive(line: socket.socket) -> bytes:
    received = b""
    while part := line.recv(65536):
        received += part
        if len(received) > _LONGEST_ANSWER:
            raise ValueError("the answer is too long")
    return received


def _parse(received: bytes) -> dict[str, Any]:
    head, _, content = received.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[1].startswith(b"2"):
        raise ValueError(f"the server answered {head[:80].decode(errors='replace')!r}")
    answer = json.loads(content)
    if not isinstance(answer, dict) or not isinstance(answer.get("lease_seconds"), int | float):
        raise ValueError(f"the server's answer has no 'lease_seconds': {content[:80]!r}")  # noqa: TRY004 - no caller's fault
    return answer
