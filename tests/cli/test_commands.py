"""Commands against a real server; where a run needs somebody to execute it, the test is its engine."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.cli.conftest import SECONDS, Server, Shell, running_server

from reeve.client.sync import Client
from reeve.core.states import StateType
from reeve.wire import endpoints, requests
from reeve.wire.responses import FlowRunResponse

FLOWS = '''
from reeve import flow

@flow(name="{name}")
def nightly(day: str, rows: int = 3):
    """Load a day."""
'''


@pytest.fixture
def flow_name(at_server: Shell) -> str:
    """A flow in ``flows.py`` of the current directory, under a name of its own."""
    name = f"flow-{uuid4().hex[:8]}"
    (at_server.directory / "flows.py").write_text(FLOWS.format(name=name))
    return name


@pytest.fixture
def deployed(at_server: Shell, flow_name: str) -> str:
    """A deployment without schedule."""
    done = at_server("deploy", "flows.py:nightly", "-n", "prod")
    assert done.code == 0, done.err
    return f"{flow_name}/prod"


def ask_for_run(reeve: Shell, deployment: str, *options: str) -> UUID:
    done = reeve("run", deployment, "-P", "day=2026-01-31", "--json", *options)
    assert done.code == 0, done.err
    return UUID(json.loads(done.out)["id"])


def enter(client: Client, run_id: UUID, type_: StateType, message: str | None = None) -> None:
    """Be the engine: propose a state, as a 2.20 client does."""
    body = requests.SetState(state=requests.StateCreate(type=type_, message=message))
    assert client.call(endpoints.set_flow_run_state, body, id=run_id).status == "ACCEPT"


def say(client: Client, run_id: UUID, message: str, level: int = 20) -> None:
    from reeve import clock

    line = requests.LogCreate(
        name="flow", level=level, message=message, timestamp=clock.now(), flow_run_id=run_id
    )
    client.call(endpoints.create_logs, [line])


class Watched:
    """A command that goes on; its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._guard = threading.Timer(
            SECONDS, process.kill
        )  # a line that never comes fails, and does not hang
        self._guard.start()
        assert process.stdout is not None
        self._out = process.stdout

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until a line has the pattern."""
        for line in self._out:
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no {pattern!r} in {self.lines}; {self._errors()}")

    def end(self) -> int:
        """Read to the end; return the exit code."""
        out, self.errors = self.process.communicate(timeout=SECONDS)
        self.lines += out.splitlines(keepends=True)
        return self.process.returncode

    def close(self) -> None:
        """Leave nothing behind."""
        self._guard.cancel()
        self.process.kill()
        self.process.communicate()

    def _errors(self) -> str:
        return self.process.communicate(timeout=SECONDS)[1]


@pytest.fixture
def watch(at_server: Shell) -> Iterator[Any]:
    """Start commands; none is left behind."""
    started: list[Watched] = []

    def start(*arguments: str, shell: Shell = at_server) -> Watched:
        started.append(Watched(shell.start(*arguments)))
        return started[-1]

    yield start
    for each in started:
        each.close()


# --- pools and queues ----------------------------------------------------------------------------


def test_a_pool_is_made_limited_and_paused(at_server: Shell) -> None:
    assert at_server("pools", "create", "gpu", "--limit", "2", "--on-lost", "replace").code == 0
    (pool,) = [each for each in json.loads(at_server("pools", "ls", "--json").out) if each["name"] == "gpu"]
    assert (pool["type"], pool["concurrency_limit"], pool["is_paused"]) == ("process", 2, False)
    assert at_server("pools", "set-limit", "gpu", "none").code == 0
    assert "waits for runs whose agent is lost" in at_server("pools", "set-on-lost", "gpu", "wait").out
    assert at_server("pools", "set-on-lost", "gpu", "panic").code == 2
    assert at_server("pools", "pause", "gpu").code == 0
    row = next(line for line in at_server("pools", "ls").out.splitlines() if line.startswith("gpu"))
    assert row.split() == ["gpu", "process", "PAUSED"]
    assert at_server("pools", "resume", "gpu").code == 0
    assert "PAUSED" not in at_server("pools", "ls").out


def test_a_pool_that_is_not_there_is_told_with_those_that_are(at_server: Shell) -> None:
    at_server("pools", "create", "here")
    done = at_server("pools", "pause", "nowhere")
    assert done.code == 1
    assert "There is no work pool 'nowhere'. There are:" in done.err
    assert "here" in done.err
    assert "reeve pools create nowhere" in done.err


def test_a_pool_is_not_made_twice(at_server: Shell) -> None:
    at_server("pools", "create", "twice")
    done = at_server("pools", "create", "twice")
    assert done.code == 1
    assert done.err.startswith("Error: ")
    assert "exists" in done.err


def test_queues_are_made_ranked_limited_and_paused(at_server: Shell) -> None:
    at_server("pools", "create", "ranks")
    assert at_server("queues", "create", "slow", "-p", "ranks").code == 0
    assert at_server("queues", "create", "fast", "-p", "ranks", "--priority", "1", "--limit", "4").code == 0
    assert at_server("queues", "set-priority", "slow", "2", "-p", "ranks").code == 0
    assert at_server("queues", "set-limit", "slow", "1", "-p", "ranks").code == 0
    assert at_server("queues", "pause", "slow", "-p", "ranks").code == 0
    queues = json.loads(at_server("queues", "ls", "-p", "ranks", "--json").out)
    assert [(each["name"], each["priority"], each["concurrency_limit"]) for each in queues] == [
        ("fast", 1, 4),
        ("slow", 2, 1),
        ("default", 3, None),
    ]
    rows = [line.split() for line in at_server("queues", "ls", "-p", "ranks").out.splitlines()]
    assert rows[0] == ["queue", "pool", "priority", "limit", "status", "last", "polled"]
    assert rows[2][:5] == ["slow", "ranks", "2", "1", "PAUSED"]
    assert at_server("queues", "resume", "slow", "-p", "ranks").code == 0
    assert "PAUSED" not in at_server("queues", "ls", "-p", "ranks").out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["queues", "create", "q", "-p", "nowhere"], "There is no work pool 'nowhere'"),
        (["queues", "ls", "-p", "nowhere"], "There is no work pool 'nowhere'"),
        (["queues", "pause", "q", "-p", "nowhere"], "There is no work queue 'q' in the pool 'nowhere'"),
    ],
    ids=" ".join,
)
def test_queues_of_no_pool(at_server: Shell, typed: list[str], said: str) -> None:
    done = at_server(*typed)
    assert done.code == 1
    assert said in done.err


# --- deployments ---------------------------------------------------------------------------------


def test_a_deployment_carries_what_was_said(at_server: Shell, flow_name: str) -> None:
    done = at_server(
        *("deploy", "flows.py:nightly", "-n", "prod", "--cron", "0 3 * * *", "--interval", "1h30m"),
        *("--timezone", "Europe/Zurich", "-P", "rows=5", "-P", "day=2026-01-31", "--tag", "etl"),
        *("--crash-retries", "2", "--concurrency-limit", "4", "--job", "env.MODE=fast", "--version", "7"),
    )
    assert (done.code, done.err) == (0, "")
    assert f"reeve run {flow_name}/prod --watch" in done.out
    shown = json.loads(at_server("deployments", "show", f"{flow_name}/prod", "--json").out)
    made = shown["deployment"]
    assert (made["path"], made["entrypoint"]) == (str(at_server.directory), "flows.py:nightly")
    assert made["parameters"] == {"rows": 5, "day": "2026-01-31"}
    assert made["parameter_openapi_schema"]["required"] == ["day"]
    assert made["enforce_parameter_schema"] is True
    assert (made["work_pool_name"], made["work_queue_name"]) == ("default", "default")
    assert made["infra_overrides"] == {"env.MODE": "fast"}
    assert (made["tags"], made["version"], made["description"]) == (["etl"], "7", "Load a day.")
    assert made["paused"] is False, "a new deployment is paused only while it is being made"
    kinds = {key: value for each in made["schedules"] for key, value in each["schedule"].items()}
    assert (kinds["cron"], kinds["interval"], kinds["timezone"]) == ("0 3 * * *", 5400, "Europe/Zurich")
    options = shown["options"]
    assert (options["engine"], options["crash_retries"]) == ("reeve", 2)
    assert options["code_version"].startswith("sha256:")
    told = at_server("deployments", "show", f"{flow_name}/prod").out
    assert "every 1h 30m Europe/Zurich" in told
    assert re.search(r"^concurrency limit +4$", told, re.MULTILINE)
    row = next(line for line in at_server("deployments", "ls").out.splitlines() if line.startswith(flow_name))
    assert "0 3 * * * Europe/Zurich" in row


def test_time_limits_and_the_crash_budget_are_said_and_shown(at_server: Shell, flow_name: str) -> None:
    done = at_server(
        *("deploy", "flows.py:nightly", "-n", "bound", "--max-run", "1h30m:retry", "--max-pending", "5m"),
        *("--must-start-by", "1d:cancel", "--crash-retries", "2", "--crash-retry-delay", "30s"),
        *("--crash-retry-on", "out_of_memory", "--crash-retry-on", "agent_lost"),
    )
    assert (done.code, done.err) == (0, "")
    told = at_server("deployments", "show", f"{flow_name}/bound").out
    facts = dict(line.split("  ", 1) for line in told.splitlines())
    assert facts["crash retries"].strip() == "2 after 30 s on agent_lost, out_of_memory"
    assert facts["max run"].strip() == "1 h 30 min, then retry"
    assert facts["max pending"].strip() == "5 min, then fail"
    assert facts["must start by"].strip() == "1 d, then cancel"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--max-run", "soon"), "Write 30s, 5m, 1h, 1d or 1h30m"),
        (("--max-run", "1h:explode"), "Write 1h:fail, 1h:cancel or 1h:retry"),
        (("--max-run", "1h:retry"), "--max-run: Its retries come from the crash budget"),
        (("--must-start-by", "1h:retry"), "--must-start-by: A run that starts too late"),
        (("--crash-retry-on", "bad_luck"), "out_of_memory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_limits_that_cannot_be_are_refused_by_their_option(
    at_server: Shell, flow_name: str, typed: tuple[str, ...], said: str
) -> None:
    done = at_server("deploy", "flows.py:nightly", "-n", "bound", *typed)
    assert done.code in {1, 2}
    assert said in done.err


def test_to_deploy_again_is_to_change(at_server: Shell, flow_name: str) -> None:
    first = json.loads(
        at_server("deploy", "flows.py:nightly", "-n", "prod", "--interval", "1d", "--json").out
    )
    again = json.loads(at_server("deploy", "flows.py:nightly", "-n", "prod", "--paused", "--json").out)
    assert again["id"] == first["id"]
    assert (first["paused"], len(first["schedules"])) == (False, 1)
    assert (again["paused"], again["schedules"]) == (True, [])


def test_a_deployment_is_paused_resumed_and_deleted(at_server: Shell, deployed: str) -> None:
    def paused() -> bool:
        shown = json.loads(at_server("deployments", "show", deployed, "--json").out)
        return bool(shown["deployment"]["paused"])

    assert at_server("deployments", "pause", deployed).code == 0
    assert paused()
    assert at_server("deployments", "resume", deployed).code == 0
    assert not paused()
    assert at_server("deployments", "delete", deployed).code == 1, "nobody said yes"
    assert at_server("deployments", "delete", deployed, "--yes").code == 0
    assert "There is no deployment" in at_server("deployments", "show", deployed).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cron", "61 * * * *"], "--cron: "),
        (["--cron", "0 3 * * *", "--timezone", "Europe/Zurick"], "Europe/Zurich"),
        (["--rrule", "FREQ=SOMETIMES"], "--rrule: "),
        (["-p", "nowhere"], "There is no work pool 'nowhere'"),
        (["--max-run", "1h:retry"], "--max-run: Its retries come from the crash budget"),
        (["--must-start-by", "1h:retry"], "--must-start-by: A run that starts too late"),
    ],
    ids=" ".join,
)
def test_what_the_server_refuses_names_the_option(
    at_server: Shell, flow_name: str, options: list[str], said: str
) -> None:
    done = at_server("deploy", "flows.py:nightly", "-n", "prod", *options)
    assert done.code == 1
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert at_server("deployments", "show", f"{flow_name}/prod").code == 1, "nothing is half made"


def test_code_that_cannot_be_loaded_is_told(at_server: Shell, flow_name: str) -> None:
    assert "absent.py" in at_server("deploy", "absent.py:f", "-n", "x").err
    assert at_server("deploy", "flows.py:weekly", "-n", "x").code == 1
    (at_server.directory / "broken.py").write_text("import nothing_like_this\n")
    assert "nothing_like_this" in at_server("deploy", "broken.py:f", "-n", "x").err


def test_an_unknown_deployment_names_the_nearest(at_server: Shell, deployed: str) -> None:
    done = at_server("run", deployed.replace("/prod", "/pord"))
    assert done.code == 1
    assert f"Did you mean {deployed}" in done.err


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_is_asked_for_with_parameters(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed, "-P", "rows=9", "--name", "mine", "--tag", "adhoc")
    run = client.call(endpoints.read_flow_run, id=run_id)
    assert run.parameters == {"day": "2026-01-31", "rows": 9}
    assert (run.name, run.tags, run.state_type) == ("mine", ["adhoc"], StateType.SCHEDULED)


def test_parameters_that_do_not_fit_are_refused(at_server: Shell, deployed: str) -> None:
    done = at_server("run", deployed, "-P", "rows=many", "-P", "day=x")
    assert done.code == 1
    assert "rows" in done.err


def test_each_request_is_a_run_and_the_same_key_the_same(at_server: Shell, deployed: str) -> None:
    assert ask_for_run(at_server, deployed) != ask_for_run(at_server, deployed)
    keyed = [ask_for_run(at_server, deployed, "--idempotency-key", "k") for _ in range(2)]
    assert keyed[0] == keyed[1]


def test_a_run_can_be_due_later(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed, "--at", "2030-01-31T03:00+00:00")
    run = client.call(endpoints.read_flow_run, id=run_id)
    assert run.expected_start_time == "2030-01-31T03:00:00+00:00"
    coming = json.loads(
        at_server("runs", "ls", "--state", "scheduled", "--deployment", deployed, "--json").out
    )
    assert [each["id"] for each in coming] == [str(run_id)]
    assert at_server("runs", "ls", "--deployment", deployed).out == "", "it is not due"


def test_runs_are_listed_shown_and_explained(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed)
    enter(client, run_id, StateType.RUNNING)
    enter(client, run_id, StateType.FAILED, "no rows")
    rows = at_server("runs", "ls", "--state", "Failed", "--deployment", deployed).out.splitlines()
    assert rows[0].split() == ["id", "run", "deployment", "state", "due", "ran", "for"]
    assert rows[1].split()[0] == str(run_id)
    assert deployed in rows[1]
    told = at_server("runs", "show", str(run_id)).out
    assert "no rows" in told
    assert re.search(r"^due → started +\d", told, re.MULTILINE)
    shown = json.loads(at_server("runs", "show", str(run_id), "--json").out)
    assert [each["name"] for each in shown["states"]][-2:] == ["Running", "Failed"]
    why = at_server("runs", "explain", str(run_id))
    assert why.code == 0
    assert why.out.startswith("Failed: ")
    assert json.loads(at_server("runs", "explain", str(run_id), "--json").out)["flow_run_id"] == str(run_id)


def test_a_run_is_found_by_the_beginning_of_its_id(at_server: Shell, deployed: str) -> None:
    ids = {str(ask_for_run(at_server, deployed)) for _ in range(2)}
    first = ids.pop()
    length = next(n for n in range(4, 36) if first[:n] not in {other[:n] for other in ids})
    if length < 36:
        assert json.loads(at_server("runs", "show", first[: length + 4], "--json").out)["run"]["id"] == first
    done = at_server("runs", "show", "ffffffff-ffff")
    assert (done.code, "No recent run's id begins with" in done.err) == (1, True)
    assert "There is no run" in at_server("runs", "show", str(uuid4())).err


def test_logs_are_printed_by_level(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed)
    say(client, run_id, "hello")
    say(client, run_id, "beware", 30)
    done = at_server("runs", "logs", str(run_id))
    assert [line.split(": ", 1)[1] for line in done.out.splitlines()] == ["hello", "beware"]
    (line,) = at_server("runs", "logs", str(run_id), "--level", "warning", "--json").out.splitlines()
    assert json.loads(line)["message"] == "beware"


def test_a_terminal_gets_short_ids_and_colours(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed)
    enter(client, run_id, StateType.RUNNING)
    enter(client, run_id, StateType.COMPLETED)
    parent, child = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "reeve", "runs", "ls", "--deployment", deployed],
        env={**at_server.environment, "TERM": "xterm-256color", "COLUMNS": "100"},
        stdout=child,
        check=False,
        timeout=SECONDS,
    )
    os.close(child)
    with os.fdopen(parent, "rb") as terminal:
        head, row = terminal.readline().decode(), terminal.readline().decode()
        with pytest.raises(OSError, match="Input/output"):  # how a terminal ends
            terminal.readline()
    assert done.returncode == 0
    assert "\x1b[1m" in head
    assert row.startswith(str(run_id)[:8] + " ")
    assert "\x1b[32mCompleted" in row


# --- watching ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "code"), [(StateType.COMPLETED, 0), (StateType.FAILED, 1)], ids=str)
def test_a_watched_run_is_seen_as_it_goes(
    client: Client, deployed: str, watch: Any, end: StateType, code: int
) -> None:
    watched = watch("run", deployed, "-P", "day=x", "--watch")
    run_id = UUID(watched.until(r"\((\S{36})\)")[1])
    watched.until("Scheduled")
    enter(client, run_id, StateType.RUNNING)
    watched.until("Running")
    say(client, run_id, "step one")
    watched.until("INFO +flow: step one")
    say(client, run_id, "last words")
    enter(client, run_id, end, "that is it")
    assert watched.end() == code
    assert "last words" in "".join(watched.lines)
    assert f"{end.value.capitalize()}: that is it" in watched.lines[-1]


def test_a_watched_run_as_json_is_a_line_each(client: Client, deployed: str, watch: Any) -> None:
    watched = watch("run", deployed, "-P", "day=x", "--watch", "--json")
    watched.until('"state"')
    run_id = UUID(json.loads(watched.lines[-1])["state"]["state_details"]["flow_run_id"])
    enter(client, run_id, StateType.RUNNING)
    say(client, run_id, "hello")
    watched.until('"log"')
    enter(client, run_id, StateType.COMPLETED)
    assert watched.end() == 0
    assert json.loads(watched.lines[-1])["run"]["state_type"] == "COMPLETED"


def test_ctrl_c_ends_the_watching_not_the_run(client: Client, deployed: str, watch: Any) -> None:
    watched = watch("run", deployed, "-P", "day=x", "--watch")
    run_id = UUID(watched.until(r"\((\S{36})\)")[1])
    enter(client, run_id, StateType.RUNNING)
    watched.until("Running")
    watched.process.send_signal(signal.SIGINT)
    assert watched.end() == 130
    assert f"the run goes on. Cancel it with: reeve runs cancel {run_id}" in watched.errors
    assert client.call(endpoints.read_flow_run, id=run_id).state_type is StateType.RUNNING


def test_watching_outlives_a_restart_of_the_server(tmp_path: Path, watch: Any) -> None:
    with running_server(tmp_path / "home") as server, server.client() as client:
        shell = Shell(server.environment, tmp_path)
        (tmp_path / "flows.py").write_text(FLOWS.format(name="patient"))
        assert shell("deploy", "flows.py:nightly", "-n", "prod").code == 0
        watched = watch("run", "patient/prod", "-P", "day=x", "--watch", shell=shell)
        run_id = UUID(watched.until(r"\((\S{36})\)")[1])
        enter(client, run_id, StateType.RUNNING)
        watched.until("Running")
        server.stop()
        assert "Waiting for it" in watched.process.stderr.readline()
        server.start()
        enter(client, run_id, StateType.COMPLETED)
        assert watched.end() == 0


def test_logs_are_followed_to_the_end(client: Client, at_server: Shell, deployed: str, watch: Any) -> None:
    run_id = ask_for_run(at_server, deployed)
    enter(client, run_id, StateType.RUNNING)
    say(client, run_id, "one")
    watched = watch("runs", "logs", "-f", str(run_id))
    watched.until("one")
    say(client, run_id, "two")
    watched.until("two")
    enter(client, run_id, StateType.COMPLETED)
    assert watched.end() == 0


# --- cancelling ----------------------------------------------------------------------------------


def state_of(client: Client, run_id: UUID) -> FlowRunResponse:
    return client.call(endpoints.read_flow_run, id=run_id)


def test_a_run_that_waits_is_cancelled_at_once(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed)
    done = at_server("runs", "cancel", str(run_id))
    assert (done.code, done.err) == (0, "")
    assert done.out.rstrip().endswith("is Cancelled.")
    assert state_of(client, run_id).state_type is StateType.CANCELLED


def test_what_has_ended_cannot_be_cancelled(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed)
    enter(client, run_id, StateType.RUNNING)
    enter(client, run_id, StateType.COMPLETED)
    done = at_server("runs", "cancel", str(run_id))
    assert done.code == 1
    assert "cannot be cancelled" in done.err
    assert state_of(client, run_id).state_type is StateType.COMPLETED


def test_cancelling_waits_for_the_proof(client: Client, at_server: Shell, deployed: str, watch: Any) -> None:
    run_id = ask_for_run(at_server, deployed)
    enter(client, run_id, StateType.RUNNING)
    watched = watch("runs", "cancel", str(run_id))
    watched.until("is Cancelling")
    holds = watched.process.stderr.readline()
    assert holds.strip(), "it says what it waits for"
    enter(client, run_id, StateType.CANCELLED)
    assert watched.end() == 0
    assert "is Cancelled." in watched.lines[-1]


def test_one_need_not_wait_and_can_force(at_server: Shell, client: Client, deployed: str) -> None:
    run_id = ask_for_run(at_server, deployed)
    enter(client, run_id, StateType.RUNNING)
    asked = at_server("runs", "cancel", str(run_id), "--no-wait")
    assert (asked.code, asked.out.rstrip().endswith("is Cancelling.")) == (0, True)
    forced = at_server("runs", "cancel", str(run_id), "--force")
    assert (forced.code, forced.out.rstrip().endswith("is Cancelled.")) == (0, True)
    message = state_of(client, run_id).state
    assert message is not None
    assert "unproven" in (message.message or "")


# --- doors ---------------------------------------------------------------------------------------


def test_another_users_home_has_no_key(server: Server, reeve: Shell) -> None:
    done = reeve("runs", "ls", REEVE_API_URL=server.url)
    assert done.code == 1
    assert "wants a key. Set REEVE_API_KEY" in done.err
    assert "does not know this key" in reeve("runs", "ls", REEVE_API_URL=server.url, REEVE_API_KEY="x").err


def test_a_second_server_on_the_port_is_told(server: Server, reeve: Shell) -> None:
    done = reeve("server", "start", "--port", str(server.port))
    assert done.code == 1
    assert f"{server.port}" in done.err
    assert "--port" in done.err
    assert "Traceback" not in done.err


def test_a_second_server_on_the_file_is_told(server: Server, at_server: Shell) -> None:
    done = at_server("server", "start", "--port", str(server.port + 1))
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.startswith("Error: ")
