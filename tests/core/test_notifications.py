"""Which states are told, and in what words."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from reeve.core.notifications import DELAYS, FIELDS, TEMPLATE, Policy, check_template, next_try, rendered
from reeve.errors import InvalidInputError


@pytest.mark.parametrize(
    ("names", "tags", "wanted"),
    [
        ([], [], True),
        (["Failed"], [], True),
        (["failed", "Late"], [], False),
        ([], ["a"], True),
        ([], ["x", "b"], True),
        ([], ["x"], False),
        (["Failed"], ["x"], False),
        (["Late"], ["a"], False),
    ],
)
def test_what_a_policy_wants(names: list[str], tags: list[str], wanted: bool) -> None:
    assert Policy(uuid4(), names, tags).wants("Failed", ["a", "b"]) is wanted


def test_a_policy_with_tags_wants_no_run_without_any() -> None:
    assert not Policy(uuid4(), [], ["a"]).wants("Failed", [])


def test_every_field_can_be_said() -> None:
    template = " ".join(f"{{{name}}}" for name in FIELDS)
    check_template(template)
    assert rendered(template, {name: name.upper() for name in FIELDS}) == " ".join(map(str.upper, FIELDS))
    check_template(TEMPLATE)
    check_template("no field, {{braces}}")
    assert rendered("{{a}} {flow_name!r:>90}", {"flow_name": "f"}) == "{a} f"
    assert rendered("", {}) == ""


@pytest.mark.parametrize(
    "template", ["{flow_run}", "{}", "{0}", "{flow_name.__class__}", "{flow_name[0]}", "{", "a } b"]
)
def test_templates_that_cannot_be_said(template: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_template(template)
    assert caught.value.field == "message_template"


def test_tries_end() -> None:
    waits = [next_try(tries) for tries in range(1, len(DELAYS) + 2)]
    assert waits[0] == timedelta(seconds=10)
    assert waits[-1] is None
    assert waits[:-1] == sorted(DELAYS)
