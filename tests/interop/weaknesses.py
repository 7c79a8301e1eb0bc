"""The weaknesses of the 2.20 agent and server: the same test passes with reeve's and fails with theirs.

Each runs against a server and an agent of reeve, where it must hold, and against those of 2.20, where it must
not: a test that passed there would show nothing (scripts/interop; docs/guides/agent-behaviour.md marks them).
"""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.acceptance.house import PATIENCE, free_port, until
from tests.interop.guests import GuestHouse, environ, environment
from tests.interop.recorded import their_server

ENOUGH = 20.0  # seconds in which an agent does what it is told, if it ever does
WAITING = {"Scheduled", "Late"}


class WeakError(AssertionError):
    """What is to hold does not."""


def holds(is_so: bool) -> None:
    """Fail for the one reason that counts; whatever else goes wrong is a fault of the test on either side."""
    if not is_so:
        raise WeakError


@dataclass
class Side:
    """A server, and how its own agent is started."""

    name: str
    root: Path
    port: int
    command: list[str]
    environ: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    # --- the server

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.port}/api{path}"

        def answer() -> httpx2.Response | None:
            found = httpx2.request(method, url, json=body, timeout=PATIENCE)
            return None if found.status_code == 503 else found  # so says 2.20 when its database is locked

        reply = until(f"an answer to {method} {path}", answer)
        assert reply is not None
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    def block(self, slug: str, **data: Any) -> str:
        """Keep an infrastructure block; return its id."""
        self.ask("POST", "/block_types/install_system_block_types")
        type_ = self.ask("GET", f"/block_types/slug/{slug}")["id"]
        schemas = {"block_schemas": {"block_type_id": {"any_": [type_]}}}
        schema = self.ask("POST", "/block_schemas/filter", schemas)[0]["id"]
        body = {"name": uuid4().hex, "data": data, "block_schema_id": schema, "block_type_id": type_}
        return str(self.ask("POST", "/block_documents/", body)["id"])

    def pool(self, type_: str = "prefect-agent") -> str:
        name = f"pool-{uuid4().hex}"
        self.ask("POST", "/work_pools/", {"name": name, "type": type_})
        return name

    def run(self, queue: str, script: str = "true", after: float = -1, **fields: Any) -> str:
        """Ask for a run of a shell script by a process block, due so many seconds from now; return its id."""
        policy = fields.pop("empirical_policy", None)
        if "infrastructure_document_id" not in fields:
            fields["infrastructure_document_id"] = self.block("process", command=["/bin/sh", "-c", script])
        flow = self.ask("POST", "/flows/", {"name": "f"})["id"]
        body = {"name": uuid4().hex, "flow_id": flow, "work_queue_name": queue, **fields}
        deployment = self.ask("POST", "/deployments/", body)["id"]
        at = (datetime.now(UTC) + timedelta(seconds=after)).isoformat()
        run: dict[str, Any] = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}}
        if policy:
            run["empirical_policy"] = policy
        return str(self.ask("POST", f"/deployments/{deployment}/create_flow_run", run)["id"])

    def state(self, run_id: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run_id}")["state_name"])

    def polled(self, queue: str) -> list[str]:
        """Return the runs that a 2.20 agent is shown of a queue of the default pool."""
        queue_id = self.ask("GET", f"/work_queues/name/{queue}")["id"]
        before = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        found = self.ask("POST", f"/work_queues/{queue_id}/get_runs", {"scheduled_before": before})
        return [run["id"] for run in found]

    # --- its agent

    def start(self, *options: str, **more: Any) -> subprocess.Popen[str]:
        named = ("--name", uuid4().hex) if self.name == "ours" else ()
        process = subprocess.Popen(
            [*self.command, *named, *options],
            env={**self.environ, **more.pop("environ", {})},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **more,
        )
        self.started.append(process)
        return process

    def code(self, *options: str, **environ: str) -> int:
        """Have an agent do what is due; return its exit code."""
        process = self.start("--run-once", *options, environ=environ)
        process.communicate(timeout=PATIENCE)
        return process.returncode

    def once(self, *options: str) -> None:
        """Have an agent do what is due."""
        assert self.code(*options) == 0

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    root = tmp_path_factory.mktemp("ours")
    house = GuestHouse(root, f"sqlite:///{root / 'reeve.db'}", open_door=True)
    try:
        house.start_server("--open")
        command = [sys.executable, "-m", "reeve", "agent", "start"]
        side = Side("ours", root, house.port, command, house.environ())
        yield side
        side.close()
    finally:
        house.close()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    root = tmp_path_factory.mktemp("theirs")
    with their_server(root / "server") as port:
        command = [str(environment() / "prefect"), "agent", "start"]
        home = root / "home"
        home.mkdir()
        side = Side("theirs", root, port, command, environ(home, f"http://127.0.0.1:{port}/api", None))
        yield side
        side.close()


@pytest.fixture(params=["ours", "theirs"])
def side(request: pytest.FixtureRequest) -> Side:
    found: Side = request.getfixturevalue(request.param)
    return found


def mended(test: Callable[[Side, Path], None]) -> Callable[[Side, Path], None]:
    """Have a test hold on our side, and fail on theirs."""

    @functools.wraps(test)
    def judged(side: Side, tmp_path: Path) -> None:
        if side.name == "ours":
            return test(side, tmp_path)
        with pytest.raises(WeakError):
            test(side, tmp_path)
        return None

    return judged


# --- who survives


@mended
def test_w5_a_new_server_ends_no_agent(side: Side, tmp_path: Path) -> None:
    del tmp_path
    side.run("made-with-the-default-pool")
    side.ask("DELETE", "/work_pools/default-agent-pool")  # as on a server that is new
    holds(side.code("-m", "no-such-prefix-yet") == 0)


@mended
def test_w8_once_without_a_server_is_no_success(side: Side, tmp_path: Path) -> None:
    del tmp_path
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    holds(side.code("-q", "any", REEVE_API_URL=nowhere, PREFECT_API_URL=nowhere) == 1)


@mended
def test_w9_an_agent_that_ignores_interrupts_can_be_stopped(side: Side, tmp_path: Path) -> None:
    del tmp_path
    ignoring = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    process = side.start("-q", "nothing-to-do", preexec_fn=ignoring)
    assert process.stdout is not None
    for line in process.stdout:
        if "Agent started" in line:
            break
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENOUGH)
    holds(process.returncode is not None)


# --- whose work it is


@mended
def test_w3_a_retry_in_its_own_process_is_offered_to_nobody(side: Side, tmp_path: Path) -> None:
    del tmp_path
    run_id = side.run("retrying", empirical_policy={"retries": 1, "retry_delay": 0})
    for type_ in ("PENDING", "RUNNING", "FAILED"):
        side.ask("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": type_}})
    assert side.state(run_id) == "AwaitingRetry"
    holds(run_id not in side.polled("retrying"))


@mended
def test_w10_a_prefix_that_matches_nothing_takes_nothing(side: Side, tmp_path: Path) -> None:
    del tmp_path
    pool = side.pool()
    run_id = side.run("other", work_pool_name=pool)
    side.once("-p", pool, "-m", "matches-nothing")
    holds(side.state(run_id) in WAITING)


@mended
def test_w13_a_queue_shows_no_runs_of_its_namesake(side: Side, tmp_path: Path) -> None:
    del tmp_path
    side.run("shared")
    foreign = side.run("shared", work_pool_name=side.pool())
    holds(foreign not in side.polled("shared"))


@mended
def test_w14_a_paused_pool_shows_nothing(side: Side, tmp_path: Path) -> None:
    del tmp_path
    side.run("still")
    side.ask("PATCH", "/work_pools/default-agent-pool", {"is_paused": True})
    try:
        holds(side.polled("still") == [])
    finally:
        side.ask("PATCH", "/work_pools/default-agent-pool", {"is_paused": False})


@mended
def test_w15_a_pool_of_another_type_is_left_alone(side: Side, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = {"env": {}, "command": ["touch", str(mark)]}
    pool = side.pool("docker")
    run_id = side.run("default", work_pool_name=pool, infrastructure_document_id=None, infra_overrides=job)
    side.once("-p", pool)
    holds(side.state(run_id) in WAITING)


@mended
def test_w16_overrides_count_without_a_block(side: Side, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = {"command": ["touch", str(mark)]}
    side.run("plain", infrastructure_document_id=None, infra_overrides=job)
    side.once("-q", "plain")
    holds(mark.exists())


@mended
def test_w17_what_an_agent_has_settled_is_not_begun_again(side: Side, tmp_path: Path) -> None:
    del tmp_path
    run_id = side.run("settled", "exit 3")
    side.once("-q", "settled")
    assert side.state(run_id) == "Crashed"
    answer = side.ask("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "PENDING"}})
    holds(answer["status"] == "ABORT")


@mended
def test_w19_no_prefetch_means_not_before_its_time(side: Side, tmp_path: Path) -> None:
    del tmp_path
    run_id = side.run("punctual", after=13)  # the default there is 15 s, and starting takes some
    side.once("-q", "punctual", "--prefetch-seconds", "0")
    holds(side.state(run_id) == "Scheduled")


@mended
def test_w20_a_question_mark_is_part_of_a_name(side: Side, tmp_path: Path) -> None:
    del tmp_path
    run_id = side.run("what?now")
    side.once("-q", "what?now")
    holds(side.state(run_id) == "Crashed")  # it ran; its script tells no end


@mended
def test_w48_a_block_without_a_driver_waits_for_an_able_agent(side: Side, tmp_path: Path) -> None:
    del tmp_path
    box = side.block("docker-container", command=["true"], image="none")
    run_id = side.run("boxed", infrastructure_document_id=box)
    side.once("-q", "boxed")
    holds(side.state(run_id) in WAITING)


# --- what becomes of runs


@mended
def test_w23_an_exit_with_0_that_told_no_end_is_a_crash(side: Side, tmp_path: Path) -> None:
    del tmp_path
    run_id = side.run("silent", "exit 0")
    side.once("-q", "silent")
    holds(side.state(run_id) == "Crashed")


@mended
def test_w34_nothing_of_a_cancelled_run_is_left(side: Side, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 60' & exec sleep 60"
    run_id = side.run("tree", script)
    side.start("-q", "tree")
    until("the tree to grow", lambda: pid_file.exists() and pid_file.read_text().strip())
    until("its pid to be known", lambda: side.ask("GET", f"/flow_runs/{run_id}")["infrastructure_pid"])
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    side.ask("POST", f"/flow_runs/{run_id}/set_state", cancelling)
    until("it to be cancelled", lambda: side.state(run_id) == "Cancelled")
    holds(not Path(f"/proc/{pid_file.read_text().strip()}").exists())


@mended
def test_w45_what_crashed_leaves_its_directory(side: Side, tmp_path: Path) -> None:
    where = tmp_path / "where"
    side.run("messy", f"pwd > {where}; exit 1")
    side.once("-q", "messy")
    holds(Path(where.read_text().strip()).exists())
