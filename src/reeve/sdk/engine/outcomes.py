"""How one call of the user's function ended. BaseExceptions are no outcomes: they pass through the script."""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct


class Returned(Struct, frozen=True):
    """The function returned."""

    value: Any


class Raised(Struct, frozen=True):
    """The function raised."""

    error: Exception


class TimedOut(Struct, frozen=True):
    """The function was stopped because its time was over."""

    seconds: float


class Died(Struct, frozen=True):
    """The process that executed the function, another one, is gone."""

    error: Exception


Outcome: TypeAlias = Returned | Raised | TimedOut | Died
