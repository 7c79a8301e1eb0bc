"""What msgspec says of a body, in the words of 2.20's 422: found by asking a 2.20 server."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from reeve.wire.responses import Fault

Choice = inspect.EnumType | inspect.LiteralType

# What was expected, missing or too much: the sentence, and its kind.
_KINDS = {
    "array": ("value is not a valid list", "type_error.list"),
    "bool": ("value could not be parsed to a boolean", "type_error.bool"),
    "float": ("value is not a valid float", "type_error.float"),
    "int": ("value is not a valid integer", "type_error.integer"),
    "object": ("value is not a valid dict", "type_error.dict"),
    "str": ("str type expected", "type_error.str"),
    "uuid": ("value is not a valid uuid", "type_error.uuid"),
}
_FIELDS = {
    "missing required": ("field required", "value_error.missing"),
    "contains unknown": ("extra fields not permitted", "value_error.extra"),
}
_BOUNDS = {
    ">=": ("is greater than or equal to {}", "number.not_ge"),
    ">": ("is greater than {}", "number.not_gt"),
    "<=": ("is less than or equal to {}", "number.not_le"),
    "<": ("is less than {}", "number.not_lt"),
    "of length <=": ("has at most {} characters", "any_str.max_length"),
    "of length >=": ("has at least {} characters", "any_str.min_length"),
}
_PATH = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>[^`]*)`")
_KIND = re.compile(r"Expected `(?P<wanted>\w+)(?: \| null)?`, got `(?P<given>\w+)`")
_BOUND = re.compile(
    r"Expected `(?:int|float|str)(?: \| null)?` (?P<sign>[<>]=?|of length [<>]=) (?P<limit>\S+)"
)


def steps(error: msgspec.ValidationError) -> list[str | int]:
    """Return the path of a sentence as steps; an entry of a mapping has no name there."""
    found = _PATH.search(str(error))
    if found is None:
        return []
    return [
        int(step[2]) if step[2] else step[1] for step in _STEP.finditer(found["path"]) if step[1] or step[2]
    ]


def malformed(raw: bytes) -> Fault:
    """Say why a body is no JSON, and at which character."""
    try:
        json.loads(raw.decode(errors="replace"))
    except json.JSONDecodeError as error:
        said = {
            "msg": error.msg,
            "doc": error.doc,
            "pos": error.pos,
            "lineno": error.lineno,
            "colno": error.colno,
        }
        return Fault(("body", error.pos), str(error), "value_error.jsondecode", said)
    except RecursionError:
        pass
    # Of Python's dialect, such as NaN, or too deep.
    return Fault(("body",), "the body is no JSON", "value_error.jsondecode")


def fault(error: msgspec.ValidationError, raw: bytes, model: Any) -> Fault:
    """Say what keeps a body, ``raw``, from being a ``model``."""
    text, path = _PATH.sub("", str(error)), steps(error)
    loc = ("body", *path)
    if field := _FIELD.match(text):
        return Fault((*loc, field["name"]), *_FIELDS[field["what"]])
    if text.startswith("Invalid enum value"):
        return Fault(loc, *_no_choice(_choice(_info(model), path), _value_at(raw, path)))
    if text.startswith("Invalid RFC3339"):
        return Fault(loc, f"Unable to parse string [{_value_at(raw, path)}]", "value_error.parser")
    if bound := _BOUND.match(text):
        sign, limit = bound["sign"], json.loads(bound["limit"])
        # So msgspec says it of whole numbers that must be more than 0.
        return beyond(loc, ">", 0) if (sign, limit) == (">=", 1) else beyond(loc, sign, limit)
    return Fault(loc, *_wrong_kind(text))


def beyond(loc: tuple[str | int, ...], sign: str, limit: float) -> Fault:
    """Say that a value is not, for example, ``>=`` a limit."""
    words, kind = _BOUNDS[sign]
    return Fault(
        loc, f"ensure this value {words.format(limit)}", f"value_error.{kind}", {"limit_value": limit}
    )


def _wrong_kind(text: str) -> tuple[str, str]:
    if text == "Invalid UUID":
        return _KINDS["uuid"]
    kind = _KIND.match(text)
    if kind is None:
        return text, "value_error"
    if kind["given"] == "null":
        return "none is not an allowed value", "type_error.none.not_allowed"
    return _KINDS.get(kind["wanted"], (text, "type_error"))


def _no_choice(choice: Choice | None, given: Any) -> tuple[str, str, dict[str, Any]]:
    if isinstance(choice, inspect.LiteralType):
        permitted = list(choice.values)
        said = f"unexpected value; permitted: {', '.join(map(repr, permitted))}"
        return said, "value_error.const", {"given": given, "permitted": permitted}
    members = [str(member.value) for member in choice.cls] if choice else []
    said = f"value is not a valid enumeration member; permitted: {', '.join(map(repr, members))}"
    return said, "type_error.enum", {"enum_values": members}


def _choice(info: inspect.Type, path: list[str | int]) -> Choice | None:
    """Return what may be chosen from at a path of a model."""
    inner: list[inspect.Type] = []
    match info, path:
        case ((inspect.EnumType() | inspect.LiteralType()), []):
            return info
        case inspect.UnionType(types=kinds), _:
            inner = list(kinds)
        case ((inspect.DictType(value_type=item) | inspect.Metadata(type=item)), _):
            inner = [item]
        case inspect.ListType(item_type=item), [int(), *path]:
            inner = [item]
        case inspect.StructType(fields=fields), [str() as name, *path]:
            inner = [field.type for field in fields if field.encode_name == name]
    return next((found for each in inner if (found := _choice(each, path))), None)


@cache
def _info(model: Any) -> inspect.Type:
    return inspect.type_info(model)


def _value_at(raw: bytes, path: list[str | int]) -> Any:
    """Return the value at a path that msgspec told; it lacks the keys of mappings."""
    value = msgspec.json.decode(raw)
    try:
        for step in path:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return "…"
    return value
