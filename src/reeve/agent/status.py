"""What the agent says of itself, to whoever asks on its machine: ``/livez /readyz /metrics /status``.

It has no keys to check, so it listens on loopback unless told otherwise, answers nothing but GET, and only
under a name that nobody else can make resolve to this machine (protocol §11).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from uuid import UUID

import msgspec
from msgspec import Struct

from reeve.core.agents import AgentMode
from reeve.errors import ReeveError

POLL_MARGIN_SECONDS = 15.0  # on top of the time that a poll is held, before it counts as missed
_READ_SECONDS = 5.0  # for a request to come in whole
_LONGEST = 8192  # bytes of a request: there is nothing to say
_PAGE = os.sysconf("SC_PAGE_SIZE")


class HeldRun(Struct, frozen=True):
    """A run that is held."""

    flow_run_id: UUID
    attempt_id: UUID
    infrastructure_pid: str | None
    is_ending: bool


class Status(Struct, frozen=True, kw_only=True):
    """An agent at one moment. Durations in seconds; ``since_poll``: since a poll was answered last."""

    name: str
    version: str
    server: str
    pool: str | None
    queues: list[str]
    prefixes: list[str]
    mode: AgentMode
    is_stopping: bool
    slots: int
    free: int
    runs: list[HeldRun]
    ended: int  # runs, since the start
    failed: int  # of them, those that did not end with 0
    spool_bytes: int  # of the disk, taken by output
    spool_limit: int
    lost_bytes: int  # of the output of ended runs, for which there was no room
    polls: int
    since_poll: float | None
    poll_seconds: float

    @property
    def unready(self) -> str | None:
        """Why no new run is to be expected from this agent, if so: polls, not pings, tell it."""
        if self.is_stopping:
            return "It is stopping."
        if self.since_poll is None:
            return f"It has had no answer from {self.server} yet."
        if self.since_poll > self.poll_seconds + POLL_MARGIN_SECONDS:
            return f"Its last poll was answered {self.since_poll:.0f} s ago by {self.server}."
        return None


class Door:
    """The socket at which the agent is asked; ``look`` gives its status of the moment."""

    def __init__(self, look: Callable[[], Status]) -> None:
        self._look = look
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> str:
        """Listen; return the address. ``port`` 0: any that is free. Raises ReeveError if it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST)
        except OSError as error:
            raise ReeveError(
                f"The agent cannot listen on {host} port {port}: {error.strerror}. "
                "Choose another --status-port."
            ) from error
        bound_host, bound_port = self._server.sockets[0].getsockname()[:2]
        return f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_READ_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                writer.write(self._answer(head))
                await writer.drain()
        writer.close()

    def _answer(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        method, target, *_ = [*request.split(" "), "", ""]
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        if not _is_own_name(headers.get("host", "localhost")):
            return _reply(403, "This agent does not answer to that name.\n")
        if method != "GET":
            return _reply(405, "Ask with GET.\n")
        page = _PAGES.get(target.partition("?")[0])
        if page is None:
            return _reply(404, f"There are: {' '.join(_PAGES)}\n")
        return page(self._look())


def _livez(_: Status) -> bytes:
    return _reply(200, "ok\n")


def _readyz(status: Status) -> bytes:
    why = status.unready
    return _reply(200, "ok\n") if why is None else _reply(503, f"{why}\n")


def _metrics(status: Status) -> bytes:
    return _reply(200, "\n".join([*metrics(status), ""]), "text/plain; version=0.0.4")


def _status(status: Status) -> bytes:
    body = msgspec.json.format(msgspec.json.encode(status), indent=2).decode()
    return _reply(200, f"{body}\n", "application/json")


_PAGES: dict[str, Callable[[Status], bytes]] = {
    "/livez": _livez,
    "/readyz": _readyz,
    "/metrics": _metrics,
    "/status": _status,
}


def metrics(status: Status) -> Iterator[str]:
    """Write a status as Prometheus reads it."""
    cpu = os.times()
    figures: tuple[tuple[str, str, str, float | None], ...] = (
        ("slots", "gauge", "Runs that it takes at once.", status.slots),
        ("slots_free", "gauge", "Of these, those that are free.", status.free),
        ("runs", "gauge", "Runs that it holds.", len(status.runs)),
        ("ready", "gauge", "Whether new runs are to be expected from it.", status.unready is None),
        ("paused", "gauge", "Whether it is paused.", status.mode is AgentMode.PAUSED),
        ("runs_ended_total", "counter", "Runs that have ended since its start.", status.ended),
        ("runs_failed_total", "counter", "Of these, those that did not exit with 0.", status.failed),
        ("spool_bytes", "gauge", "Disk that the output of its runs takes.", status.spool_bytes),
        ("spool_limit_bytes", "gauge", "Disk that it may take.", status.spool_limit),
        ("output_lost_bytes_total", "counter", "Output of ended runs that found no room.", status.lost_bytes),
        ("polls_total", "counter", "Polls that were answered.", status.polls),
        ("seconds_since_poll", "gauge", "Since a poll was answered last.", status.since_poll),
        ("cpu_seconds_total", "counter", "CPU time of the agent's process.", cpu.user + cpu.system),
        ("memory_bytes", "gauge", "Resident memory of the agent's process.", resident_bytes()),
    )
    for name, kind, says, value in figures:
        if value is not None:
            yield f"# HELP reeve_agent_{name} {says}"
            yield f"# TYPE reeve_agent_{name} {kind}"
            yield f"reeve_agent_{name} {float(value):.12g}"


def resident_bytes() -> int:
    """Return the memory of this process that is not swapped out."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # as cheap as it gets
        return int(file.read().split()[1]) * _PAGE


def _is_own_name(netloc: str) -> bool:
    host = netloc.rpartition("]")[0].lstrip("[") if netloc.startswith("[") else netloc.partition(":")[0]
    if host.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return bool(ip_address(host))
    return False


_WORDS = {
    200: "OK",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


def _reply(status: int, body: str, media: str = "text/plain; charset=utf-8") -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: {media}\r\nContent-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + content
