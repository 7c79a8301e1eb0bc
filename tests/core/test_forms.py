"""Values of a form against a schema: what is said, and where (api-contract §4, /ui/schemas/validate)."""

from __future__ import annotations

from typing import Any

import pytest

from reeve.core import forms
from reeve.errors import InvalidInputError

NUMBER = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TEXT = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
NESTED = {
    "type": "object",
    "properties": {
        "l": {"type": "array", "items": {"type": "string"}},
        "o": {
            "type": "object",
            "properties": {"z": {"type": "integer"}},
            "required": ["z", "w"],
        },
    },
}
REQUIRED = "'x' is a required property"


def kind(kind: Any, **fields: Any) -> dict[str, Any]:
    return {"__prefect_kind": kind, **fields}


def at(name: str, *errors: Any) -> dict[str, Any]:
    return {"property": name, "errors": list(errors)}


@pytest.mark.parametrize(
    ("schema", "values", "expected"),
    [
        (NUMBER, {"x": 1, "unknown": 2}, []),
        ({}, {"x": 1}, []),
        (NUMBER, {"x": "a"}, [at("x", "'a' is not of type 'integer'")]),
        (NUMBER, {}, [at("x", REQUIRED)]),
        (NUMBER, {"x": None}, [at("x", "None is not of type 'integer'")]),
        ({**NUMBER, "required": []}, {"x": None}, []),
        (
            {"properties": {"x": {"minimum": 10, "multipleOf": 3}}},
            {"x": 4},
            [at("x", "4 is less than the minimum of 10"), at("x", "4 is not a multiple of 3")],
        ),
        (
            NESTED,
            {"l": ["a", 1], "o": {"z": "s"}},
            [
                at("l", {"index": 1, "errors": ["1 is not of type 'string'"]}),
                at("o", at("z", "'s' is not of type 'integer'"), at("w", "'w' is a required property")),
            ],
        ),
        ({"minProperties": 2}, {"x": 1}, ["{'x': 1} does not have enough properties"]),
        (
            {"required": ["a", "b"]},
            {},
            [at("a", "'a' is a required property"), at("b", "'b' is a required property")],
        ),
    ],
)
def test_what_does_not_fit_is_told_at_its_place(schema: Any, values: Any, expected: Any) -> None:
    assert forms.errors(schema, values, {}) == expected


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (NUMBER, kind("json", value="1"), []),
        (NUMBER, kind("json", value='"s"'), ["'s' is not of type 'integer'"]),
        (
            NUMBER,
            kind("json", value="{"),
            ["Invalid JSON: Expecting property name enclosed in double quotes"],
        ),
        (NUMBER, kind("json", value=3), ["Invalid JSON: "]),
        (NUMBER, kind("json"), [REQUIRED]),
        (NUMBER, kind("none", value=4), []),
        (NUMBER, kind("none"), ["Missing 'value' key in __prefect object"]),
        (NUMBER, kind(None, value=4), []),
        (NUMBER, kind("new", value="?"), []),
        (NUMBER, kind("jinja", template="{{ 5 }}"), []),
        (NUMBER, kind("jinja", template="{{ 5"), ["Invalid jinja: '{{' is not closed"]),
        (NUMBER, kind("jinja"), ["Missing 'template' key in __prefect object"]),
        (TEXT, kind("workspace_variable", variable_name="known"), []),
        (NUMBER, kind("workspace_variable", variable_name="known"), ["'42' is not of type 'integer'"]),
        (NUMBER, kind("workspace_variable", variable_name="no"), ["Variable 'no' not found in workspace."]),
        (NUMBER, kind("workspace_variable"), [REQUIRED]),
        (
            {"properties": {"x": {"anyOf": [{"type": "array", "items": {"type": "string"}}]}}},
            [kind("jinja", template="t")],
            [],
        ),
    ],
)
def test_values_may_be_written_in_other_ways(schema: Any, value: Any, expected: list[str]) -> None:
    found = forms.errors(schema, {"x": value}, {"known": "42"})
    assert [each["property"] for each in found] == ["x"] * len(expected)
    for each, beginning in zip(found, expected, strict=True):
        (sentence,) = each["errors"]
        assert sentence.startswith(beginning)


def test_all_of_the_values_may_be_written_in_another_way() -> None:
    assert forms.errors(NUMBER, kind("json", value='{"x": 1}'), {}) == []
    assert forms.errors(NUMBER, kind("json", value='{"x": "a"}'), {})[0]["property"] == "x"
    assert forms.errors(NUMBER, kind("jinja", template="t"), {}) == []
    assert forms.errors(NUMBER, kind("json", value="[]"), {}) == ["[] is not of type 'object'"]


def test_the_variables_that_values_refer_to() -> None:
    values = {"a": [kind("workspace_variable", variable_name="v")], "b": {"c": kind("workspace_variable")}}
    assert forms.variable_names(values) == {"v"}


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"properties": {"x": {"$ref": "#/definitions/N"}}}])
def test_what_is_no_schema(schema: Any) -> None:
    with pytest.raises(InvalidInputError, match="Invalid schema"):
        forms.errors(schema, {"x": 1}, {})
