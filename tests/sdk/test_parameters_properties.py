"""Parameters on their way: what a deployment's schema allows is taken, and what is taken comes back.

The types are those of a flow's hints; the values are drawn by type, and from the schema that was made of it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict, Union, get_args, get_origin

import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from reeve.sdk.deployments import _as_json
from reeve.sdk.parameters import ParameterError, Parameters
from reeve.sdk.schema import parameter_schema
from reeve.wire import codec

# Without the phase that explains, which traces each line.
FEW = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


@dataclass
class Window:
    start: dt.date
    days: int = 1
    tags: list[str] = field(default_factory=list)


class Options(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=0, le=9)]
    window: Window | None = None


class Place(NamedTuple):
    name: str
    floor: int


class Row(TypedDict):
    id: int
    name: str


@dataclass
class Times:
    begins: dt.datetime
    daily: dt.time | None = None
    others: list[dt.datetime] = field(default_factory=list)


class Moment(NamedTuple):
    at: dt.datetime
    note: str = ""


class Log(TypedDict):
    at: NotRequired[dt.datetime]
    times: Times


class Renamed(msgspec.Struct, rename="camel"):
    begins_at: dt.datetime | int
    log: Log | None = None


class Model(pydantic.BaseModel):
    n: int
    name: str = "x"


# --- the kinds of parameters, and their values -----------------------------------------------------

whole_seconds = st.integers(-(10**6), 10**6)
windows = st.builds(Window, st.dates(), st.integers(0, 99), st.lists(st.text(max_size=3), max_size=2))
times = st.builds(Times, st.datetimes(), st.none() | st.times(), st.lists(st.datetimes(), max_size=2))
logs = st.fixed_dictionaries({"times": times}, optional={"at": st.datetimes()})
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    bytes: st.binary(max_size=8),
    dt.date: st.dates(),
    dt.datetime: st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)),
    dt.time: st.times(),
    dt.timedelta: whole_seconds.map(lambda n: dt.timedelta(seconds=n)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    uuid.UUID: st.uuids(),
    Path: st.sampled_from([Path("a"), Path("/b/c"), Path()]),
    Colour: st.sampled_from(Colour),
    Size: st.sampled_from(Size),
    Literal["a", 3]: st.sampled_from(["a", 3]),
    Annotated[str, msgspec.Meta(min_length=1, max_length=3)]: st.text(min_size=1, max_size=3),
    Annotated[float, msgspec.Meta(gt=0, lt=1)]: st.floats(0.01, 0.99),
    Window: windows,
    Options: st.builds(Options, st.integers(0, 9), st.none() | windows),
    Place: st.builds(Place, st.text(max_size=3), st.integers(0, 9)),
    Row: st.fixed_dictionaries({"id": st.integers(0, 9), "name": st.text(max_size=3)}),
    Times: times,
    Moment: st.builds(Moment, st.datetimes(), st.text(max_size=3)),
    Log: logs,
    Renamed: st.builds(Renamed, st.integers() | st.datetimes(), st.none() | logs),
    Model: st.builds(Model, n=st.integers(-9, 9), name=st.text(max_size=3)),
}
HASHABLE = [bool, int, str, dt.date, Decimal, uuid.UUID, Colour, Place]


def of(generic: Any, *arguments: Any) -> Any:
    """A type made of others, such as ``list[int]``."""
    return generic[arguments if len(arguments) > 1 else arguments[0]]


def shapes(kind: Any) -> list[tuple[Any, st.SearchStrategy[Any]]]:
    """The types that are made of a kind, with their values."""
    values = VALUES[kind]
    made = [
        (kind, values),
        (of(list, kind), st.lists(values, max_size=3)),
        (of(tuple, kind, ...), st.lists(values, max_size=3).map(tuple)),
        (of(dict, str, kind), st.dictionaries(st.text(max_size=3), values, max_size=3)),
        (of(Union, kind, None), st.none() | values),
        (of(tuple, int, kind), st.tuples(st.integers(0, 9), values)),
    ]
    return [*made, (of(set, kind), st.sets(values, max_size=3))] if kind in HASHABLE else made


TYPES = st.sampled_from([shape for kind in VALUES for shape in shapes(kind)])


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw a type of parameter and a value of it."""
    kind, values = draw(TYPES)
    return kind, draw(values)


def is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of a type, all that is in it included."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in _FITS:
        return _FITS[origin](value, args)
    if origin is not None:
        return type(value) is origin and all(is_a(one, args[0]) for one in value)
    if kind is Log:
        return type(value) is dict and type(value["times"]) is Times
    if kind is Row:
        return type(value) is dict and type(value["id"]) is int and type(value["name"]) is str
    return type(value) is kind or (kind in {Path, Colour, Size, type(None)} and isinstance(value, kind))


def _is_tuple(value: Any, args: tuple[Any, ...]) -> bool:
    wanted = [args[0]] * len(value) if args[-1] is Ellipsis else args
    return type(value) is tuple and len(value) == len(wanted) and all(map(is_a, value, wanted))


_FITS: dict[Any, Callable[[Any, Any], bool]] = {
    Annotated: lambda value, args: is_a(value, args[0]),
    Literal: lambda value, args: any(value == one and type(value) is type(one) for one in args),
    Union: lambda value, args: any(is_a(value, one) for one in args),
    dict: lambda value, args: type(value) is dict and all(is_a(one, args[1]) for one in value.values()),
    tuple: _is_tuple,
}


def parameters_of(kind: Any) -> Parameters:
    def function(it: Any) -> None: ...

    function.__annotations__ = {"it": kind}
    return Parameters("Flow 'f'", function)


def taken(parameters: Parameters, value: Any) -> Any:
    return parameters.validate(parameters.bind((), {"it": value})).arguments["it"]


def on_the_wire(value: Any) -> Any:
    """A parameter as it goes to the server and comes back in a job."""
    return codec.decode(codec.encode(_as_json({"it": value})), dict[str, Any])["it"]


@FEW
@given(typed_values())
@example((int, 2**63))
@example((int, -(2**64)))
@example((list[dt.datetime], []))
@example((dt.datetime, dt.datetime(2026, 3, 29, 2, 30)))  # noqa: DTZ001  # flows take it too
def test_values_of_all_kinds_stay_as_they_are_and_come_back_from_the_wire(typed: tuple[Any, Any]) -> None:
    kind, value = typed
    parameters = parameters_of(kind)
    assert taken(parameters, value) == value
    sent = on_the_wire(value)
    jsonschema.validate({"it": sent}, parameter_schema(parameters))
    came = taken(parameters, sent)
    assert came == value
    assert is_a(came, kind)


# --- from the schema ------------------------------------------------------------------------------

TEXTS: Mapping[str, st.SearchStrategy[str]] = {
    "date": st.dates().map(dt.date.isoformat),
    "date-time": st.datetimes(timezones=st.just(dt.UTC)).map(dt.datetime.isoformat),
    "time": st.times().map(dt.time.isoformat),
    "duration": whole_seconds.map(lambda n: f"{'-' if n < 0 else ''}PT{abs(n)}S"),
    "uuid": st.uuids().map(str),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False).map(str),
    "path": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=5),
}


Json = Mapping[str, Any]


def allowed(schema: Json, definitions: Json) -> st.SearchStrategy[Any]:
    """JSON values that a schema of ours allows."""
    for word, values in _BY_WORD.items():
        if word in schema:
            return values(schema, definitions)
    return _BY_TYPE[schema["type"]](schema, definitions) if "type" in schema else st.text(max_size=3)


def _numbers(schema: Json, _: Json) -> st.SearchStrategy[Any]:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is None:
        return st.floats(allow_nan=False, allow_infinity=False) | st.integers()
    return st.floats(low, high, exclude_min=True, exclude_max=True)


def _arrays(schema: Json, definitions: Json) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(allowed(one, definitions) for one in schema["prefixItems"])).map(list)
    inner = allowed(schema["items"], definitions)
    return st.lists(inner, max_size=3, unique_by=repr if schema.get("uniqueItems") else None)


def _objects(schema: Json, definitions: Json) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        inner = allowed(schema["additionalProperties"], definitions)
        return st.dictionaries(st.text(max_size=3), inner, max_size=3)
    fields = {name: allowed(one, definitions) for name, one in schema["properties"].items()}
    needed = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional=fields)


_BY_WORD: dict[str, Callable[[Json, Json], st.SearchStrategy[Any]]] = {
    "$ref": lambda schema, there: allowed(there[schema["$ref"].removeprefix("#/definitions/")], there),
    "allOf": lambda schema, there: allowed(schema["allOf"][0], there),
    "anyOf": lambda schema, there: st.one_of([allowed(one, there) for one in schema["anyOf"]]),
    "enum": lambda schema, _: st.sampled_from(schema["enum"]),
    "format": lambda schema, _: TEXTS[schema["format"]],
    "contentEncoding": lambda *_: st.binary(max_size=8).map(msgspec.to_builtins),
}
_BY_TYPE: dict[str, Callable[[Json, Json], st.SearchStrategy[Any]]] = {
    "null": lambda *_: st.none(),
    "boolean": lambda *_: st.booleans(),
    "integer": lambda schema, _: st.integers(schema.get("minimum"), schema.get("maximum")),
    "number": _numbers,
    "string": lambda schema, _: st.text(
        min_size=schema.get("minLength", 0), max_size=schema.get("maxLength")
    ),
    "array": _arrays,
    "object": _objects,
}


@FEW
@given(TYPES.map(lambda shape: shape[0]), st.data())
def test_what_the_schema_allows_is_taken_as_its_kind(kind: Any, data: st.DataObject) -> None:
    assume("Model" not in str(kind))  # no schema is made of pydantic's models: anything is allowed
    parameters = parameters_of(kind)
    schema = parameter_schema(parameters)
    value = data.draw(allowed(schema["properties"]["it"], schema["definitions"]))
    jsonschema.validate({"it": value}, schema)
    came = taken(parameters, value)
    assert is_a(came, kind)
    assert taken(parameters, came) == came


@FEW
@given(
    TYPES.map(lambda shape: shape[0]),
    typed_values().map(lambda typed: on_the_wire(typed[1]))
    | st.text(max_size=3)
    | st.integers()
    | st.floats(),
)
def test_what_does_not_fit_is_refused_by_its_name(kind: Any, value: Any) -> None:
    """Or read laxly, as "5" is where a whole number is wanted; it is of its kind then."""
    parameters = parameters_of(kind)
    refusal: ParameterError | None = None
    try:
        assert is_a(taken(parameters, value), kind)
    except ParameterError as error:
        refusal = error
    assert refusal is None or (refusal.field, "parameter 'it' must be" in str(refusal)) == ("it", True)


@pytest.mark.parametrize("default", [None, 5])
@settings(max_examples=50, deadline=None)
@given(typed_values())
def test_the_schema_of_a_default_is_json(default: Any, typed: tuple[Any, Any]) -> None:
    """Whatever a default is, a form can be made of the parameters."""
    kind, value = typed

    def function(it: Any = value if default else None) -> None: ...

    function.__annotations__ = {"it": kind}
    schema = parameter_schema(Parameters("Flow 'f'", function))
    assert schema["required"] == []
    jsonschema.Draft202012Validator.check_schema(codec.decode(codec.encode(schema), dict[str, Any]))
