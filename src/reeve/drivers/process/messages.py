"""What shim and driver say to each other: one JSON object a line over a unix socket. Stdlib only.

Requests carry ``id`` and ``do``; the answer repeats the ``id`` with ``ok`` or ``error`` (``code``,
``message``). Events carry ``event``. The first request of a connection is ``hello``.

============== ===================================================== =======================================
do             fields                                                ok
============== ===================================================== =======================================
hello          protocol                                              protocol, host, pid, start_time, retiring
launch         attempt, argv, env (NAME=TEXT, a zero between two),   handle; exit too when it has ended
               cwd, spool_dir, grace_seconds, output_quota, lease
               (seconds, sent_at, margin_seconds, on_lost) or null,
               renew (host, port, tls, path, token) or null,
               template (JSON: argv, env) or null
stop           attempt, grace_seconds                                known: whether this shim holds it
list                                                                 runs (attempt, handle, ending, detail),
                                                                     ended: exit records not acknowledged
acknowledge    attempts
renewed        attempts, sent_at, lease_seconds
room           until: of ``written``, or null to ask only            written: bytes of output since its start;
                                                                     outputs: of these, of running attempts;
                                                                     until; dropped: bytes without room
retire                                                               fork no more, end with the last run
============== ===================================================== =======================================

Event ``exited``: ``record``. Times: ``sent_at`` in boot time; ``started_at``, ``ended_at`` in Unix time.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Files of a shim's directory.
LOCK = "lock"  # held as long as the shim lives
SOCKET = "socket"
LOG = "log"

PROTOCOL = 1
LONGEST_LINE = 16 * 1024 * 1024  # command and environment are at most a few MiB (ARG_MAX)


def speaks(protocol: object) -> bool:
    """Whether this side understands the other: one version apart at most."""
    return isinstance(protocol, int) and abs(protocol - PROTOCOL) <= 1


def encode(message: dict[str, Any]) -> bytes:
    """Return the message as its line; what is not UTF-8 travels as lone surrogates."""
    return json.dumps(message).encode() + b"\n"


def exited(record: dict[str, Any]) -> bytes:
    """Return the event of an end, which is also how the spool has it."""
    return encode({"event": "exited", "record": record})


class Lines:
    """Cuts what arrives into messages; ``decode`` makes an object of a line, or raises ValueError."""

    __slots__ = ("_decode", "_rest")

    def __init__(self, decode: Callable[[bytes], Any] = json.loads) -> None:
        self._decode = decode
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that are complete now. Raises ValueError for what is none."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        if len(rest) > LONGEST_LINE:
            raise ValueError("a message is too long")
        messages = [self._decode(bytes(line)) for line in lines]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("a message must be a JSON object")
        return messages
