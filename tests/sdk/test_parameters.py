"""Parameters: bound, made what their hints say, and described as JSON Schema."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve import ParameterError, flow
from reeve.sdk.parameters import convert


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Options:
    limit: int
    tags: list[str] = field(default_factory=list)


class Window(TypedDict):
    start: dt.date
    days: int


def accepts(hint: Any) -> Any:
    """Return a flow with one parameter of this type that returns it."""

    def nightly(value: Any) -> Any:
        return value

    nightly.__annotations__["value"] = hint
    return flow(nightly)


@pytest.mark.parametrize(
    ("hint", "given", "got"),
    [
        (int, "5", 5),
        (float, "1.5", 1.5),
        (float, 1, 1.0),
        (bool, "true", True),
        (str, "5", "5"),
        (int | str, "5", "5"),
        (dt.date, "2026-01-31", dt.date(2026, 1, 31)),
        (dt.datetime, "2026-01-31T08:00:00Z", dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC)),
        (dt.date | dt.datetime, "2026-01-31T08:00:00Z", dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC)),
        (dt.timedelta, 90, dt.timedelta(seconds=90)),
        (uuid.UUID, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        (Decimal, "1.10", Decimal("1.10")),
        (Path, "/tmp/x", Path("/tmp/x")),
        (list[Path], ["/tmp/x"], [Path("/tmp/x")]),
        (int | Path, "x", Path("x")),
        (Colour, "red", Colour.RED),
        (Colour, Colour.RED, Colour.RED),
        (Literal["a", "b"], "b", "b"),
        (int | None, None, None),
        (Annotated[int, msgspec.Meta(ge=1)], "1", 1),
        (Options, {"limit": "3"}, Options(3)),
        (Options, Options(3), Options(3)),
        (Window, {"start": "2026-01-31", "days": 2}, {"start": dt.date(2026, 1, 31), "days": 2}),
        (set[int], [1, 1, 2], {1, 2}),
        (tuple[int, ...], [1, 2], (1, 2)),
        (dict[int, str], {"1": "x"}, {1: "x"}),
        (Any, "as it is", "as it is"),
    ],
)
def test_a_value_becomes_what_the_hint_says(hint: Any, given: Any, got: Any) -> None:
    value = accepts(hint)(given)
    assert value == got
    assert type(value) is type(got)


def test_what_cannot_be_checked_is_taken_as_it_is() -> None:
    class Frame:
        """Something only Python knows."""

    frame = Frame()
    assert accepts(Frame)(frame) is frame
    assert accepts("Unknown")(frame) is frame
    with pytest.raises(ParameterError, match="'value' must be of type Frame, got 5"):
        accepts(Frame)(5)


def test_models_that_validate_themselves_do() -> None:
    class Model:
        """What pydantic's models look like from outside."""

        def __init__(self, x: int) -> None:
            self.x = x

        @classmethod
        def model_validate(cls, value: dict[str, Any]) -> Model:
            if "x" not in value:
                raise ValueError("no x")
            return cls(value["x"])

    assert accepts(Model)({"x": 3}).x == 3
    with pytest.raises(ParameterError, match="'value' must be of type Model"):
        accepts(Model)({})


@pytest.mark.parametrize(
    ("hint", "given", "message"),
    [
        (dt.date, "yesterday", "must be a date like 2026-01-31, got 'yesterday'."),
        (int, "five", "must be a whole number, got 'five'."),
        (int, 1.5, "must be a whole number, got 1.5."),
        (str, 5, "must be text, got 5."),
        (Colour, "blue", "must be one of 'red', 'green', got 'blue'."),
        (Literal["a", "b"], "c", "must be one of 'a', 'b', got 'c'."),
        (int | None, "x", "must be a whole number or null, got 'x'."),
        (dt.date | dt.datetime, "x", "must be a date like 2026-01-31 or a date and time like "),
        (Annotated[int, msgspec.Meta(ge=1, le=9)], 0, "must be a whole number at least 1, at most 9, got 0."),
        (Annotated[str, msgspec.Meta(min_length=2)], "x", "must be text of length at least 2, got 'x'."),
        (
            list[int],
            [1, "x"],
            "must be a list, each a whole number, got [1, 'x'] (at [1]: Expected `int`, got `str`).",
        ),
        (
            Options,
            {"limit": "x"},
            "must be a mapping with the fields of Options, got {'limit': 'x'} (at limit: ",
        ),
        (Path, 5, "must be a path, got 5."),
        (list[str], "x" * 200, "got '" + "x" * 99 + "…."),
    ],
)
def test_the_message_names_the_parameter_and_what_it_must_be(hint: Any, given: Any, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        accepts(hint)(given)
    assert str(caught.value).startswith("Flow 'nightly': parameter 'value' must be ")
    assert message in str(caught.value)
    assert caught.value.field == "value"


def test_missing_and_unknown_parameters_are_named() -> None:
    @flow
    def nightly(day: dt.date, region: str = "eu") -> None: ...

    def message(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(ParameterError) as caught:
            nightly(*args, **kwargs)
        return str(caught.value)

    assert message() == "Flow 'nightly' needs the parameter 'day'."
    assert message("2026-01-31", regoin="us") == (
        "Flow 'nightly' has no parameter 'regoin'; did you mean 'region'?"
    )
    assert message("2026-01-31", xyz=1) == ("Flow 'nightly' has no parameter 'xyz'; it has 'day', 'region'.")
    assert message(1, 2, 3) == "Flow 'nightly': too many positional arguments."


def test_a_flow_may_take_anything() -> None:
    @flow
    def loose(first: int, *rest: int, **named: Any) -> Any:
        return first, rest, named

    assert loose("1", 2, x=3) == (1, (2,), {"x": 3})  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="needs the parameter 'first'"):
        loose(x=3)  # type: ignore[call-arg]


def test_a_default_of_none_allows_none() -> None:
    @flow
    def nightly(day: dt.date = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013  # as people write
        return day

    assert nightly(day=None) is None  # type: ignore[arg-type]
    assert nightly(day="2026-01-31") == dt.date(2026, 1, 31)  # type: ignore[arg-type]


def test_the_schema_has_the_shape_of_2_20() -> None:
    @flow
    def nightly(
        day: dt.date,
        options: Options,
        colour: Colour = Colour.RED,
        output: Path = Path("out"),
        callback: Callable[[], None] = print,
        limit: int | None = None,
    ) -> None: ...

    schema = nightly.parameter_schema()
    assert list(schema) == ["title", "type", "properties", "required", "definitions"]
    assert (schema["title"], schema["type"], schema["required"]) == (
        "Parameters",
        "object",
        ["day", "options"],
    )
    assert schema["properties"] == {
        "day": {"title": "day", "position": 0, "type": "string", "format": "date"},
        "options": {"title": "options", "position": 1, "allOf": [{"$ref": "#/definitions/Options"}]},
        "colour": {
            "title": "colour",
            "position": 2,
            "allOf": [{"$ref": "#/definitions/Colour"}],
            "default": "red",
        },
        "output": {"title": "output", "position": 3, "type": "string", "format": "path", "default": "out"},
        "callback": {"title": "callback", "position": 4},
        "limit": {"title": "limit", "position": 5, "anyOf": [{"type": "integer"}, {"type": "null"}]},
    }
    assert schema["definitions"]["Options"]["required"] == ["limit"]
    jsonschema.validate({"day": "2026-01-31", "options": {"limit": 1}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"day": "2026-01-31", "options": {}}, schema)


@pytest.mark.parametrize(
    ("hint", "format_"),
    [(dt.datetime, "date-time"), (dt.time, "time"), (dt.date, "date"), (uuid.UUID, "uuid")],
)
def test_the_schema_names_formats_so_that_the_server_refuses_what_does_not_fit(
    hint: Any, format_: str
) -> None:
    given = accepts(dict[str, list[Annotated[hint, "a note"] | None]])
    schema = given.parameter_schema()["properties"]["value"]
    (stated, null) = schema["additionalProperties"]["items"]["anyOf"]
    assert (stated, null) == ({"type": "string", "format": format_}, {"type": "null"})


dates = st.dates().map(dt.date.isoformat)
leaves: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    dt.date: dates,
    uuid.UUID: st.uuids().map(str),
    Colour: st.sampled_from(["red", "green"]),
    Literal["a", 3]: st.sampled_from(["a", 3]),
    Options: st.fixed_dictionaries({"limit": st.integers(0, 9), "tags": st.lists(st.text())}),
    Window: st.fixed_dictionaries({"start": dates, "days": st.integers(0, 9)}),
}


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw a type and a JSON value that its schema allows."""
    kind = draw(st.sampled_from(list(leaves)))
    value = leaves[kind]
    shape = draw(st.sampled_from(["plain", "list", "dict", "optional"]))
    if shape == "list":
        return list.__class_getitem__(kind), draw(st.lists(value, max_size=5))
    if shape == "dict":
        return dict.__class_getitem__((str, kind)), draw(st.dictionaries(st.text(), value, max_size=5))
    if shape == "optional":
        return kind | None, draw(st.none() | value)
    return kind, draw(value)


@given(typed_values())
def test_what_the_schema_allows_is_taken_and_comes_back_unchanged(typed: tuple[Any, Any]) -> None:
    kind, value = typed
    (schema,), definitions = msgspec.json.schema_components([kind], ref_template="#/definitions/{name}")
    jsonschema.validate(value, {**schema, "definitions": definitions})
    assert msgspec.to_builtins(convert(value, kind)) == value
    assert convert(convert(value, kind), kind) == convert(value, kind)
