"""Parameters of a flow: bound to its signature, and made what its type hints say.

A value that already is right stays as it is; else the lax reading is tried, in which the text "5" is the
whole number 5. Types that msgspec does not know are taken by ``isinstance``, by their own constructor
(paths, secrets) or by their own ``model_validate`` (pydantic). Hints that cannot be checked accept anything.
"""

from __future__ import annotations

import inspect
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin, get_type_hints

import msgspec

from reeve.decoders import read_type
from reeve.errors import InvalidInputError
from reeve.sdk.secret import holds_secret, is_secret, read_secret

_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_TAKES_ANY = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_NOTHING = inspect.BoundArguments(inspect.Signature(), OrderedDict())


class ParameterError(InvalidInputError):
    """A parameter of a flow is missing, unknown, or of the wrong kind."""

    code = "invalid_parameter"


class Parameters:
    """The parameters of one function; ``owner`` begins the error messages: "Flow 'nightly'"."""

    def __init__(self, owner: str, function: Callable[..., Any]) -> None:
        self.owner = owner
        self.signature = inspect.signature(function)
        self.types = _hints(function, self.signature)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Assign arguments to parameters; ParameterError names what is missing or unknown."""
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._misfit(args, kwargs, error) from None

    def validate(self, bound: inspect.BoundArguments) -> inspect.BoundArguments:
        """Make each given value what its type hint says; ParameterError names the first that cannot be."""
        for name, value in bound.arguments.items():
            if self.signature.parameters[name].kind not in _VARIADIC:
                bound.arguments[name] = self._convert(name, value)
        return bound

    def _convert(self, name: str, value: Any) -> Any:
        wanted = self.types[name]
        try:
            return convert(value, wanted)
        except msgspec.ValidationError as error:
            message = f"{self.owner}: parameter '{name}' must be {describe(wanted)}"
            # What pydantic says of a fault quotes the value, too.
            given = "" if holds_secret(wanted) else f", got {_shown(value)}{_place(error)}"
            raise ParameterError(f"{message}{given}.", field=name) from None

    def _misfit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: TypeError) -> ParameterError:
        known = [name for name, one in self.signature.parameters.items() if one.kind not in _VARIADIC]
        takes_any = len(known) < len(self.signature.parameters)
        unknown = [name for name in kwargs if name not in known]
        if unknown and not takes_any:
            name = unknown[0]
            return ParameterError(
                f"{self.owner} has no parameter '{name}'{_suggestion(name, known)}", field=name
            )
        given = {*known[: len(args)], *kwargs}
        missing = [name for name in known if name not in given and self._required(name)]
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            noun = "parameter" if len(missing) == 1 else "parameters"
            return ParameterError(f"{self.owner} needs the {noun} {names}.", field=missing[0])
        return ParameterError(f"{self.owner}: {error}.")

    def _required(self, name: str) -> bool:
        return self.signature.parameters[name].default is inspect.Parameter.empty


def convert(value: Any, wanted: Any) -> Any:
    """Make ``value`` a ``wanted``; msgspec.ValidationError if it cannot be one."""
    read_type(wanted)
    try:
        return _read(value, wanted)
    except TypeError:
        # A union that msgspec cannot tell apart by JSON's types, such as date | datetime.
        members = _members(wanted)
        return _first_that_fits(value, members) if members else value


def _read(value: Any, wanted: Any) -> Any:
    try:
        return msgspec.convert(value, wanted, dec_hook=_foreign)
    except msgspec.ValidationError:
        return msgspec.convert(value, wanted, strict=False, dec_hook=_foreign)


def _first_that_fits(value: Any, members: Collection[Any]) -> Any:
    for strict in (True, False):
        for member in members:
            try:
                return msgspec.convert(value, member, strict=strict, dec_hook=_foreign)
            except msgspec.ValidationError:
                continue
    raise msgspec.ValidationError("Expected another type")


def _foreign(wanted: type, value: Any) -> Any:
    """Read a type that msgspec does not know."""
    if isinstance(value, wanted):
        return value
    if isinstance(value, str) and is_secret(wanted):
        return read_secret(wanted, value)
    if isinstance(value, str) and issubclass(wanted, os.PathLike):
        return wanted(value)  # type: ignore[call-arg]  # the protocol says nothing of its constructor
    if hasattr(wanted, "model_validate"):
        return wanted.model_validate(value)
    raise msgspec.ValidationError(f"Expected `{wanted.__name__}`, got `{type(value).__name__}`")


def _members(wanted: Any) -> tuple[Any, ...]:
    if get_origin(wanted) is Annotated:
        return _members(get_args(wanted)[0])
    return get_args(wanted) if get_origin(wanted) in {Union, UnionType} else ()


def bound_to_nothing(function: Callable[..., Any]) -> inspect.BoundArguments | None:
    """Return what a call without arguments is bound to, if the function takes none; None if it takes some.

    A run without parameters needs no signature then, which would cost it fifty pages.
    """
    if type(function) is not FunctionType or vars(function):
        return None
    code = function.__code__
    if code.co_argcount or code.co_kwonlyargcount or code.co_flags & _TAKES_ANY:
        return None
    return _NOTHING


def _hints(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Return each parameter's type; Any where there is no hint, or one that cannot be evaluated here."""
    if not signature.parameters:
        return {}
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  # a hint may be any expression; most often a name imported for checkers only
        hints = {name: _evaluated(function, one.annotation) for name, one in signature.parameters.items()}
    return {name: _typed(hints.get(name, Any), one.default) for name, one in signature.parameters.items()}


def _typed(hint: Any, default: Any) -> Any:
    """``day: date = None`` has always meant that None may be given too."""
    return Optional[hint] if default is None else hint  # noqa: UP045  # a hint that is text cannot be or-ed


def _evaluated(function: Callable[..., Any], annotation: Any) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(function, "__globals__", {}))  # noqa: S307  # the user's own hint
    except Exception:  # noqa: BLE001  # as above
        return Any


# Messages.

_WORDS = {
    **dict.fromkeys(("Secret", "SecretStr", "SecretBytes"), "a secret text"),
    "bool": "true or false",
    "bytes": "base64 text",
    "date": "a date like 2026-01-31",
    "datetime": "a date and time like 2026-01-31T08:00:00+00:00",
    "Decimal": "a decimal number",
    "float": "a number",
    "int": "a whole number",
    "NoneType": "null",
    "str": "text",
    "time": "a time of day like 08:30:00",
    "timedelta": "a duration in seconds, or like PT90S",
    "UUID": "a UUID",
}
_LIMITS = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "lt": "less than",
    "multiple_of": "a multiple of",
}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


def describe(wanted: Any) -> str:
    """Say in words what a value of this type is: "a date like 2026-01-31"."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return " ".join(
            (describe(args[0]), *(_limits(one) for one in args[1:] if isinstance(one, msgspec.Meta)))
        )
    if origin in {Union, UnionType}:
        return " or ".join(describe(one) for one in args)
    if origin is Literal:
        return "one of " + ", ".join(repr(one) for one in args)
    kind = origin or wanted
    if not isinstance(kind, type):
        return str(wanted)
    if kind is NoneType or kind.__name__ in _WORDS:
        return _WORDS[kind.__name__]
    return _describe_class(kind, args)


def _describe_class(kind: type, args: tuple[Any, ...]) -> str:
    if hasattr(kind, "__members__"):
        return "one of " + ", ".join(repr(one.value) for one in kind.__members__.values())
    if issubclass(kind, os.PathLike):
        return "a path"
    if issubclass(kind, Mapping):
        return "a mapping"
    if issubclass(kind, Collection):
        return f"a list, each {describe(args[0])}" if args else "a list"
    if issubclass(kind, msgspec.Struct) or hasattr(kind, "__dataclass_fields__"):
        return f"a mapping with the fields of {kind.__name__}"
    return f"of type {kind.__name__}"


def _limits(meta: msgspec.Meta) -> str:
    limits = [
        f"{word} {getattr(meta, name)}" for name, word in _LIMITS.items() if getattr(meta, name) is not None
    ]
    lengths = [
        f"of length {word} {getattr(meta, name)}"
        for name, word in _LENGTHS.items()
        if getattr(meta, name) is not None
    ]
    pattern = [f"matching {meta.pattern}"] if meta.pattern is not None else []
    return ", ".join((*limits, *lengths, *pattern))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _place(error: msgspec.ValidationError) -> str:
    """Say where inside the value msgspec found the fault, if it was not the value itself."""
    said, _, place = str(error).partition(" - at `$")
    return f" (at {place.rstrip('`').lstrip('.')}: {said})" if place else ""


def _suggestion(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; it has {', '.join(repr(one) for one in known)}." if known else "."
