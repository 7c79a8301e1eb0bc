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
from tests.acceptance.house import free_port
from tests.interop.compare import Answers, answers, differences
from tests.interop.guests import PATIENCE, PROGRAMS, GuestHouse, environ, environment, until
from tests.interop.proxy import recording

# What is meant to differ, field by field, each with its reason; those of consequence have a line in
# docs/guides/compatibility.md. A pattern is all of "PROGRAM: METHOD PATH: difference", and one that fits
# nothing fails the test: that difference is gone.
_WORDS = r"(description|code_example|documentation_url|logo_url)"
_VIEW = r"tour.py work: GET /api/collections/views/aggregate-worker-metadata: \.body"
_VARIABLES = rf"{_VIEW}\.prefect(-docker|-kubernetes)?\.[a-z]+\.default_base_job_configuration\.variables"
_RUNS = r"(GET /api/flow_runs/<id>|POST /api/flow_runs/filter)"
_DETAIL = r"\.body\.exception_detail"
_DEPLOY = r"tour.py deployments: POST /api/deployments/: "
_LIMITS = r"tour.py limits: POST /api/v2/concurrency_limits/"
# The settings that reeve names; a missing one would be a fault.
_SHOWN = (
    "(API_DATABASE_CONNECTION_URL|API_DEFAULT_LIMIT|API_URL|EXPERIMENTAL_EVENTS|HOME|LOGGING_SERVER_LEVEL"
    "|SERVER_(ANALYTICS_ENABLED|API_HOST|API_PORT|CSRF_PROTECTION_ENABLED))"
)
INTENDED: dict[str, str] = {
    # What belongs to the authors of blocks and workers; their schemas come from the client.
    rf"(blocks.py|tour.py notifications): GET /api/block_types/slug/[a-z-]+: \.body\.{_WORDS} is .*": "words",
    rf"blocks.py: GET /api/block_types/slug/secret: answered by ours alone: \.body\.{_WORDS} is "
    r".*": "before the client's words came",
    r"blocks.py: PATCH /api/block_types/<id>: asked of ours alone: \{\"code_example\": "
    r".*": "the client brings its words",
    r"blocks.py: POST /api/block_schemas/: asked of ours alone: \{\"block_type_id\": \"<id>\", "
    r"\"capabilities\": .*": "and its schemas",
    r"blocks.py: GET /api/block_schemas/checksum/sha256:<checksum>\?version=2.20.26: "
    r"(answered by theirs alone: )?"
    r"(\.body\.(block_type|block_type_id|capabilities|checksum|created|fields|id|updated|version) is "
    r"missing, .*|\.body\.detail is additional: \"Block schema not found\""
    r"|\.status is 404, theirs 200)": "which are not there before",
    rf"tour.py notifications: POST /api/block_(documents|schemas)/: "
    rf"\.body(\.block_schema)?\.block_type\.{_WORDS}"
    r" is .*": "words",
    rf"{_VIEW}\.prefect(-docker|-kubernetes)?\.[a-z-]+\.({_WORDS}|display_name) is .*": "words",
    rf"{_VARIABLES}(\.properties\.\w+)?\.(description|title|example|format) is .*": "words",
    rf"{_VIEW}\.prefect-(docker|kubernetes)\.[a-z]+\.default_base_job_configuration\.job_configuration\."
    r"(registry_credentials|cluster_config) is missing, .*": "their packages'",
    rf"{_VIEW}\.prefect\.prefect-agent\.is_beta is additional: false": "all have it",
    rf"{_VIEW}\.prefect-(aws|azure|gcp) is missing, .*": "no list of others' packages",
    rf"{_VARIABLES}(\.properties\.(registry_credentials|cluster_config)|\.definitions) is missing, "
    rf".*": "the same",
    rf"{_VIEW}\.prefect-kubernetes\.kubernetes\.\S+\.job_manifest\.spec\.(template\.spec\.)?"
    r"(completions|parallelism) is .*": "of the job, not of its pod",
    # Runs.
    rf"(scenario.py runs|tour.py flow_runs): {_RUNS}: \.body(\[\])?\.run_count is 1, "
    rf"theirs 2": "a pause is no retry",
    r"scenario.py runs: POST /api/flow_runs/<id>/set_state: \.body\.state\.state_details\.transition_id "
    r"is \"<id>\", "
    r"theirs null": "a repeated proposal is judged once",
    r"tour.py flow_runs: (GET /api/flow_run_states/\?flow_run_id=<id>: \.body\[\]|GET /api/flow_runs/<id>: "
    r"\.body\.state|POST /api/flow_runs/filter: \.body\[\]\.state)\.data is \{\"type\": \"unpersisted\"\}, "
    r"theirs null": "as it was said",
    r"tour.py flow_runs: POST /api/flow_runs/filter: \.body\[\]\.empirical_policy\.resuming is false, theirs "
    r"true": "it runs",
    r"tour.py deployments: POST /api/deployments/get_scheduled_flow_runs: \.body\[\]\.state\.state_details\."
    r"flow_run_id is \"<id>\", theirs null": "as of runs made otherwise",
    rf"(scenario.py runs|tour.py deployments): (POST /api/deployments/<id>/create_flow_run|{_RUNS}): "
    r"\.body(\[\])?\.job_variables is \{\}, theirs null": "an idempotency key changes nothing else",
    # Schedules, queues, limits, artifacts.
    r"tour.py deployments: GET /api/deployments/<id>: answered by ours alone: "
    r"\.body\.schedules\[\]\.active is false, theirs true": "a pause leaves schedules",
    r"tour.py schedules: (GET|POST) /api/deployments/<id>(/schedules)?: \.body\S*schedule\.timezone is null, "
    r"theirs \"UTC\"": "the text of a rule may name its own",
    r"tour.py deployments: GET /api/deployments/<id>/work_queue_check: \.body( has 1, theirs \d"
    r"|\[\]\.(description|name|priority|work_pool_id) is .*)": "its own queue alone",
    r"tour.py work: POST /api/work_pools/tour-work/queues: \.body\.status is \"PAUSED\", theirs "
    r"\"NOT_READY\"": "it is",
    r"tour.py limits: PATCH /api/v2/concurrency_limits/nothing: (\.body is \{\"detail\": \"Concurrency "
    r"Limit not "
    r"found\"\}, theirs null|\.headers\.content-type is additional: .*|\.status is 404, theirs "
    r"204)": "so is GET",
    rf"{_LIMITS}decrement: \.body has 0, theirs 1": "giving back makes no limit",
    r"tour.py artifacts: PATCH /api/artifacts/<id>: (\.body is null, theirs \{\"detail\": \"Artifact "
    r"not found.\"\}"
    r"|\.headers\.content-type is missing, .*|\.status is 204, theirs 404)": "it can be read, so it is there",
    # Where 2.20 fails by itself.
    r"tour.py inputs: POST /api/flow_runs/<id>/input: (\.body is null, theirs .*Internal Server Error.*"
    r"|\.status is 201, theirs 500)": "any key can be kept",
    rf"{_DEPLOY}(\.body\.exception_message is \"Invalid request received.\", theirs \"Internal Server Error\""
    r"|\.body\.(exception_detail|request_body) is additional: .*|\.status is 422, theirs "
    r"500)": "a wrong name",
    r"tour.py blocks: POST /api/block_documents/: (\.body\.exception_message is missing, theirs "
    r"\"Internal Server "
    r"Error\"|\.body\.detail is additional: \"Data integrity .*|\.status is 409, theirs "
    r"500)": "a wrong schema",
    # Sentences, where reeve's say what to do instead, or 2.20's are those of a library's inside.
    rf"(scenario.py badly: POST /api/flows/|tour.py work: POST /api/work_pools/(tour-work/queues)?"
    rf"|{_LIMITS}): {_DETAIL}"
    r"\[\]\.(msg is \".* contains .* leave out .*|type is \"value_error\", theirs "
    r"\"value_error.invalidname\")": "names",
    rf"(scenario.py badly|tour.py variables): POST /api/variables/: {_DETAIL}\[\]\.msg is .* matching "
    rf"regex .*": "names",
    rf"tour.py (work: POST /api/work_pools/(tour-work/queues)?|limits: (POST|PATCH) "
    rf"/api/v2/concurrency_limits/(tour)?)"
    rf": {_DETAIL}\[\]\.(ctx is additional: .*|msg is .*, theirs \"1 validation error for constrained-int.*"
    r"|type is \"value_error.number.not_g[te]\", theirs "
    r"\"value_error.validation\")": "limits as everywhere else",
    rf"{_DEPLOY}{_DETAIL}\[\]\.msg is \"parameter 'number': .*": "parameters",
    rf"({_DEPLOY}|tour.py schedules: POST /api/deployments/<id>/schedules: ){_DETAIL}( has 1, theirs [57]"
    r"|\[\]\.(msg is .*(time zone|cron expression|interval is in seconds|rrule cannot).*"
    r"|type is \"value_error\", theirs \"value_error.(missing|validation)\"|loc has 2, theirs [45]"
    r"|loc\[\] is \"(timezone|cron|interval|rrule)\", theirs (\"schedules\""
    r"|0)))": "the schedule that was meant",
    rf"tour.py task_runs: POST /api/task_runs/: {_DETAIL}\[\]\.msg is \"A (cache key|task run) has at "
    rf"most .*": "sizes",
    rf"tour.py work: POST /api/work_pools/: {_DETAIL}\[\]\.msg is \"A base job template .*": "templates",
    r"tour.py work: POST /api/work_pools/: \.body\.detail is \"A work pool needs a name\.\", .*": "names",
    rf"tour.py notifications: (POST|PATCH) /api/flow_run_notification_policies/(<id>)?: "
    rf"{_DETAIL}\[\]\.msg is "
    r"\"Invalid template variable provided: .*": "templates",
    r"(scenario.py|tour.py) limits: POST /api/v2/concurrency_limits/increment: \.body\.detail is \"(No "
    r"room for |"
    r"The limit 'tour' has no decay|3 slots were asked of ).*": "says which limit",
    rf"{_DEPLOY}\.body\.detail is \"There is no (infrastructure|storage) block .*": "says what to look for",
    r"tour.py deployments: POST /api/deployments/<id>/create_flow_run: \.body\.detail is \"parameter "
    r"'number': "
    r".*": "parameters",
    r"tour.py schedules: PATCH /api/deployments/<id>: \.body\.detail is \"Deployment <id> has 3 "
    r".*": "a text, no list",
    r"tour.py flow_runs: PATCH /api/flow_runs/<id>: \.body\.detail is \"Job variables can only "
    r".*": "says when",
    r"tour.py work: DELETE /api/work_queues/<id>: \.body\.detail is \"'default' is the default queue "
    r".*": "says why",
    r"tour.py templates: POST /api/templates/validate: \.body\.error\.message is .* is not closed "
    r".*": "says what",
    # The first fault is told alone: the body is read once.
    rf"tour.py (flow_runs: POST /api/flow_runs/history|limits: POST /api/v2/concurrency_limits/decrement"
    r"|blocks: POST /api/block_(documents|types)/|logs: POST /api/logs/|notifications: POST "
    r"/api/flow_run_notification_policies/|templates: POST /api/ui/schemas/validate|conventions: POST "
    rf"/api/flows/(count|filter)): {_DETAIL} has 1, theirs \d": "the first fault alone",
    rf"tour.py artifacts: POST /api/artifacts/: {_DETAIL}\[\]\.loc has 2, theirs 3": "the map, not its key",
    rf"tour.py conventions: POST /api/flows/(count|filter): {_DETAIL}\[\]\.(loc has 1, theirs 2|loc\[\] "
    rf"is 0, theirs \"limit\"|(msg"
    rf"|type) is .*, "
    r"theirs \"(field required|value_error.missing)\"|ctx is additional: "
    r".*)": "says that the body is no map, no JSON",
    # Conventions.
    r"tour.py conventions: GET /api/csrf-token: \.body\.(detail is additional: \"CSRF protection is "
    r"disabled.*"
    r"|(exception_detail|exception_message|request_body) is missing, .*)": "it is disabled for everybody",
    r"tour.py conventions: \w+ (/api/(flow_run_states|flows|flows/filter/)): \.headers\.(location is "
    r"\"(/api/\S+)\", theirs \"http://127\.0\.0\.1:<port>\4\""
    r"|content-type is additional: \"application/json\")": "a proxy's name stays",
    rf"tour.py database: GET /api/admin/settings: \.body\.PREFECT_(?!{_SHOWN} )\w+ is missing, "
    r".*": "the settings that both have",
    r"tour.py database: GET /api/admin/settings: \.body\.PREFECT_(HOME is \"\S+/ours/home\", theirs "
    r"\"\S+/theirs/server\"|LOGGING_SERVER_LEVEL is \"INFO\", theirs \"WARNING\""
    r"|SERVER_API_PORT is \d+, theirs 4200)": "its own",
    r"tour.py database: POST /api/admin/database/(clear|drop|create): \.headers\.content-type is additional: "
    r"\"application/json\"": "a refusal is JSON",
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
    unknown = [line for line in found if not any(re.fullmatch(pattern, line) for pattern in INTENDED)]
    assert not unknown, f"{len(unknown)} differences:\n" + "\n".join(unknown)
    unused = [pattern for pattern in INTENDED if not any(re.fullmatch(pattern, line) for line in found)]
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
        return httpx2.get(f"http://127.0.0.1:{port}/api/health", timeout=5, verify=False).is_success
    except httpx2.TransportError:
        return False
