"""The same program against a real 2.20 server and against reeve, exchange by exchange (scripts/interop)."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.acceptance.house import PATIENCE, free_port, until
from tests.interop.compare import Answers, answers, differences
from tests.interop.guests import PROGRAMS, GuestHouse, environ, environment
from tests.interop.proxy import recording

# What is meant to differ, each with its reason; those of consequence have a line in
# docs/guides/compatibility.md. A pattern is looked for in "PROGRAM: METHOD PATH: difference".
INTENDED: dict[str, str] = {
    r" GET /api/admin/version": "each says its own version",
    r" GET /api/block_types/slug/": "the words and pictures of 2.20's own block types are its authors'",
    r" GET /api/block_schemas/checksum/": "schemas of blocks come from the client, which brings them",
    r" (POST /api/block_schemas/|PATCH /api/block_types/<id>): asked of ours alone": "the same",
    r" \.body(\[\])?\.run_count is 1, theirs 2": "a pause is no retry",
    r"set_state: \.body\.state\.state_details\.transition_id": "a repeated proposal is judged once",
    r"\.body\.exception_detail\[\]\.(msg|type|ctx)": "the sentences of a 422 are reeve's own",
    r" POST /api/v2/concurrency_limits/increment: \.body\.detail": "says which limit is full",
    r" POST /api/work_pools/: \.body\.(detail|code)": "a refusal has reeve's words and code",
}
LONGEST = (
    600  # seconds: 2.20 answers slowly, and waits for its locked database; reached when something is broken
)
# What is run against both, in this order: what is made by one is found by the next.
SCENES = ("deployments", "schedules", "runs", "work", "limits", "artifacts", "others", "badly")
STATIONS = (
    *("flows", "deployments", "schedules", "flow_runs", "inputs", "task_runs", "work", "limits", "blocks"),
    *("artifacts", "variables", "logs", "notifications", "saved_searches", "templates", "experimental"),
    *("conventions", "database"),
)
RUNS = (
    *(("direct.py",), ("blocks.py",)),
    *(("scenario.py", part) for part in SCENES),
    *(("tour.py", part) for part in STATIONS),
)


def test_the_two_servers_answer_alike(tmp_path: Path, sqlite_url: str) -> None:
    with their_server(tmp_path / "theirs") as port:
        theirs = [record(run, tmp_path / "theirs" / "client", port) for run in RUNS]
    with our_server(tmp_path / "ours", sqlite_url) as port:
        ours = [record(run, tmp_path / "ours" / "client", port) for run in RUNS]
    found = []
    for run, their, our in zip(RUNS, theirs, ours, strict=True):
        assert not their.complaint, f"the program itself is wrong: {run}\n{their.complaint}"
        lines = [*differences(their.answers, our.answers), *our.complaint.splitlines()[-3:]]
        found += [f"{' '.join(run)}: {line}" for line in dict.fromkeys(lines)]
    unknown = [line for line in found if not any(re.search(pattern, line) for pattern in INTENDED)]
    assert not unknown, f"{len(unknown)} differences:\n" + "\n".join(unknown)


@dataclass(frozen=True)
class Record:
    """What a server answered to a program, and what the program said if it failed."""

    answers: Answers
    complaint: str


def record(run: tuple[str, ...], directory: Path, port: int) -> Record:
    """Run a program in a directory against the server at a port."""
    home = directory / "home"
    home.mkdir(parents=True, exist_ok=True)
    program, *args = run
    with recording(port) as (proxy_port, exchanges):
        done = subprocess.run(
            [environment() / "python", PROGRAMS / program, *args],
            env=environ(home, f"http://127.0.0.1:{proxy_port}/api", None),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    places = {str(directory): "<directory>", f":{proxy_port}": ":<port>", f":{port}": ":<port>"}
    return Record(answers(exchanges, places), done.stdout if done.returncode else "")


@contextmanager
def our_server(root: Path, database_url: str) -> Iterator[int]:
    """Start reeve; give its port."""
    house = GuestHouse(root, database_url, open_door=True)
    try:
        house.start_server("--open", "--allow-reset")
        yield house.port
    finally:
        house.close()


@contextmanager
def their_server(root: Path) -> Iterator[int]:
    """Start a server of 2.20 on a database of its own; give its port."""
    root.mkdir()
    port = free_port()
    home = root / "server"
    home.mkdir()
    with (root / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [environment() / "prefect", "server", "start", "--port", str(port)],
            env=environ(home, f"http://127.0.0.1:{port}/api", None)
            | {"PREFECT_SERVER_ANALYTICS_ENABLED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until("the 2.20 server", lambda: answers_at(port) or server.poll() is not None)
        assert server.poll() is None, (root / "server.log").read_text()
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)


def answers_at(port: int) -> bool:
    """Whether a server of the dialect serves at a port."""
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/api/health", timeout=5).is_success
    except httpx2.TransportError:
        return False
