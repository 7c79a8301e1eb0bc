"""``reeve up`` as a user has it: what it starts, what it mends, and that nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.cli.conftest import SECONDS, Shell, bare_environment, free_port

FLOWS = """
import os
import time
from pathlib import Path
from reeve import flow

@flow
def nightly(day: str):
    print("loading", day)

@flow
def lasting(seconds: float, sign: str):
    Path(f"{sign}.pid").write_text(str(os.getpid()))
    Path(sign).write_text("started")
    time.sleep(seconds)
    Path(sign).write_text("finished")
"""


def wait_for(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s for {what}"
        time.sleep(0.02)


def processes_of(home: Path) -> set[int]:
    """All processes that were started for a home, by their environment."""
    mark = f"REEVE_HOME={home}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found


class Up:
    """A running ``reeve up``, what it says, and a shell beside it."""

    def __init__(self, directory: Path, *options: str, **variables: str) -> None:
        self.home = directory / "home"
        self.port = free_port()
        environment = {
            **bare_environment(),
            **variables,
            "REEVE_HOME": str(self.home),
            "REEVE_SERVER_PORT": str(self.port),
            # The tester's own interpreter is what runs flows too.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        (directory / "flows.py").write_text(FLOWS)
        self.reeve = Shell(environment, directory)
        self.process = self.reeve.start("up", *options)
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def says(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def until_up(self) -> str:
        """Read the block that says so."""
        assert self.process.stdout is not None
        block = ""
        for line in self.process.stdout:
            block += line
            if line.startswith("Ctrl-C"):
                return block
        raise AssertionError(f"it did not come up: {self.said}")

    def child(self, wing: str) -> int:
        """The process of one wing."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(
            int(pid)
            for pid in children
            if wing.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        )

    def ctrl_c(self) -> None:
        """What the terminal does: SIGINT for the group in front, which is the parent's alone."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def close(self) -> None:
        for pid in {*processes_of(self.home), self.process.pid}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


StartUp = Callable[..., Up]


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[StartUp]:
    """Start ``reeve up`` in a directory of its own; nothing outlives the test."""
    started: list[Up] = []

    def start(*options: str, **variables: str) -> Up:
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Up(directory, *options, **variables))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_the_first_page_works_and_nothing_is_left(start_up: StartUp) -> None:
    up = start_up()
    block = up.until_up()
    assert f"http://127.0.0.1:{up.port}/api" in block
    assert f"sqlite:///{up.home}/reeve.db" in block
    assert "pool default, queue default" in block
    assert up.reeve("deploy", "flows.py:nightly", "-n", "prod", "-p", "default", "-q", "default").code == 0
    done = up.reeve("run", "nightly/prod", "-P", "day=2026-01-31", "--watch")
    assert (done.code, "Completed" in done.out) == (0, True), (done, up.said)
    (agent,) = json.loads(up.reeve("agent", "ls", "--json").out)
    assert (agent["work_pool_name"], agent["status"], agent["limit"]) == ("default", "ONLINE", 8)
    up.ctrl_c()
    assert up.end() == 0
    wait_for(lambda: not processes_of(up.home), "everything to end")


def test_it_serves_from_postgres(start_up: StartUp, postgres_url: str) -> None:
    up = start_up("--database-url", postgres_url)
    assert "postgresql://" in up.until_up()
    assert up.reeve("deploy", "flows.py:nightly", "-n", "prod").code == 0
    done = up.reeve("run", "nightly/prod", "-P", "day=2026-01-31", "--watch")
    assert done.code == 0, (done, up.said)
    up.ctrl_c()
    assert up.end() == 0


def test_queues_and_a_pool_of_ones_own_are_made(start_up: StartUp) -> None:
    up = start_up("-p", "gpu", "-q", "fast", "-q", "slow", "--limit", "2")
    assert "pool gpu, queue fast, slow: 2 runs at once" in up.until_up()
    queues = json.loads(up.reeve("queues", "ls", "-p", "gpu", "--json").out)
    assert {each["name"] for each in queues} == {"default", "fast", "slow"}


def test_ctrl_c_lets_runs_finish(start_up: StartUp, tmp_path: Path) -> None:
    up = start_up()
    up.until_up()
    sign = tmp_path / "sign"
    up.reeve("deploy", "flows.py:lasting", "-n", "prod")
    assert up.reeve("run", "lasting/prod", "-P", "seconds=2", "-P", f"sign={sign}").code == 0
    wait_for(sign.exists, "the run to start")
    up.ctrl_c()
    assert up.end() == 0
    assert up.says("Runs get 10 s to finish")
    assert sign.read_text() == "finished"
    wait_for(lambda: not processes_of(up.home), "everything to end")


def test_a_second_ctrl_c_ends_runs(start_up: StartUp, tmp_path: Path) -> None:
    up = start_up(REEVE_DRAIN_TIMEOUT="3600")
    up.until_up()
    sign = tmp_path / "sign"
    up.reeve("deploy", "flows.py:lasting", "-n", "prod")
    assert up.reeve("run", "lasting/prod", "-P", "seconds=600", "-P", f"sign={sign}").code == 0
    wait_for(sign.exists, "the run to start")
    up.ctrl_c()
    wait_for(lambda: up.says("Runs get 3600 s to finish"), "the drain")
    up.ctrl_c()
    assert up.end() == 0
    assert sign.read_text() == "started"
    wait_for(lambda: not processes_of(up.home), "everything to end")


def test_a_cancelled_run_is_gone(start_up: StartUp, tmp_path: Path) -> None:
    up = start_up()
    up.until_up()
    sign = tmp_path / "sign"
    up.reeve("deploy", "flows.py:lasting", "-n", "prod")
    asked = up.reeve("run", "lasting/prod", "-P", "seconds=600", "-P", f"sign={sign}", "--json")
    wait_for(sign.exists, "the run to start")
    run_id = json.loads(asked.out)["id"]
    process = Path(f"/proc/{Path(f'{sign}.pid').read_text()}")
    assert process.exists()
    done = up.reeve("runs", "cancel", run_id)
    assert (done.code, done.out.splitlines()[-1].endswith("is Cancelled.")) == (0, True), done
    assert not process.exists()
    assert up.reeve("runs", "ls", "--state", "Cancelled").out.count(run_id) == 1


@pytest.mark.parametrize("wing", ["server", "agent"])
def test_what_dies_is_started_again(start_up: StartUp, wing: str) -> None:
    up = start_up()
    up.until_up()
    up.reeve("deploy", "flows.py:nightly", "-n", "prod")
    killed = up.child(wing)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: up.says(f"The {wing} ended (SIGKILL). Starting it again in 1 s."), "the notice")

    def is_back() -> bool:
        with suppress(StopIteration, OSError):
            return up.child(wing) != killed and up.reeve("runs", "ls").code == 0
        return False

    wait_for(is_back, f"the {wing}")
    done = up.reeve("run", "nightly/prod", "-P", "day=2026-01-31", "--watch")
    assert done.code == 0, (done, up.said)
    up.ctrl_c()
    assert up.end() == 0


def test_children_do_not_outlive_a_parent_that_is_killed(start_up: StartUp) -> None:
    up = start_up()
    up.until_up()
    up.process.kill()
    up.process.wait(SECONDS)
    wait_for(lambda: not processes_of(up.home), "everything to end")


def test_ctrl_c_while_starting_leaves_nothing(start_up: StartUp) -> None:
    up = start_up()
    wait_for((up.home / "key").exists, "the start")
    up.ctrl_c()
    assert up.end() in {0, 1}, "1 before it listens to signals"
    wait_for(lambda: not processes_of(up.home), "everything to end")


def test_a_port_in_use_is_told(start_up: StartUp) -> None:
    up = start_up()
    up.until_up()
    other = start_up("--port", str(up.port))
    assert other.end() == 1
    assert re.search(rf"127\.0\.0\.1:{up.port} already.*--port", "".join(other.said))
    assert not processes_of(other.home)


def test_a_home_in_use_is_told(start_up: StartUp) -> None:
    up = start_up()
    up.until_up()
    done = up.reeve("up", "--port", str(free_port()))
    assert done.code == 1
    assert done.err.startswith("Error: ")
    assert "Traceback" not in done.err
    assert up.reeve("runs", "ls").code == 0, "the first goes on"


def test_ctrl_c_reaches_the_parent_only(start_up: StartUp) -> None:
    up = start_up()
    up.until_up()
    groups = {os.getpgid(pid) for pid in (up.process.pid, up.child("server"), up.child("agent"))}
    assert len(groups) == 3


def test_output_that_nobody_reads_ends_nothing(tmp_path: Path) -> None:
    up = Up(tmp_path)
    try:
        up.until_up()
        assert up.process.stdout is not None
        up.process.stdout.close()
        up.ctrl_c()
        assert up.end() == 0
    finally:
        up.close()
