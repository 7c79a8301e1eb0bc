"""The process driver: every run is a child of a shim, which outlives the agent (design §6, protocol §9)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from reeve.drivers.base import (
    Capability,
    ExitRecord,
    Found,
    Handle,
    Launch,
    NotLaunchedError,
    Observation,
    Renewal,
    Status,
)
from reeve.drivers.process import host, messages, orders, spool, start, tree
from reeve.drivers.process.link import Link, LinkLostError, RefusedError
from reeve.errors import ConflictError, ReeveError

SHIM_KILLED = "the shim was killed; its runs ended with it"
HOST_RESTARTED = "the machine was restarted; its runs ended with it"
CONTAINER_GONE = "the container of the agent was replaced; its runs ended with it"

_DETAILS = ("boot_id", "pid_namespace", "pid", "start_time", "forked")  # of a handle
_RETRIES = 5  # launches that a dying or retiring shim may cost before the attempt is given up
_BUSY_SECONDS = 0.05  # between two looks at a shim that is just starting or ending
_AGAIN_SECONDS = 1.0  # before a shim is looked for again that could not be

log = logging.getLogger("reeve.agent")


class ProcessDriver:
    """Runs as processes of this machine. Directories: ``shim/<key>`` per environment, ``spool/<attempt>``.

    ``idle_seconds`` is how long a shim without runs and agents stays.
    """

    name = "process"
    kinds = frozenset({"process"})
    capabilities = frozenset(Capability)

    def __init__(self, home: Path, *, idle_seconds: float = 60) -> None:
        self._shims = home.absolute() / "shim"
        self._spool = home.absolute() / "spool"
        self._idle_seconds = idle_seconds
        self._key = start.environment_key()
        self._first = self._shims / self._key  # of this environment; there is another when it retires
        self._links: dict[Path, Link] = {}
        self._watches: dict[Path, asyncio.Task[None]] = {}  # of each link: what follows when it is lost
        self._holders: dict[UUID, Path] = {}  # the shim that holds a running attempt
        self._records: dict[UUID, ExitRecord] = {}  # told, not acknowledged
        self._details: dict[UUID, str] = {}  # why an end is not reached
        self._exits: asyncio.Queue[ExitRecord | None] = asyncio.Queue()
        self._starting = asyncio.Lock()
        self._room: Callable[[], int] | None = None  # how much more may be written; None: nobody minds
        self._sharing = asyncio.Lock()

    # --- the contract

    async def launch(self, launch: Launch) -> Handle:
        """Launch an attempt; see Driver.launch."""
        order = self._order(launch)
        for _ in range(_RETRIES):
            directory, link = await self._current()
            self._holders.setdefault(launch.attempt, directory)
            try:
                answer = await link.ask("launch", **order)
            except LinkLostError:
                await self._settle(directory)
                if self._read_exit(launch.attempt):  # the shim died with it
                    return self._handle(launch.attempt)
            except RefusedError as refusal:
                if self._holders.get(launch.attempt) == directory:
                    del self._holders[launch.attempt]
                if handle := await self._on_refusal(launch.attempt, link, refusal):
                    return handle
            else:
                if "exit" in answer:
                    self._records.pop(launch.attempt, None)  # told again: perhaps nobody knew the run
                    self._hear(answer["exit"])
                return _to_handle(answer["handle"])
        self._holders.pop(launch.attempt, None)
        raise NotLaunchedError(f"No shim stays alive. See the logs in {self._shims}.")

    async def _on_refusal(self, attempt: UUID, link: Link, refusal: RefusedError) -> Handle | None:
        """Return the handle of an attempt that was launched before; None: ask the next shim."""
        if refusal.reason == "retiring":
            link.greeting["retiring"] = True
            return None
        if refusal.reason == "launched_elsewhere":
            await self.recover()
            return self._handle(attempt)
        raise NotLaunchedError(refusal.message) from refusal

    async def observe(self, handles: Sequence[Handle]) -> list[Observation]:
        """Return what is known of each attempt; see Driver.observe."""
        details = dict(self._details)
        for link in list(self._links.values()):
            with contextlib.suppress(ReeveError):  # a lost link: its shim is being looked for
                known = await link.ask("list")
                details |= {UUID(run["attempt"]): run["detail"] for run in known["runs"]}
        return [self._observe(handle.attempt, details) for handle in handles]

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Order the end of an attempt; see Driver.stop."""
        while directory := self._holders.get(handle.attempt):
            try:
                link = self._links.get(directory)
                if link:
                    await link.ask("stop", attempt=str(handle.attempt), grace_seconds=grace_seconds)
                    return
            except LinkLostError:
                pass
            await self._settle(directory)

    async def recover(self) -> list[Found]:
        """Return what earlier agents have launched; see Driver.recover."""
        for directory in _folders(self._shims):
            link = self._links.get(directory) or await self._find(directory, tell=False)
            if link and not directory.name.startswith(self._key):  # of another environment: an upgrade
                with contextlib.suppress(ReeveError):
                    await link.ask("retire")
        attempts = [attempt for folder in _folders(self._spool) if (attempt := _attempt_of(folder))]
        await self._bury([one for one in attempts if one not in self._holders], SHIM_KILLED, tell=False)
        return [found for one in attempts if (found := self._found(one))]

    async def exits(self) -> AsyncIterator[ExitRecord]:
        """Yield exits; see Driver.exits."""
        while record := await self._exits.get():
            yield record

    async def acknowledge(self, attempts: Collection[UUID]) -> None:
        """Let the shim forget exit records; see Driver.acknowledge."""
        for attempt in attempts:
            self._records.pop(attempt, None)
        await self._tell_all("acknowledge", attempts=[str(attempt) for attempt in attempts])

    async def discard(self, attempts: Collection[UUID]) -> None:
        """Delete the spool of ended attempts; see Driver.discard."""
        if running := self._holders.keys() & attempts:
            raise ConflictError(f"Attempt {min(running)} still runs: its spool cannot be discarded.")
        await asyncio.to_thread(_remove, [self._directory(attempt) for attempt in attempts])

    async def renewed(self, attempts: Collection[UUID], *, sent_at: float, lease_seconds: float) -> None:
        """Spare the shim a renewal; see Driver.renewed."""
        ids = [str(attempt) for attempt in attempts]
        await self._tell_all("renewed", attempts=ids, sent_at=sent_at, lease_seconds=lease_seconds)

    async def bound_output(self, room: Callable[[], int]) -> int:
        """Share what there is of room among the shims; see Driver.bound_output."""
        self._room = room
        return await self._share_room()

    async def retire(self) -> None:
        """Have all shims end with their last run; see Driver.retire."""
        await self._tell_all("retire")

    async def close(self) -> None:
        """Hang up; see Driver.close."""
        self._exits.put_nowait(None)
        for watch in self._watches.values():
            watch.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)
        for link in list(self._links.values()):
            await link.close()
        self._links.clear()

    # --- shims

    async def _current(self) -> tuple[Path, Link]:
        """Return a shim of this environment that takes launches; start one when there is none."""
        async with self._starting:
            directory = self._first
            for number in itertools.count(2):
                link = self._links.get(directory) or await self._open(directory)
                if not link.greeting["retiring"]:
                    return directory, link
                directory = self._shims / f"{self._key}.{number}"
            raise AssertionError

    async def _open(self, directory: Path) -> Link:
        """Return the shim of a directory, started if need be."""
        for _ in range(_RETRIES):
            await asyncio.to_thread(start.start, directory, self._idle_seconds)
            if link := await self._find(directory, tell=True):
                return link
        raise NotLaunchedError(f"The shim does not stay alive. See {directory / messages.LOG}.")

    async def _find(self, directory: Path, *, tell: bool) -> Link | None:
        """Connect to the shim of a directory and learn what it holds; None when none lives there."""
        while True:
            with contextlib.suppress(LinkLostError, BlockingIOError):
                if line := start.connect(directory):
                    link = await Link.open(line, self._hear)
                    await self._learn(directory, link, tell=tell)
                    return link
            if not start.is_alive(directory):
                return None
            await asyncio.sleep(_BUSY_SECONDS)

    async def _learn(self, directory: Path, link: Link, *, tell: bool) -> None:
        known = await link.ask("list")
        self._links[directory] = link
        self._watches[directory] = asyncio.create_task(self._watch(directory, link))
        for attempt in (UUID(run["attempt"]) for run in known["runs"]):
            if attempt not in self._records:  # its exit may have overtaken this answer
                self._holders[attempt] = directory
        for record in known["ended"]:
            self._hear(record, tell=tell)
        await self._share_room()

    async def _watch(self, directory: Path, link: Link) -> None:
        """When a link is lost: find the shim again, or see to what a dead one has left."""
        await link.lost.wait()
        del self._links[directory]
        while True:
            try:
                await self._replace(directory)
            except OSError as error:  # no file left, perhaps: nobody else will see these runs end
                log.error("The shim in '%s' cannot be looked for, trying again: %s", directory, error)  # noqa: TRY400  # its sentence says it all
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _replace(self, directory: Path) -> None:
        if await self._find(directory, tell=True) is None:
            held = [attempt for attempt, holder in self._holders.items() if holder == directory]
            await self._bury(held, SHIM_KILLED, tell=True)

    async def _settle(self, directory: Path) -> None:
        """Wait until a lost link is replaced, or its runs are buried."""
        if watch := self._watches.get(directory):
            await asyncio.shield(watch)

    async def _tell_all(self, do: str, **fields: Any) -> None:
        for link in list(self._links.values()):
            with contextlib.suppress(ReeveError):  # a lost shim needs to be told nothing
                await link.ask(do, **fields)

    async def _share_room(self) -> int:
        """Tell each shim up to which of its bytes it may write; return how many found no room so far.

        Each says first how far it is; how far it has come since, its files tell, just before all are looked
        at: what is written in between counts twice rather than not at all. Two that share at once would
        give away more than there is.
        """
        if self._room is None:
            return 0
        async with self._sharing:
            told: dict[Link, dict[str, Any]] = {}
            for link in list(self._links.values()):
                with contextlib.suppress(ReeveError):  # lost, or of a release that knows no bound
                    told[link] = await link.ask("room")
            so_far = {
                link: known["written"]
                + sum(self._length(UUID(attempt)) - size for attempt, size in known["outputs"].items())
                for link, known in told.items()
            }
            room = self._room()
            for link, written in so_far.items():
                with contextlib.suppress(ReeveError):
                    await link.ask("room", until=written + room // len(so_far))
        return sum(known["dropped"] for known in told.values())

    # --- attempts

    def _order(self, launch: Launch) -> dict[str, Any]:
        if not launch.job.command:
            raise NotLaunchedError("The job names no command. Set 'command' in its job variables.")
        attempt, directory = str(launch.attempt), self._directory(launch.attempt)
        env = {
            **launch.env,
            tree.MARK: attempt,
            "REEVE_RECORDS": f"{directory}/{spool.RECORDS}",
            "REEVE_RECORDS_QUOTA": str(launch.output_quota),
        }
        return {
            "attempt": attempt,
            "argv": launch.job.command,
            "env": _joined(env),
            "cwd": launch.job.working_dir or _working_directory(directory),
            "spool_dir": directory,
            "grace_seconds": launch.job.grace_seconds,
            "output_quota": launch.output_quota,
            "max_seconds": launch.max_seconds,
            "template": start.template(launch.module, launch.env) if launch.module else None,
            "lease": msgspec.to_builtins(launch.lease) if launch.lease else None,
            "renew": _door(launch.renewal) if launch.renewal else None,
        }

    def _directory(self, attempt: UUID) -> str:
        return f"{self._spool}/{attempt}"  # a Path costs 20 times that

    def _length(self, attempt: UUID) -> int:
        """Return how many bytes a run has written, as its files tell."""
        return spool.length(self._directory(attempt))

    def _handle(self, attempt: UUID) -> Handle:
        """Return the handle as the spool has it; its pid is 0 when the shim died before it wrote one."""
        directory = self._directory(attempt)
        unknown = {"host": "", "pid": 0, "start_time": 0, "attempt": str(attempt)}
        return _to_handle({**unknown, **(spool.read(directory) or {}), "spool_dir": directory})

    def _hear(self, record: dict[str, Any], *, tell: bool = True) -> None:
        """Take an exit record, once."""
        heard = msgspec.convert(record, ExitRecord)
        self._holders.pop(heard.attempt, None)
        self._details.pop(heard.attempt, None)
        if heard.attempt in self._records:
            return
        self._records[heard.attempt] = heard
        if tell:
            self._exits.put_nowait(heard)

    def _observe(self, attempt: UUID, details: dict[UUID, str]) -> Observation:
        if attempt in self._holders:
            detail = details.get(attempt) or None
            return Observation(attempt=attempt, status=Status.RUNNING, detail=detail)
        if record := self._records.get(attempt) or self._read_exit(attempt):
            return Observation(attempt=attempt, status=Status.ENDED, exit=record)
        return Observation(attempt=attempt, status=Status.UNKNOWN)

    def _found(self, attempt: UUID) -> Found | None:
        if attempt in self._holders:
            return Found(attempt=attempt, handle=self._handle(attempt), exit=None)
        record = self._records.get(attempt) or self._read_exit(attempt)
        if record is None:
            return None
        handle = self._handle(attempt) if record.launched else None
        return Found(attempt=attempt, handle=handle, exit=record)

    def _read_exit(self, attempt: UUID) -> ExitRecord | None:
        record = spool.read_exit(self._directory(attempt))
        return msgspec.convert(record, ExitRecord) if record else None

    # --- what a dead shim has left

    async def _bury(self, attempts: Iterable[UUID], why: str, *, tell: bool) -> None:
        """End whatever is left of attempts that no shim holds, and record their end.

        The kernel kills the main processes with their shim; what they have started may survive.
        """
        here = host.identify()
        left: dict[str, tuple[int, int]] = {}
        for attempt in attempts:
            launched = spool.read(self._directory(attempt))
            if launched is None:
                self._holders.pop(attempt, None)
            elif "record" in launched:
                self._hear(launched["record"], tell=tell)
            elif gone := _gone_with(here, launched):
                self._close_record(attempt, gone, tell=tell)
            else:
                left[str(attempt)] = (launched.get("pid", 0), launched.get("start_time", 0))
        await self._kill_all(left, why, tell=tell)

    async def _kill_all(self, left: dict[str, tuple[int, int]], why: str, *, tell: bool) -> None:
        pause = 0.02
        while left:
            census = await asyncio.to_thread(tree.census, left)
            for attempt, members in census.items():
                if members:
                    self._details[UUID(attempt)] = _kill(members)
                else:
                    del left[attempt]
                    self._close_record(UUID(attempt), why, tell=tell)
            if left:
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)

    def _close_record(self, attempt: UUID, why: str, *, tell: bool) -> None:
        record = {
            "attempt": str(attempt),
            "launched": True,
            "gone": True,
            "message": why,
            "ended_at": time.time(),
        }
        with contextlib.suppress(OSError):  # a full disk: the next agent will find the same again
            spool.settle_exit(spool.add_exit(self._directory(attempt), messages.exited(record)))
        self._hear(record, tell=tell)


def _to_handle(known: dict[str, Any]) -> Handle:
    return Handle(
        driver=ProcessDriver.name,
        attempt=UUID(known["attempt"]),
        infrastructure_pid=f"{known['host']}:{known['pid']}",  # A116
        output_dir=Path(known["spool_dir"]),
        details={name: known.get(name) for name in _DETAILS},
    )


def _joined(env: dict[str, str]) -> str:
    try:
        return orders.joined(env)
    except ValueError as error:
        raise NotLaunchedError(f"The command or its environment cannot be passed on: {error}.") from error


def _working_directory(directory: str) -> str:
    """Make the working directory of a run that named none (A112); it goes when the spool is discarded."""
    work = f"{directory}/{spool.WORK}"
    try:
        spool.make(directory)
        spool.make(work)
    except OSError as error:
        raise NotLaunchedError(f"The spool '{directory}' cannot be written: {error.strerror}.") from error
    return work


def _door(renewal: Renewal) -> dict[str, Any]:
    """Take the address apart for the shim, which has no module for that."""
    return {**_address(renewal.url), "token": renewal.token}


@lru_cache(16)  # of one server, as a rule
def _address(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotLaunchedError(f"Leases cannot be renewed at '{url}': give an http or https address.")
    tls = parts.scheme == "https"
    return {
        "host": parts.hostname,
        "port": parts.port or (443 if tls else 80),
        "tls": tls,
        "path": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    }


def _gone_with(here: dict[str, Any], intent: dict[str, Any]) -> str | None:
    """Say what has ended an attempt for certain: another boot, or a pid namespace that is no more."""
    if intent.get("boot_id", here["boot_id"]) != here["boot_id"]:
        return HOST_RESTARTED
    if intent.get("pid_namespace", here["pid_namespace"]) != here["pid_namespace"]:
        return CONTAINER_GONE
    return None


def _kill(members: list[tree.Process]) -> str:
    """Kill what is left; return who may resist."""
    for process in members:
        with contextlib.suppress(PermissionError):  # another user's; the description says so
            tree.send(process, signal.SIGKILL)
    return f"still there after SIGKILL: {tree.describe(members)}"


def _remove(directories: Iterable[str]) -> None:
    """Remove directories; those of runs that wrote nothing without looking, which would cost twice that."""
    for directory in directories:
        try:
            spool.remove(directory)
        except OSError:  # there is more
            shutil.rmtree(directory, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return sorted(one for one in parent.iterdir() if one.is_dir()) if parent.is_dir() else []


def _attempt_of(folder: Path) -> UUID | None:
    """Return the attempt of a spool directory, None for one in which nothing was launched."""
    try:
        attempt = UUID(folder.name)
    except ValueError:
        return None
    return attempt if (folder / spool.LAUNCH).exists() else None
