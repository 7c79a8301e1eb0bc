"""Parameters of runs against the schemas that clients really send."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import Any

import msgspec
import pytest

from reeve.core.parameters import check_parameters
from reeve.errors import InvalidInputError

# def report(day: date, at: datetime | None = None, mode: Literal["full", "short"] = "full",
#            days: list[int] = [], size: Size = Size(), share: float | str = 0.5)
# as pydantic 2 describes it ...
PYDANTIC_2: dict[str, Any] = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "day": {"format": "date", "position": 0, "title": "day", "type": "string"},
        "at": {
            "anyOf": [{"format": "date-time", "type": "string"}, {"type": "null"}],
            "default": None,
            "position": 1,
            "title": "at",
        },
        "mode": {"default": "full", "enum": ["full", "short"], "position": 2, "type": "string"},
        "days": {"default": [], "items": {"type": "integer"}, "position": 3, "type": "array"},
        "size": {"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}], "position": 4},
        "share": {"anyOf": [{"type": "number"}, {"type": "string"}], "default": 0.5, "position": 5},
        "pair": {
            "maxItems": 2,
            "minItems": 2,
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "type": "array",
        },
        "one": {"const": 1},
        "color": {"anyOf": [{"$ref": "#/$defs/Color"}, {"type": "null"}]},
        "share_of": {"type": "object", "additionalProperties": {"type": "number", "maximum": 1}},
        "id": {"type": "string", "format": "uuid"},
        "clock": {"type": "string", "format": "time"},
        "anything": {"title": "anything"},
    },
    "required": ["day"],
    "$defs": {
        "Size": {
            "properties": {"width": {"type": "integer", "minimum": 1}, "unit": {"type": "string"}},
            "required": ["width"],
            "title": "Size",
            "type": "object",
        },
        "Color": {"enum": ["red", "green"], "type": "string"},
    },
}
# ... and pydantic 1, with which most clients of 2.20 run
PYDANTIC_1: dict[str, Any] = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "day": {"title": "day", "position": 0, "type": "string", "format": "date"},
        "limit": {"title": "limit", "position": 1, "type": "integer"},
        "count": {"title": "count", "default": 3, "position": 2, "type": "integer"},
        "size": {"title": "size", "position": 3, "allOf": [{"$ref": "#/definitions/Size"}]},
        "pair": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": [{"type": "integer"}, {"type": "string"}],
        },
    },
    "required": ["day"],
    "definitions": {
        "Size": {
            "title": "Size",
            "type": "object",
            "properties": {"width": {"title": "Width", "type": "integer"}},
            "required": ["width"],
        }
    },
}
DAY = {"day": "2026-01-31"}


@pytest.mark.parametrize(
    ("schema", "parameters"),
    [
        (PYDANTIC_2, DAY),
        (PYDANTIC_2, {**DAY, "at": None, "mode": "short", "days": [1, 2], "size": {"width": 3}}),
        (PYDANTIC_2, {**DAY, "at": "2026-01-31T08:00:00Z", "share": "half", "pair": [1, "a"], "one": 1}),
        (PYDANTIC_2, {**DAY, "share": 1, "color": "red", "share_of": {"a": 0.5}, "anything": {"x": [None]}}),
        (PYDANTIC_2, {**DAY, "id": "00000000-0000-0000-0000-000000000007", "clock": "00:00:00"}),
        (PYDANTIC_1, {**DAY, "limit": 3, "size": {"width": 3}, "pair": [1, "a"]}),
        (PYDANTIC_1, {**DAY, "limit": None}),
        ({}, {"whatever": 1}),
        ({"type": "object", "properties": {}}, {}),
        ({"properties": {}, "additionalProperties": True}, {"whatever": 1}),
        ({"properties": {}, "additionalProperties": {"type": "integer"}}, {"whatever": 1}),
        ({"properties": {}, "patternProperties": {"^x_": {"type": "integer"}}}, {"x_1": 1}),
        ({"properties": {"url": {"type": "string", "format": "uri"}}}, {"url": "not checked"}),
        ({"properties": {"a": True}, "required": ["a"]}, {"a": None}),
    ],
)
def test_what_fits(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    check_parameters(schema, parameters)


@pytest.mark.parametrize(
    ("schema", "parameters", "name", "message"),
    [
        (PYDANTIC_2, {"day": "yesterday"}, "day", "'day': expected a date like 2026-01-31, got 'yesterday'"),
        (PYDANTIC_2, {"day": 3}, "day", "'day': expected a date like 2026-01-31, got 3"),
        (PYDANTIC_2, {"day": None}, "day", "'day': expected a date like 2026-01-31, got None"),
        (PYDANTIC_2, {}, "day", "'day' is required: give a date like 2026-01-31"),
        (PYDANTIC_2, {**DAY, "modus": 1}, "modus", "'modus' is unknown; did you mean 'mode'?"),
        (PYDANTIC_2, {"dya": "2026-01-31"}, "dya", "'dya' is unknown; did you mean 'day'?"),
        (
            PYDANTIC_2,
            {**DAY, "at": "noon"},
            "at",
            "'at': expected a time like 2026-01-31T08:30:00+00:00 or null, got 'noon'",
        ),
        (PYDANTIC_2, {**DAY, "mode": "long"}, "mode", "'mode': expected one of 'full', 'short', got 'long'"),
        (PYDANTIC_2, {**DAY, "mode": None}, "mode", "'mode': expected one of 'full', 'short', got None"),
        (PYDANTIC_2, {**DAY, "days": "1,2"}, "days", "'days': expected a list, got '1,2'"),
        (PYDANTIC_2, {**DAY, "days": [1, True]}, "days", "'days[1]': expected a whole number, got True"),
        (
            PYDANTIC_2,
            {**DAY, "size": {"width": "3"}},
            "size",
            "'size.width': expected a whole number, got '3'",
        ),
        (PYDANTIC_2, {**DAY, "size": 3}, "size", "'size': expected an object or null, got 3"),
        (PYDANTIC_2, {**DAY, "size": {"width": 0}}, "size", "'size.width': 0 is less than the minimum of 1"),
        (PYDANTIC_2, {**DAY, "share": None}, "share", "'share': expected a number or a text, got None"),
        (PYDANTIC_2, {**DAY, "pair": ["a", "b"]}, "pair", "'pair[0]': expected a whole number, got 'a'"),
        (PYDANTIC_2, {**DAY, "pair": [1]}, "pair", "'pair': [1] is too short"),
        (PYDANTIC_2, {**DAY, "one": 2}, "one", "'one': expected 1, got 2"),
        (
            PYDANTIC_2,
            {**DAY, "color": "blue"},
            "color",
            "'color': expected one of 'red', 'green' or null, got 'blue'",
        ),
        (PYDANTIC_2, {**DAY, "share_of": {"a": "b"}}, "share_of", "'share_of.a': expected a number, got 'b'"),
        (PYDANTIC_2, {**DAY, "id": "7"}, "id", "'id': expected a UUID, got '7'"),
        (
            PYDANTIC_2,
            {**DAY, "clock": "8 am"},
            "clock",
            "'clock': expected a time of day like 08:30:00, got '8 am'",
        ),
        (PYDANTIC_1, {**DAY, "count": None}, "count", "'count': expected a whole number, got None"),
        (PYDANTIC_1, {**DAY, "size": {}}, "size", "'size': 'width' is a required property"),
        (PYDANTIC_1, {**DAY, "pair": [1, 2]}, "pair", "'pair[1]': expected a text, got 2"),
        ({"properties": {}}, {"x": 1}, "x", "'x' is unknown; the flow takes no parameters"),
        ({"properties": {"a": {}, "b": {}}}, {"x": 1}, "x", "'x' is unknown; the flow takes a, b"),
        ({"required": ["x"]}, {}, "x", "'x' is required: give a value"),
        (
            {"properties": {"x": {"type": ["integer", "null"]}}},
            {"x": "a"},
            "x",
            "'x': expected a whole number or null, got 'a'",
        ),
    ],
)
def test_what_does_not_fit(
    schema: dict[str, Any], parameters: dict[str, Any], name: str, message: str
) -> None:
    with pytest.raises(InvalidInputError) as raised:
        check_parameters(schema, parameters)
    assert raised.value.message == f"parameter {message}"
    assert raised.value.field == f"parameters.{name}"


def test_long_values_are_shortened() -> None:
    with pytest.raises(InvalidInputError) as raised:
        check_parameters(PYDANTIC_2, {"day": "x" * 10_000})
    assert len(raised.value.message) < 200


class Size(msgspec.Struct):
    width: int


class Parameters(msgspec.Struct):
    size: Size
    names: list[str] | None = None


def test_schemas_of_msgspec_are_understood() -> None:
    (reference,), definitions = msgspec.json.schema_components([Parameters], ref_template="#/$defs/{name}")
    schema = {**definitions[reference["$ref"].rpartition("/")[2]], "$defs": definitions}
    check_parameters(schema, {"size": {"width": 1}, "names": ["a"]})
    with pytest.raises(InvalidInputError, match=r"parameter 'size.width': expected a whole number"):
        check_parameters(schema, {"size": {"width": "a"}})


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": 3},
        {"properties": {"a": {"type": "text"}}},
        {"required": "a"},
        {"properties": {"a": {"$ref": "#/definitions/Gone"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"properties": {"a": {"pattern": "("}}},
    ],
)
def test_a_schema_that_cannot_be_used_is_not_blamed_on_the_parameters(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="deploy the flow again") as raised:
        check_parameters(schema, {"a": "x"})
    assert raised.value.field == "parameter_openapi_schema"


def test_a_foreign_reference_is_not_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = threading.Event()

        def answer() -> None:
            try:
                server.accept()[0].close()
            except OSError:
                return
            asked.set()

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        with pytest.raises(InvalidInputError, match="cannot be used"):
            check_parameters({"properties": {"a": {"$ref": address}}}, {"a": 1})
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert not asked.is_set()


def test_importing_the_core_loads_no_validator_and_no_io() -> None:
    script = (
        "import sys, json, reeve.core.parameters, reeve.core.names, reeve.core.schedules;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {
        "asyncio",
        "socket",
        "subprocess",
        "sqlite3",
        "asyncpg",
        "httpx2",
        "jsonschema",
        "croniter",
    }
    assert "reeve.core.schedules.cron" in loaded
