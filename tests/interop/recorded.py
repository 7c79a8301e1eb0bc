"""The same program against a real 2.20 server and against reeve, exchange by exchange (scripts/interop)."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.acceptance.house import PATIENCE, free_port, until
from tests.interop.compare import Answers, answers, differences
from tests.interop.guests import PROGRAMS, GuestHouse, environ, environment
from tests.interop.proxy import recording

# What is meant to differ, field by field, each with its reason; those of consequence have a line in
# docs/guides/compatibility.md. A pattern is looked for in "PROGRAM: METHOD PATH: difference", and one that is
# found nowhere fails the test: that difference is gone.
_WORDS = r"(description|code_example|documentation_url|logo_url|title|example|format|display_name)"
_VIEW = r"GET /api/collections/views/aggregate-worker-metadata: \.body"
INTENDED: dict[str, str] = {
    r" GET /api/admin/version: \.body is ": "each says its own version",
    # What belongs to the authors of blocks and workers; their schemas come from the client.
    r" GET /api/block_types/slug/[a-z-]+: ": "words and pictures are their authors'",
    r" GET /api/block_schemas/checksum/sha256:<hash>": "clients bring their schemas",
    r" (POST /api/block_schemas/|PATCH /api/block_types/<id>): asked of ours alone": "the same",
    rf"POST /api/block_(documents|schemas)/: \.body(\.block_schema)?\.block_type\.{_WORDS} is ": "the same",
    rf"{_VIEW}\.\S+\.{_WORDS} is ": "the same",
    rf"{_VIEW}\.prefect\.prefect-agent\.is_beta is additional: false": "all have it",
    rf"{_VIEW}\.prefect-(aws|azure|gcp) is missing": "no list of others' packages",
    rf"{_VIEW}\.\S+\.(registry_credentials|cluster_config|definitions) is missing": "their packages'",
    rf"{_VIEW}\.\S+\.job_manifest\.spec\.(template\.spec\.)?(completions|parallelism) is ": "in the pod",
    # Runs.
    r" \.body(\[\])?\.run_count is 1, theirs 2": "a pause is no retry",
    r"set_state: \.body\.state\.state_details\.transition_id": "a repeated proposal is judged once",
    r' \.body(\[\])?(\.state)?\.data is \{"type": "unpersisted"\}, theirs null': "as it was said",
    r"/flow_runs/filter: \.body\[\]\.empirical_policy\.resuming is false, theirs true": "it runs",
    r"/get_scheduled_flow_runs: \.body\[\]\.state\.state_details\.flow_run_id is ": "as elsewhere",
    r"/create_flow_run: \.body\.job_variables is \{\}, theirs null": "as elsewhere",
    # Schedules, queues, limits, artifacts.
    r"/deployments/<id>\S*: \.body\S*\.timezone is null, theirs \"UTC\"": "a rule's text may name its own",
    r"/work_queue_check: \.body(\[\]\.(description|name|priority|work_pool_id) is | has )": "see the guide",
    r"POST /api/work_pools/tour-work/queues: \.body\.status is \"PAUSED\"": "it is",
    r"PATCH /api/v2/concurrency_limits/nothing: \.(body|status|headers\.\S+) is ": "404 as elsewhere",
    r"POST /api/v2/concurrency_limits/decrement: \.body has 0, theirs 1": "giving back makes no limit",
    r"PATCH /api/artifacts/<id>: \.(body|status|headers\.content-type) is ": "older ones can be changed too",
    r"POST /api/flow_runs/<id>/input: \.(body|status) is (null|201), theirs .*(Internal|500)": "no bug",
    r"POST /api/deployments/: \.(body\.\w+|status) is .*(Internal Server Error\"|theirs 500)$": "no bug",
    r"POST /api/deployments/: \.body\.(exception_detail|request_body) is additional": "the same",
    r"POST /api/block_documents/: \.(body\.\w+|status) is .*(Internal Server Error\"|theirs 500)$": "no bug",
    r"POST /api/block_documents/: \.body\.detail is additional: \"Data integrity": "the same",
    # Sentences. The place of a fault is 2.20's.
    r"\.body\.exception_detail\[\]\.(msg|type|ctx) is ": "the sentences of a 422 are reeve's own",
    r"\.body\.exception_detail has 1, theirs \d+": "the first fault alone is told",
    r"POST /api/deployments/\S*: \.body\.exception_detail\[\]\.loc(\[\] is| has) ": "a schedule's own field",
    r"POST /api/artifacts/: \.body\.exception_detail\[\]\.loc has 2, theirs 3": "the map, not its key",
    r" POST /api/v2/concurrency_limits/increment: \.body\.detail ": "says which limit is full",
    r" POST /api/work_pools/: \.body\.detail is \"A work pool needs a name": "reeve's own",
    r" (POST|PATCH) /api/(deployments|flow_runs)/\S*: \.body\.detail is ": "reeve's own",
    r" DELETE /api/work_queues/<id>: \.body\.detail is \"'default' is the default queue": "reeve's own",
    r"POST /api/templates/validate: \.body\.error\.message is ": "reeve's own",
    # Conventions.
    r"GET /api/csrf-token: \.body\.(detail|exception_\w+|request_body) is ": "it is disabled for everybody",
    r"\.headers\.location is \"/api/": "a proxy's name stays",
    r"GET /api/admin/settings: \.body\.PREFECT_\w+ is missing": "the settings that both have",
    r"GET /api/admin/settings: \.body\.PREFECT_(API_\w+|HOME|LOGGING_\w+|SERVER_API_PORT) is ": "its own",
    r"/admin/database/\w+: \.headers\.content-type is additional": "a refusal is JSON",
    r"conventions: \w+ /api/\S+: \.headers\.content-type is additional": "of a redirect",
    r"conventions: \w+ /api/flows/\S*: \.body\.exception_detail\[\]\.loc has 1, theirs 2": "no letter",
    r"tour.py deployments: GET /api/deployments/<id>: answered by ours alone": "a pause changes none",
}
LONGEST = 600  # seconds that a program may take: 2.20 answers slowly, and waits for its locked database
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
        operations = operations_of(port)
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
    unused = [pattern for pattern in INTENDED if not any(re.search(pattern, line) for line in found)]
    assert not unused, "differences that are gone:\n" + "\n".join(unused)
    asked = {(method, path) for each in theirs for method, path, _ in each.answers}
    missing = [operation for operation in operations if not is_asked(operation, asked)]
    assert not missing, (
        f"{len(operations) - len(missing)} of {len(operations)} operations; not asked: {missing}"
    )


def operations_of(port: int) -> list[tuple[str, str]]:
    """Return the operations that a 2.20 server says it has: method and path, parameters in braces."""
    paths = httpx2.get(f"http://127.0.0.1:{port}/api/openapi.json", timeout=PATIENCE).json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def is_asked(operation: tuple[str, str], asked: Collection[tuple[str, str]]) -> bool:
    """Whether one of the requests was for an operation."""
    method, path = operation
    pattern = re.compile("/api" + re.sub(r"\{[^}]+\}", "[^/?]+", path) + r"(\?.*)?")
    return any(method == other and pattern.fullmatch(whole) for other, whole in asked)


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
