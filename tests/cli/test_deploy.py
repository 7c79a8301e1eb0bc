"""``reeve deploy`` without an entrypoint: ``reeve.yaml``, seen from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.conftest import Shell

TWO = """
deployments:
  - name: {name}
    entrypoint: flows.py:{first}
    schedules:
      - {{cron: "0 3 * * *", parameters: {{n: 2}}, catchup: last, overlap: queue}}
      - {{interval: 1h, max_late: 10m}}
    crash_retries: 2
  - name: {name}
    entrypoint: flows.py:{second}
"""


@pytest.fixture
def project(at_server: Shell, tmp_path: Path) -> Shell:
    """A directory with two flows and a ``reeve.yaml``."""
    first, second = f"a_{uuid4().hex[:8]}", f"b_{uuid4().hex[:8]}"
    (tmp_path / "flows.py").write_text(
        "from reeve import flow\n"
        f"@flow\ndef {first}(n: int = 1) -> None: ...\n"
        f"@flow\ndef {second}() -> None: ...\n"
    )
    (tmp_path / "reeve.yaml").write_text(TWO.format(name="prod", first=first, second=second))
    return Shell(at_server.environment, tmp_path)


def names(project: Shell) -> list[str]:
    text = (project.directory / "flows.py").read_text()
    return [word.split("(")[0].replace("_", "-") for word in text.split("def ")[1:]]


def test_all_are_deployed_then_nothing_is_left_to_do(project: Shell) -> None:
    first, second = names(project)
    ahead = project("deploy", "--all", "--dry-run")
    assert f"{first}/prod: would be created" in ahead.out
    assert project("deployments", "show", f"{first}/prod").code == 1, "it was a dry run"
    done = project("deploy", "--all")
    assert (done.code, done.err) == (0, "")
    assert f"Deployed {first}/prod" in done.out
    again = project("deploy", "--all")
    assert again.out.splitlines() == [f"{first}/prod is unchanged.", f"{second}/prod is unchanged."]
    shown = json.loads(project("deployments", "show", f"{first}/prod", "--json").out)
    policies = {one["overlap"]: one for one in shown["schedule_policies"]}
    assert policies["queue"]["parameters"] == {"n": 2}
    assert policies["allow"]["max_late"] == 600
    assert shown["deployment"]["paused"] is False
    assert shown["options"]["code_version"].startswith("sha256:")
    assert "catch-up last, overlap queue" in project("deployments", "show", f"{first}/prod").out


def test_policies_are_spelt_as_in_the_file(project: Shell) -> None:
    first, _ = names(project)
    schedule = ("--interval", "1h", "--overlap", "cancel_running", "--catchup", "none")
    done = project("deploy", f"flows.py:{first.replace('-', '_')}", "-n", "by-hand", *schedule)
    assert (done.code, done.err) == (0, "")
    assert "catch-up none, overlap cancel_running" in project("deployments", "show", f"{first}/by-hand").out


def test_a_dry_run_names_the_fields_that_differ(project: Shell) -> None:
    first, _ = names(project)
    assert project("deploy", "--all").code == 0
    file = project.directory / "reeve.yaml"
    file.write_text(file.read_text().replace("crash_retries: 2", "crash_retries: 3"))
    said = json.loads(project("deploy", "-n", f"{first}/prod", "--dry-run", "--json").out)
    assert said == [
        {
            "deployment": f"{first}/prod",
            "change": "would be changed",
            "fields": {"crash_retries": {"from": 2, "to": 3}},
        }
    ]
    anchors = [one["schedule"].get("anchor_date") for one in schedules(project, first)]
    file.write_text(file.read_text().replace("crash_retries: 3", "tags: [new]"))
    assert project("deploy", "--all").code == 0
    assert [one["schedule"].get("anchor_date") for one in schedules(project, first)] == anchors
    source = project.directory / "flows.py"
    source.write_text(source.read_text() + "# changed\n")
    assert "code version: sha256:" in project("deploy", "--all", "--dry-run").out


def schedules(project: Shell, flow: str) -> list[dict[str, dict[str, str]]]:
    shown = json.loads(project("deployments", "show", f"{flow}/prod", "--json").out)
    found: list[dict[str, dict[str, str]]] = shown["deployment"]["schedules"]
    return found


def test_what_is_wrong_is_told_and_nothing_is_deployed(project: Shell) -> None:
    first, _ = names(project)
    file = project.directory / "reeve.yaml"
    assert "Say -n NAME or --all" in project("deploy").err
    assert "--pool goes with FILE.py:FLOW" in project("deploy", "--all", "-p", "x").err
    assert "needs a name" in project("deploy", "flows.py:x").err
    file.write_text(file.read_text().replace("crash_retries", "crash_retrys"))
    wrong = project("deploy", "--all")
    assert wrong.code == 1
    assert "reeve.yaml:8: deployments[0].crash_retrys: a deployment has no key" in wrong.err
    assert "did you mean 'crash_retries'?" in wrong.err
    assert project("deployments", "show", f"{first}/prod").code == 1
