"""How a grant becomes the order to launch it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.agent.standin import grant

from reeve.agent.prepare import Preparation, environment, inherited, job_spec, prepare
from reeve.core.deployments import Engine
from reeve.errors import InvalidInputError
from reeve.wire.responses import Infrastructure

ENVIRON = {
    "PATH": "/bin",
    "REEVE_API_KEY": "secret-1",
    "REEVE_FAULT": "secret-2",
    "REEVE_DATABASE_URL": "secret-3",
    "PREFECT_API_KEY": "secret-4",
    "PREFECT_API_DATABASE_CONNECTION_URL": "secret-5",
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "REEVE_HOME": "/home/of/reeve",
}


@pytest.fixture
def common(tmp_path: Path) -> Preparation:
    return Preparation(
        api_url="http://here:4200/api/",
        environ=inherited(ENVIRON),
        directory=tmp_path,
        kinds={"process"},
        margin_seconds=2.0,
    )


@pytest.mark.parametrize(
    ("engine", "module"), [(Engine.REEVE, "reeve.sdk.entry"), (Engine.PREFECT, "prefect.engine")]
)
def test_the_engine_decides_the_command_of_a_job_that_names_none(
    engine: Engine, module: str, common: Preparation
) -> None:
    assert job_spec(grant([], engine=engine), common).command == [sys.executable, "-m", module]


def test_a_run_overrides_its_deployment_which_overrides_the_pool(common: Preparation) -> None:
    template = {
        "job_configuration": {"command": "{{ command }}", "env": "{{ env }}", "grace_seconds": 7},
        "variables": {"properties": {"command": {"default": "pool"}, "env": {"default": {"A": "pool"}}}},
    }
    overrides = {"env": {"A": "deployment"}, "env.B": "deployment", "grace_seconds": 8}
    job = job_spec(grant(["deployment"], template=template, overrides=overrides), common)
    assert (job.command, job.env) == (["deployment"], {"A": "deployment", "B": "deployment"})
    job = job_spec(
        grant(
            [], template=template, overrides=overrides, run_variables={"env": {"C": "run"}, "env.B": "run"}
        ),
        common,
    )
    assert (job.command, job.env, job.grace_seconds) == (["pool"], {"B": "run", "C": "run"}, 8)


def test_the_block_of_a_deployment_comes_before_the_pools_template(common: Preparation) -> None:
    granted = grant([], template={"command": ["pool"]}, overrides={"env.B": "deployment"})
    granted.infrastructure = Infrastructure(
        type="process",
        data={
            "type": "process",
            "block_type_slug": "process",
            "name": None,
            "labels": {},
            "env": {"A": "block", "GONE": None},
            "command": ["block"],
            "stream_output": True,
            "working_dir": None,
        },
    )
    job = job_spec(granted, common)
    assert (job.command, job.env) == (["block"], {"A": "block", "GONE": None, "B": "deployment"})


@pytest.mark.parametrize("type_", ["docker-container", "deleted", "unreadable"])
def test_a_block_that_is_no_process_is_refused_by_name(type_: str, common: Preparation) -> None:
    granted = grant([])
    granted.infrastructure = Infrastructure(type=type_, data={})
    with pytest.raises(InvalidInputError, match=f"block of the type '{type_}'"):
        job_spec(granted, common)


def test_a_run_gets_its_token_and_none_of_the_agents_secrets(common: Preparation) -> None:
    granted = grant(["x"])
    seen = environment(granted, common, "/job.json")
    assert not [value for value in seen.values() if "secret" in value]
    assert seen["REEVE_API_KEY"] == seen["PREFECT_API_KEY"] == granted.token
    assert (seen["PATH"], seen["PREFECT_LOGGING_LEVEL"], seen["REEVE_HOME"]) == (
        "/bin",
        "DEBUG",
        "/home/of/reeve",
    )


def test_the_jobs_own_variables_win_and_null_takes_away(common: Preparation) -> None:
    order = prepare(grant(["x"], overrides={"env": {"PATH": None, "REEVE_LOG_LEVEL": "INFO"}}), common, 5.0)
    assert "PATH" not in order.env
    assert order.env["REEVE_LOG_LEVEL"] == "INFO"


def test_the_order_says_where_the_lease_is_renewed(common: Preparation) -> None:
    granted = grant(["x"])
    order = prepare(granted, common, 5.0)
    assert order.renewal
    assert (order.renewal.url, order.renewal.token) == ("http://here:4200/api/attempts/renew", granted.token)
    assert order.lease
    assert (order.lease.seconds, order.lease.sent_at, order.lease.margin_seconds) == (20.0, 5.0, 2.0)


def test_the_job_file_is_private_and_says_what_to_run(common: Preparation) -> None:
    order = prepare(grant(["x"], path="/srv/flows"), common, 5.0)
    file = Path(order.env["REEVE_JOB"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes()) == {
        "flow_name": "etl",
        "entrypoint": "flow.py:main",
        "path": "/srv/flows",
        "pull_steps": None,
        "parameters": {"n": 3},
        "run_name": "brave-owl",
        "deployment_name": "nightly",
        "attempt_number": 1,
        "tags": ["t"],
    }


def test_the_directory_is_the_jobs_or_the_deployments_or_a_fresh_one(
    tmp_path: Path, common: Preparation
) -> None:
    here = str(tmp_path)
    assert job_spec(grant([], path=here), common).working_dir == here
    assert job_spec(grant([], path=here, overrides={"working_dir": "/"}), common).working_dir == "/"
    for elsewhere in (str(tmp_path / "missing"), ".", None):
        assert job_spec(grant([], path=elsewhere), common).working_dir is None


def test_a_job_variable_that_means_nothing_is_named(common: Preparation) -> None:
    with pytest.raises(InvalidInputError, match="comand"):
        job_spec(grant([], overrides={"comand": "x"}), common)


def test_a_run_without_deployment_is_prepared_too(common: Preparation) -> None:
    granted = grant([])
    granted.deployment = None
    order = prepare(granted, common, 5.0)
    assert json.loads(Path(order.env["REEVE_JOB"]).read_bytes())["entrypoint"] is None
