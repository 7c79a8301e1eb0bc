"""A secret parameter from the command line to the flow, and nowhere else on the way."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.acceptance.house import PATIENCE, House, until

SOURCE = """
import hashlib, os, pathlib, signal, sys, time
from reeve import Secret, flow, get_run_logger, task

@task(cache_by="{password}", task_run_name="connect with {password}")
def connect(password: Secret) -> None:
    print("task", password)

@flow(flow_run_name="load with {password}")
def inner(password: Secret) -> None:
    get_run_logger().info("inner %r", password)

@flow
def main(password: Secret, at: str) -> None:
    place = pathlib.Path(at)
    place.joinpath("ready").touch()
    while not place.joinpath("go").exists():
        time.sleep(0.02)
    if not place.joinpath("died").exists():
        place.joinpath("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    get_run_logger().info("flow %s", password)
    connect(password)
    inner(password)
    place.joinpath("digest").write_text(hashlib.sha256(password.get_secret_value().encode()).hexdigest())

if __name__ == "__main__":
    inner(sys.stdin.readline())
"""
TEXT = "open sesame 4711"


def holding(root: Path) -> list[Path]:
    """Return the files below a directory that have the text in them."""
    found = []
    for path in root.rglob("*"):
        try:
            if path.is_file() and TEXT.encode() in path.read_bytes():
                found.append(path)
        except OSError:  # gone, as files of runs do
            continue
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_secret_is_nowhere_but_in_its_flow(house: House, database_url: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    given = house.flows / "given.txt"
    given.write_text(f"{TEXT}\n")
    house.start_agent()
    deployment = house.deploy(SOURCE, "main", "--crash-retries", "1")
    run_id = house.run(deployment, "-P", "password=@given.txt", "-P", f"at={place}")
    given.unlink()
    until("the flow", (place / "ready").exists)
    (job,) = holding(tmp_path)
    assert (job.suffix, stat.S_IMODE(job.stat().st_mode)) == (".json", 0o600)
    for pid in house.members():
        told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert TEXT.encode() not in told
    (place / "go").touch()
    ended = house.ends(run_id)
    assert ended.state_name == "Completed", house.cli("runs", "logs", str(run_id))
    assert len(house.attempts(run_id)) == 2, "an attempt after a crash has it too"
    assert (place / "digest").read_text() == hashlib.sha256(TEXT.encode()).hexdigest()
    said = [
        house.cli(*words, str(run_id))
        for words in (("runs", "show"), ("runs", "show", "--json"), ("runs", "logs"), ("explain",))
    ]
    subprocess.run(
        [sys.executable, "flows.py"],
        cwd=house.flows,
        env=house.environ(REEVE_REPORT="server"),
        input=TEXT,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    listed = house.cli("runs", "ls", "--json")
    assert listed.count("load with ********") == 2, "the subflow, and the direct call"
    said.append(listed)
    assert "********" in said[0]
    assert "flow ********" in said[2]
    assert TEXT not in "".join(said)
    until("the job file to go", lambda: not holding(tmp_path))
    assert b"$sealed" in b"".join(
        file.read_bytes() for file in tmp_path.glob(f"{Path(urlsplit(database_url).path).name}*")
    )
