"""The contract of a driver: how one kind of infrastructure is launched, observed, stopped, recovered.

A driver knows attempts, never flow runs, and nothing of the server. What it promises stands at each method.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from reeve.core.crashes import CrashReason, reason_of
from reeve.core.jobs import JobSpec
from reeve.errors import ReeveError

OUTPUT_QUOTA = 100 * 1024 * 1024  # bytes (protocol §7)


class NotLaunchedError(ReeveError):
    """The attempt was not launched, and nothing of it runs."""

    code = "not_launched"


class Capability(StrEnum):
    """What a driver can do beyond launching; the agent asks before it relies on it."""

    RENEWS_LEASES = "renews_leases"  # renews by itself while the agent is silent (protocol §3)
    OUTLIVES_AGENT = "outlives_agent"  # runs go on when the agent dies, and are found again
    PROVES_END = "proves_end"  # an exit record says truly that nothing is left (protocol §8)
    KEEPS_OUTPUT = "keeps_output"  # output lies in files of the handle's ``output_dir``
    BOUNDS_OUTPUT = "bounds_output"  # lets runs write no more there than it is told


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The lease an attempt is launched with. Durations in seconds; ``sent_at`` in boot time (protocol §3).

    ``sent_at`` is when the request was sent that the server answered with this lease.
    """

    seconds: float
    sent_at: float
    on_lost: Literal["wait", "replace"] = "wait"
    margin_seconds: float = 5


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """Where a driver may renew a lease by itself, and the attempt's token that proves its right to.

    One ``POST`` to ``url`` (http or https) with ``{"attempts": [{"id", "token"}]}`` is answered with
    ``{"lease_seconds", "stop": [ids]}``.
    """

    url: str
    token: str


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """An order to launch an attempt. ``env`` is the whole environment: nothing else is inherited.

    ``job.env`` is part of it and not read again. ``output_quota`` is bytes of both streams together, and
    again of records. What runs longer than ``max_seconds`` (of boot time, from its start) the driver ends by
    itself. ``module``: the command runs it with this very interpreter (``python -m MODULE``) and it has a
    ``main() -> int`` and ``warm()``, so that a driver may fork the run from a process that has imported it.
    """

    attempt: UUID
    job: JobSpec
    env: dict[str, str]
    lease: Lease | None = None
    renewal: Renewal | None = None
    output_quota: int = OUTPUT_QUOTA
    max_seconds: float | None = None
    module: str | None = None


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """The plain data with which a driver finds again what it launched.

    ``infrastructure_pid`` is what the wire calls it (``host:pid`` for a process, A116). ``output_dir`` holds
    files ``stdout`` and ``stderr`` that grow while it runs, and ``records`` if the run logs to a
    file. ``details`` are the driver's own.
    """

    driver: str
    attempt: UUID
    infrastructure_pid: str
    output_dir: Path | None = None
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class ExitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt. Either ``code`` or ``signal`` is known, or ``message`` says why not.

    Times are Unix time in seconds, memory in KiB. ``gone`` is proof that no process of it is left.
    ``stopped_by``: ``agent``, ``server`` (the answer to a renewal), ``lease`` (lost), ``shim`` (told to end),
    ``time`` (longer than ``Launch.max_seconds``).
    ``killed``: the driver itself sent SIGKILL. ``oom_kills``: how many processes of its own group the kernel
    ended for lack of memory just then; None: it cannot be told. ``leftovers``: processes that outlived the
    main one and were ended after it. Of the output, ``output_cut_bytes`` were beyond the quota,
    ``output_lost_bytes`` found no room on the disk, ``output_dropped_bytes`` none in the spool as a whole.
    """

    attempt: UUID
    launched: bool = True
    gone: bool = True
    code: int | None = None
    signal: int | None = None
    message: str | None = None
    stopped_by: str | None = None
    killed: bool = False
    leftovers: int = 0
    oom_kills: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    cpu_seconds: float | None = None
    max_rss_kib: int | None = None
    output_bytes: int = 0
    output_cut_bytes: int = 0
    output_lost_bytes: int = 0
    output_dropped_bytes: int = 0

    @property
    def status_code(self) -> int | None:
        """The exit code as 2.20 counts it: minus the number of the signal (A107); None when not known."""
        return -self.signal if self.signal else self.code


class Status(StrEnum):
    """How an attempt was found."""

    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"  # the driver never launched it, or can no longer tell


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver sees of an attempt now. ``detail`` says what holds up its end, for people."""

    attempt: UUID
    status: Status
    exit: ExitRecord | None = None
    detail: str | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that ``recover`` came upon: it runs when ``exit`` is None. No handle: not launched."""

    attempt: UUID
    handle: Handle | None
    exit: ExitRecord | None


class Driver(Protocol):
    """One kind of infrastructure, made with the directory in which it may keep its files."""

    name: str
    kinds: frozenset[str]  # types of infrastructure blocks, and of work pools, whose runs it launches
    capabilities: frozenset[Capability]

    def __init__(self, home: Path) -> None: ...

    async def launch(self, launch: Launch) -> Handle:
        """Launch an attempt, at most once however often it is asked for; return when it is under way.

        A repeat returns the same handle, also when the attempt has ended. Raises NotLaunchedError, with a
        sentence for the user, when nothing was started.
        """

    async def observe(self, handles: Sequence[Handle]) -> list[Observation]:
        """Return what is known now of each of many attempts, in their order."""

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Order the end of an attempt: asked first, killed after the grace period; return at once.

        The proof is the exit record. A repeat may shorten the grace period. An ended attempt is no error.
        """

    async def recover(self) -> list[Found]:
        """Return every attempt of earlier agents that runs or has ended, until it is discarded.

        Exits of the running ones come through ``exits`` from now on.
        """

    def exits(self) -> AsyncIterator[ExitRecord]:
        """Yield each exit as soon as it is proven, until the driver is closed.

        Told again to the next agent until it is acknowledged. For one consumer.
        """

    async def acknowledge(self, attempts: Collection[UUID]) -> None:
        """Take note that the agent needs no more to be told how these have ended."""

    async def discard(self, attempts: Collection[UUID]) -> None:
        """Delete what is kept of ended attempts: their output and their exit records."""

    async def renewed(self, attempts: Collection[UUID], *, sent_at: float, lease_seconds: float) -> None:
        """Take note that the server has acknowledged a renewal of these leases, sent at this boot time."""

    async def bound_output(self, room: Callable[[], int]) -> int:
        """Let all runs together write at most ``room()`` bytes more to their output, until told again.

        What finds no room is dropped and counted, and the runs go on. ``room`` looks at the files; it is
        called again for a helper that is started later. The bound holds on when the agent is gone. Return
        how many bytes were dropped so far, by the helpers that live.
        """

    async def retire(self) -> None:
        """Launch no more; helpers that the driver has started end with their last run."""

    async def close(self) -> None:
        """Let go; runs of a driver that outlives its agent go on. Twice is fine."""


# What a signal says about a run that nobody stopped.
_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "killed by SIGKILL (kill -9 or out of memory)",
    signal.SIGTERM: "ended by SIGTERM, which reeve did not send",
    signal.SIGINT: "interrupted by SIGINT (Ctrl-C)",
    signal.SIGSEGV: "crashed with SIGSEGV (a fault in compiled code)",
    signal.SIGBUS: "crashed with SIGBUS (a fault in compiled code, or a full disk under a memory map)",
    signal.SIGABRT: "aborted itself with SIGABRT (often an assertion in compiled code)",
    signal.SIGXCPU: "ended by SIGXCPU (its limit of CPU time)",
}
_STOPPERS = {
    "agent": "it was told to stop",
    "server": "the server told it to stop",
    "lease": "its lease was lost",
    "shim": "the shim was told to end",
    "time": "it ran longer than its limit",
}


def cause(record: ExitRecord) -> str:
    """Say in words how an attempt ended, as half a sentence: "exited with code 3"."""
    if record.message:
        return record.message
    if record.stopped_by:
        why = _STOPPERS.get(record.stopped_by, record.stopped_by)
        if record.killed:
            return f"killed after the grace period, since {why}"
        return f"{_plain_end(record)} after {why}"
    if record.signal == signal.SIGKILL and record.oom_kills is not None:
        return _killed(record.oom_kills, record.max_rss_kib)
    if record.signal is not None:
        return _SIGNALS.get(record.signal) or f"killed by {_signal_name(record.signal)}"
    return _plain_end(record)


def crash_reason(record: ExitRecord) -> CrashReason:
    """Return the kind of an end that nobody wanted."""
    if record.stopped_by in {"agent", "shim"}:
        return CrashReason.AGENT_STOPPED
    if record.stopped_by == "lease":
        return CrashReason.AGENT_LOST
    if record.signal == signal.SIGKILL and record.oom_kills and not record.killed:
        return CrashReason.OUT_OF_MEMORY
    return reason_of(record.code, record.signal)


def crash_message(status_code: int) -> str:
    """Return the message of the Crashed state that a run gets for an exit code other than 0 (A105)."""
    return f"Flow run infrastructure exited with non-zero status code {status_code}."


def _killed(oom_kills: int, max_rss_kib: int | None) -> str:
    if not oom_kills:
        return "killed by SIGKILL (kill -9; the kernel ended none of its group for lack of memory)"
    peak = f" at {max_rss_kib // 1024} MiB" if max_rss_kib else ""
    return f"killed out of memory{peak} (SIGKILL of the kernel)"


def _plain_end(record: ExitRecord) -> str:
    if record.signal is not None:
        return f"ended by {_signal_name(record.signal)}"
    return "ended, nobody saw how" if record.code is None else f"exited with code {record.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal
