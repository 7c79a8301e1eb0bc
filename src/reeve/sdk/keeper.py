"""The process that keeps the attempts of its parent: renews their leases, and tells the server of its death.

``python -m reeve.sdk.keeper PID``, a child of the process PID. (A thread would do neither: code that
holds the GIL for longer than a lease would lose it, and who is killed tells nothing.)

Standard input: a line of JSON for each attempt to keep from now on, ``{"id": …, "url": …, "token": …}``, or
no more, ``{"id": …}``. Standard output: ``stop ID`` when the run is to be cancelled, ``over ID`` when its
attempt is held no more. It ends with its parent, when it has told the servers.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from uuid import UUID

from msgspec import Struct

from reeve.client.sync import Client
from reeve.errors import ReeveError
from reeve.wire import codec, endpoints, requests

_ANSWER_SECONDS = 5.0  # a renewal that takes longer is asked for again
_FIRST_SECONDS = 2.0  # until the server has said how long leases are
_AGAIN_SECONDS = 1.0  # after a renewal that failed
_TELL_SECONDS = 300.0  # how long it tries to tell of a death; by then the server has found out by itself
_RENEWALS = 4  # in a lease, so that it outlives three losses
_LOOK_SECONDS = 0.5  # where the kernel cannot say that a process has ended


class Line(Struct, omit_defaults=True):
    """An attempt to be kept at the server ``url``; without a token, to be kept no more."""

    id: UUID
    url: str = ""
    token: str | None = None


class Keeper:
    """What is kept for the process ``parent``."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._clients: dict[str, Client] = {}
        self._kept: dict[str, dict[UUID, str]] = {}  # tokens, by server
        self._told: set[UUID] = set()
        self._rest = b""
        self._next = 0.0
        self._poll = select.poll()
        self._poll.register(sys.stdin.fileno(), select.POLLIN)
        self._pidfd = _pidfd(parent)
        if self._pidfd is not None:
            self._poll.register(self._pidfd, select.POLLIN)

    def run(self) -> None:
        """Keep what is to be kept until the parent has ended."""
        os.set_blocking(sys.stdin.fileno(), False)
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(self._wait() * 1000)}
            if sys.stdin.fileno() in ready and not self._read():
                self._poll.unregister(sys.stdin.fileno())
            if self._pidfd in ready or os.getppid() != self._parent:
                self._read()
                self._tell_death()
                return
            if self._kept and time.monotonic() >= self._next:
                self._renew()

    def _wait(self) -> float:
        longest = 3600.0 if self._pidfd is not None else _LOOK_SECONDS
        return min(max(self._next - time.monotonic(), 0.0), longest) if self._kept else longest

    def _read(self) -> bool:
        """Take the lines that there are; False when no more will come."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(sys.stdin.fileno(), 65536):
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    self._take(codec.decode(line, Line))
            return False
        return True

    def _take(self, line: Line) -> None:
        if line.token is None:
            self._drop(line.id)
            self._told.discard(line.id)
            return
        if line.url not in self._kept:
            first = time.monotonic() + _FIRST_SECONDS
            self._next = min(self._next, first) if self._kept else first
        self._kept.setdefault(line.url, {})[line.id] = line.token

    def _drop(self, id_: UUID) -> None:
        for url, tokens in list(self._kept.items()):
            tokens.pop(id_, None)
            if not tokens:
                del self._kept[url]

    def _renew(self) -> None:
        waits = [self._renew_at(url, tokens) for url, tokens in list(self._kept.items())]
        self._next = time.monotonic() + min(waits)

    def _renew_at(self, url: str, tokens: dict[UUID, str]) -> float:
        """Renew what is kept at a server; return the seconds until the next time."""
        client = self._clients.setdefault(url, Client(url, timeout=_ANSWER_SECONDS, patience=0))
        kept = [requests.AttemptToken(id=id_, token=token) for id_, token in tokens.items()]
        try:
            said = client.call(endpoints.renew_attempts, requests.Renew(attempts=kept))
        except ReeveError:
            return _AGAIN_SECONDS
        for id_ in said.over:
            self._drop(id_)
            self._say("over", id_)
        for id_ in said.stop:
            self._say("stop", id_)
        return said.lease_seconds / _RENEWALS

    def _say(self, word: str, id_: UUID) -> None:
        if id_ in self._told:
            return
        self._told.add(id_)
        with contextlib.suppress(OSError):  # the parent is just ending
            os.write(sys.stdout.fileno(), f"{word} {id_}\n".encode())

    def _tell_death(self) -> None:
        cause = f"Its process (pid {self._parent} on {os.uname().nodename}) is gone and had not ended it."
        for url, tokens in self._kept.items():
            for id_, token in tokens.items():
                client = Client(url, token, timeout=_ANSWER_SECONDS, patience=_TELL_SECONDS)
                with client, contextlib.suppress(ReeveError):
                    client.call(endpoints.end_self_attempt, requests.EndAttempt(cause=cause), id=id_)


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that is readable when the process has ended; None where there is none to be had."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


if __name__ == "__main__":
    Keeper(int(sys.argv[1])).run()
