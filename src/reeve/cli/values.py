"""What users type, as values: parameters, durations, instants. Each refusal says how it is meant."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click
import msgspec

from reeve.core.durations import seconds_of
from reeve.core.time_limits import LONGEST_SECONDS, Then, TimeLimit


class DurationType(click.ParamType[float]):
    """A length of time, in seconds: 30s, 5m, 1h, 1d, 1h30m, or a plain number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the text; a number is one already."""
        if isinstance(value, int | float):
            return float(value)
        seconds = seconds_of(value)
        if seconds is None or seconds <= 0:
            self.fail(f"{value!r} is no length of time. Write 30s, 5m, 1h, 1d or 1h30m.", param, ctx)
        return seconds


class TimeLimitType(click.ParamType[TimeLimit]):
    """A length of time and what follows when it is over: 1h, 1h:fail, 1h:cancel, 1h:retry."""

    name = "duration[:then]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TimeLimit:
        """Read the text."""
        length, colon, then = value.partition(":")
        if colon and then not in set(Then):
            hint = "Write 1h:fail, 1h:cancel or 1h:retry."
            self.fail(f"{then!r} does not say what follows. {hint}", param, ctx)
        seconds = DURATION.convert(length, param, ctx)
        if seconds > LONGEST_SECONDS:
            self.fail(f"{length!r} is too long. Write at most {LONGEST_SECONDS // 86400}d.", param, ctx)
        return TimeLimit(seconds=seconds, then=Then(then) if colon else Then.FAIL)


class InstantType(click.ParamType[datetime]):
    """A moment in ISO 8601, on this machine's clock unless it names an offset."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the text as an aware instant."""
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            example = "2026-01-31T03:00 or 2026-01-31T03:00+01:00"
            self.fail(f"{value!r} is no moment. Write it like {example}.", param, ctx)


class PairType(click.ParamType[tuple[str, str]]):
    """A name and a text: name=value."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the first equals sign."""
        name, equals, text = value.partition("=")
        if not (name and equals):
            self.fail(f"{value!r} has no name and value. Write name=value.", param, ctx)
        return name, text


class LimitType(click.ParamType[int | None]):
    """A number of runs at once, or "none" for no limit."""

    name = "number|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Read the number."""
        if value == "none":
            return None
        if not str(value).isdigit():
            self.fail(f'{value!r} is no limit. Write a number from 0 on, or "none".', param, ctx)
        return int(value)


DURATION = DurationType()
TIME_LIMIT = TimeLimitType()
INSTANT = InstantType()
PAIR = PairType()
LIMIT = LimitType()


def parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return parameters as JSON values where the text is JSON, else as text: n=3 is a number, n=x is not."""
    return {name: _json_or_text(text) for name, text in pairs}


def job_variables(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return job variables by their dotted names (A82); those of the environment stay texts."""
    return {name: text if name.startswith("env.") else _json_or_text(text) for name, text in pairs}


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
