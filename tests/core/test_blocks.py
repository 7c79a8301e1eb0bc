"""Blocks: checksums as a 2.20 client computes them, secrets hidden and restored, references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.making import untimed

from reeve.core.blocks import checksum, hidden, reference, restored, secret_fields, slugs_referred_to
from reeve.core.sealing import HIDDEN
from reeve.core.system_blocks import SYSTEM_BLOCKS
from reeve.errors import InvalidInputError

# Classes of blocks made up for this, with what Prefect 2.20.26 says of each: nested blocks, enumerations,
# models, unions, numbers of every size, letters beyond ASCII.
OBSERVED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "blocks" / "checksums.json").read_text()
)
ID = UUID("00000000-0000-0000-0000-000000000001")


@pytest.mark.parametrize("name", OBSERVED)
def test_checksums_are_those_of_2_20(name: str) -> None:
    assert checksum(OBSERVED[name]["fields"]) == OBSERVED[name]["checksum"]


def test_a_checksum_counts_fields_but_neither_order_nor_secrets() -> None:
    fields = OBSERVED["mid"]["fields"]
    turned = dict(reversed(fields.items()))
    assert checksum({**turned, "secret_fields": []}) == checksum(fields)
    assert checksum({**fields, "title": "x"}) != checksum(fields)
    assert checksum({**fields, "definitions": {}}) != checksum(fields), "the enumeration counts"


def test_slugs_referred_to() -> None:
    assert list(slugs_referred_to(OBSERVED["outer"]["fields"])) == ["mid", "inner", "secret", "inner"]
    assert list(slugs_referred_to({"block_schema_references": None})) == []
    assert list(slugs_referred_to({"block_schema_references": {"a": 1, "b": {}}})) == []


def test_paths_that_are_none_are_left_out() -> None:
    assert secret_fields({"secret_fields": ["a.b", 1, None]}) == ["a.b"]
    assert secret_fields({"secret_fields": None}) == secret_fields({}) == []


@pytest.mark.parametrize(
    ("path", "data", "shown"),
    [
        ("a", {"a": "x", "b": "y"}, {"a": HIDDEN, "b": "y"}),
        ("a", {"a": 0}, {"a": HIDDEN}),
        ("a", {"a": {"b": 1}}, {"a": HIDDEN}),
        ("a", {"a": None}, {"a": None}),
        ("a", {"b": 1}, {"b": 1}),
        ("a.b", {"a": {"b": "x", "c": 1}}, {"a": {"b": HIDDEN, "c": 1}}),
        ("a.b", {"a": "text"}, {"a": "text"}),
        ("a.b", {"a": [{"b": "x"}]}, {"a": [{"b": "x"}]}),
        (
            "a.*",
            {"a": {"b": "x", "c": {"d": None, "e": [1]}}},
            {"a": {"b": HIDDEN, "c": {"d": HIDDEN, "e": HIDDEN}}},
        ),
        ("a.*", {"a": "text"}, {"a": HIDDEN}),
        ("a.*.b", {"a": {"x": {"b": 1, "c": 2}}}, {"a": {"x": {"b": HIDDEN, "c": HIDDEN}}}),
    ],
)
def test_hiding_as_2_20_does(path: str, data: dict[str, Any], shown: dict[str, Any]) -> None:
    before = json.dumps(data)
    assert hidden(data, [path]) == shown
    assert json.dumps(data) == before, "what is stored is not what is shown"


PATHS = st.lists(st.sampled_from(["a", "a.b", "a.*", "b.a.b", "b.*", "*"]), max_size=3)
VALUES = st.recursive(
    st.sampled_from([None, 0, "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
DATA = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@untimed
@given(DATA, PATHS)
def test_what_comes_back_as_it_was_shown_changes_nothing(data: dict[str, Any], paths: list[str]) -> None:
    assert restored(hidden(data, paths), data, paths) == data


@untimed
@given(DATA, DATA, PATHS)
def test_what_is_not_hidden_is_taken_as_it_comes(
    data: dict[str, Any], stored: dict[str, Any], paths: list[str]
) -> None:
    assert restored(data, stored, paths) == data


def test_a_hidden_value_that_was_never_stored_is_taken_as_it_comes() -> None:
    assert restored({"a": HIDDEN, "b": HIDDEN}, {"b": 1}, ["a"]) == {"a": HIDDEN, "b": HIDDEN}


def test_references() -> None:
    assert reference({"$ref": {"block_document_id": str(ID)}}) == ID
    others: list[Any] = [
        None,
        "x",
        {},
        {"$ref": "#/a"},
        {"$ref": {}},
        {"ref": {"block_document_id": str(ID)}},
    ]
    for plain in others:
        assert reference(plain) is None
    for wrong in ("x", None, 1):
        with pytest.raises(InvalidInputError, match="A reference reads") as refusal:
            reference({"$ref": {"block_document_id": wrong}})
        assert refusal.value.field == "data"


def test_system_blocks_name_their_secrets() -> None:
    fields = {one.slug: one.fields for one in SYSTEM_BLOCKS}
    assert len(fields) == len({one.name for one in SYSTEM_BLOCKS}) == len(SYSTEM_BLOCKS)
    assert fields["secret"]["secret_fields"] == ["value"]
    assert fields["webhook"]["secret_fields"] == ["url", "headers.*"]
    assert len({checksum(one) for one in fields.values()}) == len(fields)
    for one in fields.values():
        assert set(one.get("required", ())) <= one["properties"].keys()
