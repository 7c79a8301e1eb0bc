"""Find the shims of an agent's home, and start one (protocol §9)."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from reeve.drivers.base import NotLaunchedError
from reeve.drivers.process import messages

_START_SECONDS = 30  # a cold start on a busy machine takes one or two
# What the shim itself may need from the agent's environment; its runs get theirs with each order.
_PASSED_ON = ("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")
# What acts when an interpreter, its libc or its linker starts, or decides where it finds its modules. It is a
# template's own, so a run with other values of these has another template.
_AT_START = (
    "HOME",
    "LANG",
    "LANGUAGE",
    "PATH",
    "TZ",
    "TZDIR",
    "GLIBC_TUNABLES",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
)
_AT_START_PREFIXES = ("LC_", "LD_", "MALLOC_", "PYTHON")


def template(module: str, env: Mapping[str, str]) -> str:
    """Return what a template is started with that may fork runs with this environment: JSON, argv and env."""
    return _template(module, tuple(one for one in env.items() if _acts_at_start(one[0])))


@lru_cache(16)
def _template(module: str, acting: tuple[tuple[str, str], ...]) -> str:
    argv = [sys.executable, "-m", "reeve.drivers.process.template", module]
    return json.dumps({"argv": argv, "env": dict(acting)}, sort_keys=True)


@lru_cache(1024)
def _acts_at_start(name: str) -> bool:
    return name in _AT_START or name.startswith(_AT_START_PREFIXES)


def environment_key() -> str:
    """Return what a shim is tied to, as 16 letters: interpreter, distributions, its own code."""
    here = Path(__file__).parent
    parts = [sys.version, sys.prefix, sys.executable, *sorted(_distributions())]
    for file in sorted(here.glob("*.py")):
        status = file.stat()
        parts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def _distributions() -> set[str]:
    """Return name and version of what is installed, as the directories of its metadata are called."""
    found: set[str] = set()
    for folder in filter(os.path.isdir, sys.path):
        with os.scandir(folder) as entries:
            found.update(one.name for one in entries if one.name.endswith((".dist-info", ".egg-info")))
    return found


def connect(directory: Path) -> socket.socket | None:
    """Return a socket to the shim that lives in a directory, or None when none does."""
    try:
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        return _connected(
            f"/proc/self/fd/{folder}/{messages.SOCKET}"
        )  # its own path may be too long: 107 bytes
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    finally:
        os.close(folder)


def _connected(path: str) -> socket.socket:
    """Return a socket; BlockingIOError when the queue of who listens is full: it lives, and is busy."""
    line = socket.socket(socket.AF_UNIX)
    try:
        line.setblocking(False)
        line.connect(path)
    except OSError:
        line.close()
        raise
    return line


def is_alive(directory: Path) -> bool:
    """Whether a shim holds the lock of a directory; it does from before its first run until it is gone."""
    try:
        lock = os.open(directory / messages.LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def start(directory: Path, idle_seconds: float) -> None:
    """Start a shim in a directory, unless one lives there; return when it listens.

    Raises NotLaunchedError with what the shim said.
    """
    program = Path(__file__).with_name("__main__.py")
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        started = subprocess.run(
            [sys.executable, "-I", "-S", str(program), str(directory), str(idle_seconds)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotLaunchedError(f"The shim could not be started: {error}.") from error
    said = started.stdout.decode(errors="replace").strip()
    if said not in ("ready", "busy"):
        problem = said or started.stderr.decode(errors="replace").strip()[-1000:] or "it said nothing"
        raise NotLaunchedError(f"The shim could not be started: {problem}")
