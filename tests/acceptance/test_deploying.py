"""From code to runs: fetched with git, served from Python, begun with ``reeve init``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.acceptance.house import PATIENCE, House, until

from reeve.wire import endpoints as api

FLOW = """
from reeve import flow
import neighbour

@flow
def main() -> None:
    assert neighbour.SAYS == "{says}"
"""
MANIFEST = """
deployments:
  - name: t
    entrypoint: flows.py:main
    pull:
      - git: {{url: "{url}", commit: "{commit}"}}
"""
SERVED = """
import os, pathlib, time
from reeve import flow

@flow
def waits(go: str) -> None:
    print(os.getpid(), flush=True)
    while not pathlib.Path(go).exists():
        time.sleep(0.05)

if __name__ == "__main__":
    waits.serve("here", limit=2, interval=3600, crash_retries=1)
"""
DEPLOYED = """
from datetime import timedelta
from reeve import flow

@flow
def main(n: int) -> int:
    return n

if __name__ == "__main__":
    made = main.deploy(
        "t", parameters={"n": 3}, cron="0 3 * * *", catchup="last", max_run=timedelta(minutes=5)
    )
    print(made.name)
"""


def git(at: Path, *arguments: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.check_output(["git", "-C", str(at), *names, *arguments], text=True).strip()


def test_the_commit_that_was_deployed_is_the_one_that_runs(house: House, tmp_path: Path) -> None:
    (house.flows / "flows.py").write_text(FLOW.format(says="one"))
    (house.flows / "neighbour.py").write_text('SAYS = "one"\n')
    git(house.flows, "init", "--quiet")
    git(house.flows, "add", "--all")
    git(house.flows, "commit", "--quiet", "-m", "one")
    commit = git(house.flows, "rev-parse", "HEAD")
    manifest = house.flows / "reeve.yaml"
    manifest.write_text(MANIFEST.format(url=house.flows, commit=commit))
    house.cli("deploy")
    (house.flows / "neighbour.py").write_text('SAYS = "two"\n')  # what lies here now is not what runs
    house.start_agent()
    for _ in range(2):
        run_id = house.run("main/t")
        assert house.ends(run_id).state_name == "Completed"
        assert [each.code_version for each in house.attempts(run_id)] == [commit]
    assert commit in house.cli("runs", "show", str(run_id))
    assert "(from the cache)" in house.cli("runs", "logs", str(run_id))
    manifest.write_text(MANIFEST.format(url=house.flows, commit="0" * 40))
    house.cli("deploy")
    run = house.ends(house.run("main/t"))
    assert run.state_name == "Failed"
    assert run.state
    assert "it has no commit 0000" in str(run.state.message)


def test_a_flow_that_is_served_runs_until_ctrl_c(house: House) -> None:
    (house.flows / "served.py").write_text(SERVED)
    with (house.root / "served.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "served.py"],
            cwd=house.flows,
            env=house.environ(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until("the agent", lambda: "Looking for work" in house.log("served") or server.poll() is not None)
    go = house.flows / "go"
    done = house.run("waits/here", "-P", f"go={go}")
    house.reaches(done, "Running")
    go.touch()
    assert house.ends(done).state_name == "Completed"
    assert [each.agent_name for each in house.attempts(done)] == ["serve-waits-here"]
    os.killpg(server.pid, signal.SIGINT)  # as a terminal does
    assert server.wait(PATIENCE) == 0, house.log("served")
    until("the agent to be gone", lambda: not house.members("serve-waits-here"))
    found = house.client.call(api.read_deployment_by_name, flow_name="waits", deployment_name="here")
    assert found.paused
    assert "is paused: nobody serves it" in house.log("served")


def test_a_deployment_made_in_python_is_like_any_other(house: House) -> None:
    (house.flows / "flows.py").write_text(DEPLOYED)
    script = [sys.executable, "flows.py"]
    for _ in range(2):
        said = subprocess.check_output(script, cwd=house.flows, env=house.environ(), text=True)
        assert said == "t\n"
    shown = json.loads(house.cli("deployments", "show", "main/t", "--json"))
    assert shown["deployment"]["entrypoint"] == "flows.py:main"
    assert shown["options"]["max_run"] == {"seconds": 300, "then": "fail"}
    assert [one["catchup"] for one in shown["schedule_policies"]] == ["last"]
    house.start_agent()
    assert house.ends(house.run("main/t")).state_name == "Completed"
    wrong = (house.flows / "wrong.py").write_text(DEPLOYED.replace("catchup=", "catch_up="))
    assert wrong
    refused = subprocess.run(
        [sys.executable, "wrong.py"],
        cwd=house.flows,
        env=house.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "deploy() has no key 'catch_up'; did you mean 'catchup'?" in refused.stderr


def test_what_init_writes_works_as_it_is(house: House) -> None:
    assert "reeve deploy" in house.cli("init", "new")
    before = {file.name: file.read_text() for file in (house.flows / "new").iterdir()}
    assert sorted(before) == ["flows.py", "reeve.yaml"]
    assert "already" in house.cli("init", "new", code=1)
    assert before == {file.name: file.read_text() for file in (house.flows / "new").iterdir()}
    house.cli("deploy", "--all", "--file", "new/reeve.yaml")
    house.start_agent()
    assert house.ends(house.run("hello/first")).state_name == "Completed"
    alone = subprocess.run([sys.executable, "new/flows.py"], cwd=house.flows, check=False, timeout=PATIENCE)
    assert alone.returncode == 0
