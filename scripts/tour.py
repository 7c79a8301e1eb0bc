"""The main job, seen from outside: deploy, run, retry, cancel, crash; each promise is observed or named.

Started by scripts/try. Everything goes through the command line and the API, as a user's would.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0  # seconds for any one thing to happen
DEATH_SECONDS = 2.0  # a dead run with a living shim is noticed within (design §4)
POLL_SECONDS = 0.05
FINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


class UnmetError(Exception):
    """Something that should have been observed was not."""


@dataclass
class Tour:
    """A scratch home, the runs that were asked for, and what was seen of them."""

    home: Path
    port: int
    runs: dict[str, str] = field(default_factory=dict)  # label → run id
    unmet: list[str] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)  # run id → last state shown
    live: Any = None

    def reeve(self, *args: str) -> str:
        """Run a command of reeve's and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "reeve", *args],
            env=self.environ(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnmetError(f"reeve {' '.join(args)} said: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def environ(self) -> dict[str, str]:
        """Return an environment in which only the scratch home counts."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("REEVE_", "PREFECT_"))
        }
        return {
            **kept,
            "REEVE_HOME": str(self.home),
            "REEVE_SERVER_PORT": str(self.port),
            "COLUMNS": "100",
        }

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the server, with the key of the home."""
        from http.client import HTTPConnection

        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        key = (self.home / "key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        method = "GET" if body is None else "POST"
        connection.request(method, f"/api{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise UnmetError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def run(self, label: str, deployment: str, **parameters: object) -> str:
        """Ask for a run by hand and return its id."""
        given = [f"-P{name}={value}" for name, value in parameters.items()]
        asked = json.loads(self.reeve("run", deployment, *given, "--json"))
        self.runs[label] = asked["id"]
        return str(asked["id"])

    def state(self, run_id: str) -> dict[str, Any]:
        """Return a run as it is now, and show it if its state is new."""
        found: dict[str, Any] = self.api(f"/flow_runs/{run_id}")
        self.show(found)
        return found

    def attempts(self, run_id: str) -> list[dict[str, Any]]:
        """Return the attempts of a run."""
        found: list[dict[str, Any]] = self.api(f"/flow_runs/{run_id}/attempts")
        return found

    def show(self, run: dict[str, Any]) -> None:
        """Print a run's new state, or renew the live table."""
        if self.shown.get(run["id"]) == run["state_name"]:
            return
        self.shown[run["id"]] = run["state_name"]
        if self.live is not None:
            self.live.update(table(self))
            return
        label = next((name for name, id_ in self.runs.items() if id_ == run["id"]), run["name"])
        message = (run.get("state") or {}).get("message") or ""
        say(f"{label:<12} {run['state_name']:<14} {message}"[:110])

    def expect(self, promise: str, met: bool, seen: str = "") -> None:
        """Note whether something promised was observed."""
        say(f"{'seen' if met else 'NOT SEEN'}: {promise}{f' ({seen})' if seen else ''}")
        if not met:
            self.unmet.append(promise)


BEGAN = time.monotonic()


def say(text: str) -> None:
    """Print a line at once, with the seconds since the start."""
    print(f"{time.monotonic() - BEGAN:5.1f}  {text}", flush=True)


def until(what: str, look: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(POLL_SECONDS)
    raise UnmetError(f"waited {patience:.0f} s for {what}")


def ended(tour: Tour, run_id: str) -> dict[str, Any] | None:
    """Return a run if it has ended."""
    run = tour.state(run_id)
    return run if run["state_type"] in FINAL else None


def census(*args: str) -> tuple[int, str]:
    """Have the separate census count processes; 0 means that nothing is alive."""
    done = subprocess.run([ROOT / "scripts" / "census", *args], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@contextmanager
def up(tour: Tour) -> Iterator[subprocess.Popen[bytes]]:
    """Have ``reeve up`` running; afterwards nothing of it is left."""
    with (tour.home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reeve", "up", "--limit", "8"],
            env=tour.environ(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                process.wait(30)


def deploy(tour: Tour) -> None:
    """Deploy the examples: one of them on an interval."""
    examples = ROOT / "examples"
    report = tour.home / "report"
    tour.reeve(
        "deploy",
        f"{examples}/stdlib_report.py:stdlib_report",
        "-n",
        "by-hand",
        "-Ptop=15",
        f"-Poutput={report}",
    )
    tour.reeve(
        *("deploy", f"{examples}/stdlib_report.py:stdlib_report", "-n", "by-interval"),
        *(f"-Poutput={tour.home / 'report-by-interval'}", "-Ptop=5", "--interval", "10s"),
    )
    tour.reeve("deploy", f"{examples}/flaky.py:flaky", "-n", "try")
    # Its child ignores SIGTERM: three seconds of grace, where 30 are the default, keep the tour short.
    tour.reeve("deploy", f"{examples}/family.py:family", "-n", "try", "--job", "grace_seconds=3")
    tour.reeve("deploy", f"{examples}/crashy.py:crashy", "-n", "try", "--crash-retries", "2")


def report(tour: Tour) -> None:
    """See a flow over real input complete, and its report."""
    run_id = tour.run("report", "stdlib-report/by-hand")
    run = until("the report", lambda: ended(tour, run_id))
    written = sorted(path.name for path in (tour.home / "report").glob("*"))
    tour.expect(
        "the report is Completed", run["state_type"] == "COMPLETED", f"{written} in {tour.home}/report"
    )


def interval(tour: Tour) -> None:
    """See a run that a schedule made complete."""

    def scheduled() -> dict[str, Any] | None:
        found = tour.api(
            "/flow_runs/filter",
            {
                "deployments": {"name": {"any_": ["by-interval"]}},
                "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
                "sort": "EXPECTED_START_TIME_ASC",
            },
        )
        return found[0] if found else None

    run = until("a run made by the interval schedule", scheduled)
    tour.runs["by interval"] = run["id"]
    tour.show(run)
    tour.expect("a run made by the schedule is Completed", bool(run["auto_scheduled"]), str(run["name"]))
    tour.reeve("deployments", "pause", "stdlib-report/by-interval")


def flaky(tour: Tour) -> None:
    """See a flow fail twice and succeed by its retries."""
    run_id = tour.run("flaky", "flaky/try")
    run = until("the flaky flow", lambda: ended(tour, run_id))
    states = [state["name"] for state in tour.api(f"/flow_run_states/?flow_run_id={run_id}")]
    twice = states.count("AwaitingRetry") == 2
    tour.expect(
        "it failed twice and succeeded by its retries",
        run["state_type"] == "COMPLETED" and twice,
        " → ".join(states),
    )


def crashy(tour: Tour) -> None:
    """Kill a run's process with -9; see the death noticed, and the run retried by its crash budget."""
    pid_file = tour.home / "crashy.pid"
    run_id = tour.run("crashy", "crashy/try", pid_file=pid_file)
    pid = until("the pid of the run to kill", lambda: pid_file.exists() and pid_file.read_text().strip())
    os.kill(int(pid), signal.SIGKILL)
    killed = time.monotonic()
    first = until(
        "the death to be noticed",
        lambda: next((each for each in tour.attempts(run_id) if each["state"] == "CRASHED"), None),
    )
    noticed = time.monotonic() - killed
    tour.expect(
        f"the killed attempt is Crashed within {DEATH_SECONDS:.0f} s",
        noticed <= DEATH_SECONDS,
        f"{noticed:.2f} s: {first['cause']}",
    )
    run = until("the retried run", lambda: ended(tour, run_id))
    attempts = len(tour.attempts(run_id))
    tour.expect(
        "its run is retried and Completed",
        run["state_type"] == "COMPLETED" and attempts == 2,
        f"{attempts} attempts",
    )


def family(tour: Tour, *, broken: bool) -> None:
    """Cancel a run that has a child process of its own; see that nothing of it is left."""
    pid_file = tour.home / "family.pid"
    run_id = tour.run("family", "family/try", pid_file=pid_file)
    child = until("the child's pid", lambda: pid_file.exists() and pid_file.read_text().strip())
    attempt = tour.attempts(run_id)[0]["id"]
    _, before = census(attempt, "--pid", child)
    say(f"processes of the run before the cancel:\n{before}")
    tour.expect("the run and its child are alive before", len(before.splitlines()) >= 2)
    shim = shim_of(child) if broken else None
    if shim:
        os.kill(shim, signal.SIGSTOP)
        say(f"--break: the shim (pid {shim}) is stopped, so nobody kills the run")
    try:
        tour.api(f"/flow_runs/{run_id}/cancel", {})
        patience = 10.0 if broken else PATIENCE
        try:
            run = until("Cancelled", lambda: ended(tour, run_id), patience)
        except UnmetError as error:
            tour.expect("the cancelled run ends", False, str(error))
            run = tour.state(run_id)
        alive, after = census(attempt, "--pid", child)
        say(f"processes of the run after the cancel: {after or 'none'}")
        tour.expect("Cancelled, and nothing of it is left", run["state_type"] == "CANCELLED" and not alive)
    finally:
        if shim:
            os.kill(shim, signal.SIGCONT)


def shim_of(child: str) -> int:
    """Return the process that launched the run that launched ``child``: its parent's parent."""
    parent = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    return int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])


def table(tour: Tour) -> Any:
    """Return the table of all runs, as it is now."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "attempts", "state", "due → code started", "duration"):
        shown.add_column(column)
    for label, run_id in tour.runs.items():
        shown.add_row(label, *figures(tour, run_id))
    return shown


def figures(tour: Tour, run_id: str) -> tuple[str, str, str, str]:
    """Return a run's attempts, state, ms from due to start, and duration."""
    run = tour.api(f"/flow_runs/{run_id}")
    attempts = tour.attempts(run_id)
    due, begun = run["expected_start_time"], attempts[0]["started"] if attempts else None
    waited = (
        f"{(datetime.fromisoformat(begun) - datetime.fromisoformat(due)).total_seconds() * 1000:.0f} ms"
        if begun
        else ""
    )
    lasted = f"{run['estimated_run_time']:.2f} s" if run["start_time"] else ""
    return str(len(attempts)), run["state_name"], waited, lasted


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tour_all(tour: Tour, *, broken: bool) -> None:
    """Go through everything, in the order in which it is waited for."""
    with up(tour) as process:
        until("the server", lambda: answers(tour, process))
        say(f"reeve up: http://127.0.0.1:{tour.port}/api, home {tour.home}")
        deploy(tour)
        steps: list[Callable[[Tour], None]] = [
            report,
            flaky,
            crashy,
            interval,
            lambda each: family(each, broken=broken),
        ]
        for step in steps:
            try:
                step(tour)
            except UnmetError as error:
                tour.expect(str(error), False)
        closing_table(tour)
    left, after = census()
    ours = [line for line in after.splitlines() if str(tour.home) in line] if left else []
    tour.expect(
        "after reeve up has ended, nothing of it is left", not ours and not using_home(tour), "\n".join(ours)
    )


def answers(tour: Tour, process: subprocess.Popen[bytes]) -> bool:
    """Say whether the server answers; raises UnmetError when reeve up has given up."""
    if process.poll() is not None:
        raise UnmetError(f"reeve up ended: {(tour.home / 'up.log').read_text()}")
    try:
        return (tour.home / "key").exists() and bool(tour.api("/agents"))
    except (OSError, UnmetError):
        return False


def using_home(tour: Tour) -> list[str]:
    """Return the processes whose command or environment names the scratch home."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(tour.home).encode() in told and state != "Z":
            found.append(process.name)
    return found


def closing_table(tour: Tour) -> None:
    """Print the table of all runs and where to look further."""
    from rich.console import Console

    if tour.live is None:
        Console(width=100).print(table(tour))
    say(f"Look further: export REEVE_HOME={tour.home}; .venv/bin/reeve up; .venv/bin/reeve runs ls")
    say(f"The report: {tour.home}/report; the logs of server and agent: {tour.home}/up.log")


def main() -> int:
    """Show all of it; return 0 only when everything was observed."""
    parser = argparse.ArgumentParser(prog="scripts/try", description=__doc__)
    parser.add_argument("--break", dest="broken", action="store_true", help="disable the kill: must exit 1")
    options = parser.parse_args()
    tour = Tour(Path(tempfile.mkdtemp(prefix="reeve-try-")), free_port())
    try:
        if sys.stdout.isatty():
            from rich.live import Live

            with Live(refresh_per_second=8) as tour.live:
                tour_all(tour, broken=options.broken)
        else:
            tour_all(tour, broken=options.broken)
    except UnmetError as error:
        tour.expect(str(error), False)
    say(f"Not observed: {', '.join(tour.unmet) or 'nothing, all of it was seen'}")
    return 1 if tour.unmet else 0


if __name__ == "__main__":
    sys.exit(main())
