"""Who this agent is, and the one directory it lives in (protocol §6).

``<home>/agents/machine``                  the machine this home belongs to
``<home>/agents/<machine id>/<name>/``     one agent: ``lock``, ``agent.json``, its journal, its runs
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

import msgspec

from reeve.errors import InvalidInputError, ReeveError

_ETC_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[^/\0]{1,100}")  # it becomes the name of a directory


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An agent on its machine; ``id`` outlives the process, ``boot_id`` is new with each boot."""

    id: UUID
    name: str
    host: str
    machine_id: str
    boot_id: str
    directory: Path


class _Stored(msgspec.Struct, kw_only=True):
    id: UUID


@contextmanager
def occupy(home: Path, name: str | None, machine_id: str | None = None) -> Iterator[Identity]:
    """Be the agent ``name`` (default: the host's name) of a home, alone, until the block ends.

    ``machine_id`` is this machine's own, read from the system unless given. Raises InvalidInputError for a
    name that cannot be used, ReeveError for a home of another machine, and for a name that another process
    of this home holds.
    """
    host = socket.gethostname()
    name = host if name is None else name
    if not _NAME.fullmatch(name) or name.startswith("."):
        message = f"An agent cannot be called {name!r}: 1 to 100 characters, no '/', no '.' in front."
        raise InvalidInputError(message, field="name")
    with ExitStack() as lock:
        try:
            stamp = _stamp(home, machine_id or _read_machine_id())
            directory = home / "agents" / stamp / name
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.enter_context(_lock(directory / "lock", name))
            identity = Identity(
                id=_agent_id(directory / "agent.json"),
                name=name,
                host=host,
                machine_id=stamp,
                boot_id=_BOOT_ID.read_text().strip(),
                directory=directory,
            )
        except OSError as error:
            message = f"The home {home} cannot be used: {error}. Name another with REEVE_HOME."
            raise ReeveError(message) from error
        yield identity


def _stamp(home: Path, machine_id: str | None) -> str:
    """Return the machine's id as it stands in the home, left there now by the first who comes."""
    stamp = home / "agents" / "machine"
    stamped = stamp.read_text().strip() if stamp.exists() else None
    if stamped is None:
        # A container may have no id of its own; the home is then what stays the same.
        stamped = machine_id or uuid4().hex
        stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_whole(stamp, f"{stamped}\n".encode())
    if machine_id not in {stamped, None}:
        raise ReeveError(
            f"The home {home} belongs to the agents of another machine ({stamped}). Give this machine a home "
            f"of its own with REEVE_HOME; or, if that machine is gone for good, remove {stamp}."
        )
    return stamped


def _read_machine_id() -> str | None:
    try:
        text = _ETC_MACHINE_ID.read_text().strip()
    except OSError:
        return None
    return text if _MACHINE_ID.fullmatch(text) else None  # machine-id(5): it may say "uninitialized"


def _lock(path: Path, name: str) -> IO[str]:
    lock = path.open("a")  # held until closed; a process that is killed closes it too
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        message = f"An agent named '{name}' runs already from this home. Stop it, or choose another --name."
        raise ReeveError(message) from None
    return lock


def _agent_id(path: Path) -> UUID:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Stored).id
    except FileNotFoundError:
        stored = _Stored(id=uuid4())
        _write_whole(path, msgspec.json.encode(stored))
        return stored.id
    except msgspec.DecodeError as error:
        message = f"{path} is damaged ({error}). Remove it: the agent then starts under a new id."
        raise ReeveError(message) from error


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
