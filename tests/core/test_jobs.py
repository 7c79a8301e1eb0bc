"""How a job template and job variables become a job."""

from __future__ import annotations

from typing import Any

import pytest

from reeve.core.jobs import JobSpec, resolve
from reeve.errors import InvalidInputError

TEMPLATE: dict[str, Any] = {
    "job_configuration": {
        "command": "{{ command }}",
        "env": "{{ env }}",
        "working_dir": "{{ working_dir }}",
        "name": "{{ name }}",
        "stream_output": True,
    },
    "variables": {
        "type": "object",
        "properties": {
            "command": {"type": "string"},
            "env": {"type": "object", "default": {"A": "1"}},
            "working_dir": {"type": "string", "default": "/srv"},
            "name": {"type": "string"},
        },
    },
}


def test_an_empty_template_gives_the_defaults() -> None:
    assert resolve({}, {}) == JobSpec(
        command=None, env={}, working_dir=None, grace_seconds=30, stream_output=False
    )


def test_a_template_fills_its_placeholders_from_defaults_and_variables() -> None:
    job = resolve(TEMPLATE, {"command": "python -c 'print(1)'", "working_dir": "/data"})
    assert job == JobSpec(
        command=["python", "-c", "print(1)"], env={"A": "1"}, working_dir="/data", stream_output=True
    )


def test_a_placeholder_inside_a_text_is_written_out() -> None:
    base = {
        "job_configuration": {"command": ["run", "--size={{ size }}{{ more }}"]},
        "variables": {"properties": {"size": {"default": 3}, "more": {}}},
    }
    assert resolve(base, {}).command == ["run", "--size=3"]


def test_a_plain_mapping_is_a_job() -> None:
    base = {"type": "process", "command": ["a"], "env": {"X": "1"}, "labels": {}, "stream_output": None}
    assert resolve(base, {"grace_seconds": 5}) == JobSpec(command=["a"], env={"X": "1"}, grace_seconds=5)


def test_a_dotted_key_reaches_into_the_job_and_leaves_the_template_alone() -> None:
    assert resolve(TEMPLATE, {"env.B": "2"}).env == {"A": "1", "B": "2"}
    assert TEMPLATE["variables"]["properties"]["env"]["default"] == {"A": "1"}


def test_overrides_apply_in_order() -> None:
    assert resolve({}, {"env": {"A": "1"}, "env.B": "2"}).env == {"A": "1", "B": "2"}
    assert resolve({}, {"env.B": "2", "env": {"A": "1"}}).env == {"A": "1"}


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"env.A.B": "1"}, "'env.A' is no mapping"),
        ({"envv.A": "1"}, "Did you mean 'env'"),
        ({"comand": ["a"]}, "Did you mean 'command'"),
        ({"zzz": 1}, "'zzz' means nothing here"),
        ({"command": []}, "'command' is empty"),
        ({"command": "a 'b"}, "'command' cannot be split"),
        ({"command": [1]}, r"\$\.command\[0\]"),
        ({"grace_seconds": -1}, "'grace_seconds' must not be negative"),
        ({"env": ["A=1"]}, "'env' must be a mapping"),
        ({"env.A": {}}, r"'env\.A' must be a text or null"),
    ],
)
def test_what_cannot_be_used_is_named(overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        resolve({}, overrides)


def test_an_undeclared_placeholder_is_named() -> None:
    base = {"job_configuration": {"command": "{{ comand }}"}, "variables": {"properties": {"command": {}}}}
    with pytest.raises(InvalidInputError, match=r"'\{\{ comand \}\}'.*Did you mean 'command'"):
        resolve(base, {})


def test_the_environment_is_laid_over_and_null_takes_away() -> None:
    job = resolve({}, {"env": {"A": "1", "B": None, "N": 3, "F": True}})
    assert job.environment({"B": "old", "C": "kept"}) == {"A": "1", "C": "kept", "N": "3", "F": "True"}
